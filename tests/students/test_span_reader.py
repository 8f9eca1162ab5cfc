from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.doubles import write_tiny_bert

from crossfade.data import Example, ReadingExample
from crossfade.errors import DataError, ModelError
from crossfade.roles import Reader
from crossfade.students.span_reader import SpanReader, SpanReaderSettings

FRUIT = ["apple", "pear", "plum", "grape"]
FILLER = ["the", "of", "lies", "near", "iron", "gold"]
QUICK = SpanReaderSettings(
    epochs=8, batch_size=8, learning_rate=1e-2, max_length=16, stride=4, longest_question=4, longest_answer=2
)
pytestmark = pytest.mark.usefixtures("one_thread")


def questions(count: int, seed: int, length: int = 8) -> list[ReadingExample]:
    """Ask for the only fruit among other words."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        words = rng.choice(FILLER, length).tolist()
        answer = words[int(rng.integers(length))] = str(rng.choice(FRUIT))
        context = " ".join(words)
        made.append(ReadingExample((context, "which fruit"), "answerable", answer, context.index(answer)))
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base")
    write_tiny_bert(folder, [*FRUIT, *FILLER, "which", "fruit"], tokens=64)
    return str(folder)


@pytest.fixture(scope="module")
def fitted(base: str) -> SpanReader:
    return SpanReader(base, QUICK).fit(questions(64, 0), np.ones(64))


def right(reader: Reader, rows: list[ReadingExample]) -> float:
    found = reader.find_answers(rows)
    return float(np.mean([said == row.answer for said, row in zip(found, rows, strict=True)]))


def test_it_learns_to_point_at_what_is_asked_for(fitted: SpanReader) -> None:
    assert isinstance(fitted, Reader)
    assert right(fitted, questions(40, 1)) > 0.9


def test_answers_are_found_in_contexts_of_many_windows(fitted: SpanReader) -> None:
    long = questions(20, 2, length=40)
    assert fitted.tuned is not None
    assert len(fitted.tuned.windows(long, QUICK)) >= 3 * len(long)
    assert right(fitted, long) > 0.9


def test_windows_overlap_cover_the_context_and_hold_the_answer_at_least_once(fitted: SpanReader) -> None:
    (row,) = questions(1, 3, length=40)
    assert fitted.tuned is not None
    windows = fitted.tuned.windows([row], QUICK)
    covered: set[int] = set()
    for window in windows:
        spans = [span for span in window.spans if span is not None]
        assert len(window.spans) <= 16
        covered.update(place for begin, end in spans for place in range(begin, end))
    assert covered == {place for place, character in enumerate(row.texts[0]) if character != " "}
    held = [(window, window.positions(row)) for window in windows if window.positions(row) != (0, 0)]
    assert held
    for window, (first, last) in held:
        opening, closing = window.spans[first], window.spans[last]
        assert opening is not None
        assert closing is not None
        assert row.texts[0][opening[0] : closing[1]] == row.answer


def test_answers_are_spans_of_their_context_and_follow_row_order(fitted: SpanReader) -> None:
    rows = [*questions(4, 4, length=30), *questions(6, 5)]
    found = fitted.find_answers(rows)
    assert all(said and said in row.texts[0] for said, row in zip(found, rows, strict=True))
    assert fitted.find_answers(rows[::-1]) == found[::-1]
    assert all(len(said.split()) <= 2 for said in found)
    assert fitted.find_answers([]) == []


def test_long_questions_are_cut(fitted: SpanReader) -> None:
    row = questions(1, 6)[0]
    long = ReadingExample((row.texts[0], "which fruit " * 30), row.label, row.answer, row.answer_start)
    assert fitted.tuned is not None
    assert max(len(window.spans) for window in fitted.tuned.windows([long], QUICK)) <= 16


def test_the_same_seed_gives_the_same_reader_and_leaves_global_randomness_alone(base: str) -> None:
    settings = QUICK.model_copy(update={"epochs": 2})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = SpanReader(base, settings).fit(questions(16, 0), np.ones(16))
    assert torch.equal(torch.get_rng_state(), before)
    again = SpanReader(base, settings).fit(questions(16, 0), np.ones(16))
    assert first.tuned is not None
    assert again.tuned is not None
    pairs = zip(first.tuned.model.state_dict().values(), again.tuned.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_weight_zero_equals_absence(base: str) -> None:
    settings = QUICK.model_copy(update={"epochs": 1})
    rows = questions(16, 0)
    with_noise = SpanReader(base, settings).fit([*questions(1, 9), *rows], np.r_[0, np.ones(16)])
    without = SpanReader(base, settings).fit(rows, np.ones(16))
    assert with_noise.tuned is not None
    assert without.tuned is not None
    pairs = zip(with_noise.tuned.model.state_dict().values(), without.tuned.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_saved_reader_answers_the_same(fitted: SpanReader, tmp_path: Path) -> None:
    fitted.save(tmp_path / "reader")
    loaded = SpanReader.load(tmp_path / "reader")
    assert loaded.settings == fitted.settings
    assert loaded.find_answers(questions(20, 7)) == fitted.find_answers(questions(20, 7))
    assert {path.suffix for path in (tmp_path / "reader").iterdir()} == {".json", ".safetensors"}


def test_what_cannot_work_is_said(base: str) -> None:
    with pytest.raises(ValidationError, match="leave no room"):
        SpanReaderSettings(max_length=64, stride=60)
    with pytest.raises(ValidationError, match="no preset 'zero'"):
        SpanReaderSettings.model_validate({"preset": "zero"})
    assert SpanReaderSettings.model_validate({"preset": "stepwise_adversarialqa"}).stride == 170
    with pytest.raises(DataError, match="no answer"):
        SpanReader(base, QUICK).fit([Example(("a", "b"), "x")], np.ones(1))
    with pytest.raises(DataError, match="no row"):
        SpanReader(base, QUICK).fit(questions(2, 0), np.zeros(2))
    with pytest.raises(ModelError, match="not fitted"):
        SpanReader(base, QUICK).find_answers(questions(1, 0))
