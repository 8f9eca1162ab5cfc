from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from tests.doubles import FakeEncoder, NearestInverter

from crossfade.data import Augmented, Corpus, Example
from crossfade.errors import SettingsError
from crossfade.methods.inversed_mixup import InversedMixupSettings, augment, choose_partners
from crossfade.numerics.mixing import draw_beta_ratios, mix_points
from crossfade.roles import Floats, Sampling, Student
from crossfade.students.linear import LinearStudent
from crossfade.tasks.classification import synthetic_rows

LABELS = ("card", "loan", "rate")
GOLD = Corpus(tuple(Example((f"{label} gold{number} here",), label) for label in LABELS for number in range(3)), LABELS)
WORDS = [*LABELS, *(f"gold{number}" for number in range(3)), "here", *(f"new{number}" for number in range(9))]
SENTENCES = [" ".join(words) for words in combinations(WORDS, 3)]
ROWS = {example.text: row for row, example in enumerate(GOLD)}


class Judge:
    """Sees one class in every text that holds one of its words; the first class elsewhere. Notes what it learnt."""

    def __init__(self, words: dict[str, str] | None = None) -> None:
        self.words = words or {}
        self.labels: tuple[str, ...] = ()
        self.learnt: list[str] = []

    def fit(self, examples: Sequence[Example], targets: Floats, weights: Floats, labels: Sequence[str]) -> "Judge":
        self.labels = tuple(labels)
        self.learnt = [example.text for example in examples]
        return self

    def predict_probabilities(self, examples: Sequence[Example]) -> Floats:
        said = [next((label for word, label in self.words.items() if word in one.text), LABELS[0]) for one in examples]
        return np.eye(len(self.labels))[[self.labels.index(label) for label in said]]

    def save(self, folder: object) -> None:
        raise AssertionError("nothing saves it")


class Script(NearestInverter):
    """Answers every point of a call with the next texts of a script; the last ones for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        super().__init__(SENTENCES)
        self.answers = list(answers)

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        super().decode(points, sampling=sampling, candidates=candidates, seed=seed)
        texts = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [list(texts) for _ in points]


def no_student() -> Student:
    raise AssertionError("no student is needed")


def run(
    inverter: NearestInverter | None = None,
    gold: Corpus = GOLD,
    seed: int = 0,
    judge: Judge | None = None,
    **values: Any,
) -> Augmented:
    return augment(
        gold,
        inverter=inverter or NearestInverter(SENTENCES),
        encoder=FakeEncoder(),
        new_student=(lambda: judge) if judge else no_student,
        settings=InversedMixupSettings.checked({"texts_per_class": 8, **values}),
        rng=np.random.default_rng(seed),
    )


def test_every_class_gets_as_many_texts_as_asked_for() -> None:
    made = run()
    assert Counter(row.example.label for row in made.kept) == dict.fromkeys(LABELS, 8)
    assert made.stopped == "Every class has its texts."
    assert len({row.example.text for row in made.kept}) == 24
    assert all(counts["kept"] == counts["accepted"] == 8 for counts in made.losses.values())


def test_label_is_mixed_in_the_ratio_of_the_parents() -> None:
    for row in run().kept:
        ratio = row.origin.ratio
        assert ratio is not None
        assert 0.5 <= ratio <= 1
        first, second = row.origin.parents
        assert tuple(GOLD.examples[ROWS[text]].label for text in row.origin.parent_texts) == (first, second)
        assert row.example.label == row.origin.written_label == first
        assert row.probabilities == ({first: 1.0} if first == second else {first: ratio, second: 1 - ratio})


def test_soft_labels_reach_the_student() -> None:
    kept = run(pairs="different_class", least_ratio=0.6).kept
    rows = synthetic_rows(kept, LABELS, doubt="soften")
    expected = [row.origin.ratio for row in kept]
    assert rows.targets.max(axis=1).tolist() == expected
    LinearStudent(FakeEncoder()).fit(rows.examples, rows.targets, rows.weights, LABELS)


def test_points_of_a_round_are_decoded_in_one_call() -> None:
    inverter = NearestInverter(SENTENCES)
    run(inverter, candidates=3)
    assert len(inverter.calls[0][0]) == 24
    assert {candidates for *_, candidates, _ in inverter.calls} == {3}


@pytest.mark.parametrize("mixing", ["linear", "spherical"])
def test_points_are_the_mixes_of_the_parents_embeddings(mixing: Any) -> None:
    inverter = Script(["card sentence"])
    made = run(inverter, max_rounds=1, mixing=mixing, texts_per_class=2)
    (points, *_) = inverter.calls[0]
    vectors = FakeEncoder().encode(GOLD.texts)
    found = []
    for row in [*made.kept, *made.dropped]:
        first, second = (vectors[ROWS[text]][None] for text in row.origin.parent_texts)
        found.append(mix_points(first, second, np.array([row.origin.ratio]), mixing)[0])
    assert sorted(np.array(found).round(9).tolist()) == sorted(points.round(9).tolist())


def test_ratio_one_decodes_the_first_parent_itself() -> None:
    inverter = Script(["card sentence"])
    run(inverter, max_rounds=1, ratios=[1.0], texts_per_class=3)
    vectors = FakeEncoder().encode(GOLD.texts)
    labels = []
    for point in inverter.calls[0][0]:
        (row,) = np.flatnonzero(np.isclose(vectors, point, atol=1e-12).all(axis=1))
        labels.append(GOLD.examples[row].label)
    assert labels == [label for label in LABELS for _ in range(3)]


def test_grid_gives_its_ratios_and_no_others() -> None:
    assert {row.origin.ratio for row in run(ratios=[0.6, 0.8], texts_per_class=12).kept} == {0.6, 0.8}


def test_grid_below_one_half_is_refused() -> None:
    with pytest.raises(SettingsError, match="shares of the larger parent"):
        InversedMixupSettings.checked({"ratios": [0.2]})


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_law_is_beta_folded_and_cut_off(alpha: float) -> None:
    plain = np.random.default_rng(0).beta(alpha, alpha, 40_000)
    folded = np.maximum(plain, 1 - plain)
    for least in (0.5, 0.8):
        drawn = draw_beta_ratios(20_000, alpha, least, np.random.default_rng(1))
        assert drawn.min() >= least
        assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx(
            np.quantile(folded[folded >= least], [0.1, 0.5, 0.9]), abs=0.01
        )


def test_least_ratio_limits_what_is_drawn() -> None:
    assert all((row.origin.ratio or 0) >= 0.9 for row in run(least_ratio=0.9, texts_per_class=3).kept)


def test_same_rng_gives_the_same_rows() -> None:
    assert run() == run() != run(seed=1)


@pytest.mark.parametrize("pairs", ["different_class", "nearest_class", "same_class"])
def test_partners_are_those_asked_for(pairs: str) -> None:
    made = run(pairs=pairs)
    classes = {row.origin.parents for row in made.kept}
    assert all((first == second) == (pairs == "same_class") for first, second in classes)
    if pairs == "nearest_class":
        assert len(classes) == len(LABELS)


def test_same_class_pairs_keep_their_label_whole() -> None:
    assert {tuple(row.probabilities.values()) for row in run(pairs="same_class").kept} == {(1.0,)}


def test_nearest_class_is_that_of_the_nearest_mean() -> None:
    points = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    gold = Corpus(tuple(Example((label,), label) for label in "abc"), ("a", "b", "c"))
    assert choose_partners(gold, points, "nearest_class") == [[1], [0], [1]]
    assert choose_partners(gold, points, "any") == [[1, 2], [0, 2], [0, 1]]


@pytest.mark.parametrize(
    ("pairs", "rows"), [("same_class", [0, 3]), ("different_class", [0, 1]), ("nearest_class", [0, 1])]
)
def test_nothing_to_mix_with_is_refused(pairs: str, rows: list[int]) -> None:
    examples = tuple(GOLD.examples[row] for row in rows)
    gold = Corpus(examples, tuple(dict.fromkeys(example.label for example in examples)))
    with pytest.raises(SettingsError, match=f"pairs = '{pairs}'"):
        run(gold=gold, pairs=pairs)


def test_pairs_of_texts_are_refused() -> None:
    gold = Corpus((Example(("it rains", "it is wet"), "yes"), Example(("it snows", "hot"), "no")), ("yes", "no"))
    with pytest.raises(SettingsError, match="single texts"):
        run(gold=gold)


def test_copies_of_a_parent_are_dropped_whatever_their_case_and_marks() -> None:
    gold = Corpus((Example(("Card one?",), "card"), Example(("Loan two",), "loan")), ("card", "loan"))
    made = run(Script(["card one", "LOAN TWO!"]), gold=gold, max_rounds=1, texts_per_class=2)
    assert made.kept == ()
    assert {row.origin.reason for row in made.dropped} == {"copy: repeats a parent"}
    assert {label: counts["copy"] for label, counts in made.losses.items()} == {"card": 2, "loan": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unparsable: empty"),
        ("123 ?!", "unparsable: no words"),
        ("card card card card", "unparsable: repeats itself"),
        ("one long text " + " ".join(f"word{number}" for number in range(20)), "unparsable: cut off or without an end"),
    ],
)
def test_broken_texts_are_dropped_with_the_reason(text: str, reason: str) -> None:
    made = run(Script([text]), max_rounds=1, texts_per_class=1)
    assert {row.origin.reason for row in made.dropped} == {reason}
    assert made.kept == ()


def test_candidate_nearest_to_the_point_is_taken_among_those_of_use() -> None:
    inverter = Script(["", "maybe soon now", "gold0 maybe soon", "card gold0 here", "card gold0 now"])
    gold = Corpus((GOLD.examples[0], Example(("card gold0 soon",), "card")), ("card",))
    made = run(inverter, gold=gold, max_rounds=1, texts_per_class=1, ratios=[0.9], candidates=5)
    assert [row.example.text for row in made.kept] == ["card gold0 now"], "the nearest of all is a parent"


def test_what_is_dropped_is_made_up_for() -> None:
    made = run(
        Script(["card card card card"], ["card sentence"], ["loan sentence"], ["rate sentence"]), texts_per_class=1
    )
    assert len(made.kept) == 3
    assert max(row.origin.round_index for row in made.kept) > 0
    assert [row.origin.reason for row in made.dropped].count("unparsable: repeats itself") == 3


def test_rounds_end_when_nothing_new_comes() -> None:
    made = run(Script(["card sentence"]), max_rounds=3, texts_per_class=2)
    assert len(made.kept) == 1
    assert made.stopped.startswith("The rounds ran out")
    assert made.losses["loan"]["duplicate"] > 0


def test_greedy_decoding_has_one_candidate() -> None:
    inverter = NearestInverter(SENTENCES)
    run(inverter, temperature=0.0, candidates=5, max_rounds=1)
    assert inverter.calls[0][1].temperature == 0
    assert inverter.calls[0][2] == 1


def test_longest_text_follows_the_gold_texts() -> None:
    inverter = NearestInverter(SENTENCES)
    gold = Corpus(tuple(Example((f"{label} {'word ' * 40}",), label) for label in LABELS), LABELS)
    run(inverter, gold=gold, max_rounds=1)
    run(inverter, gold=gold, max_rounds=1, max_tokens=7)
    assert [call[1].max_tokens for call in inverter.calls] == [103, 7]


INTRUDER = "rate now maybe"
OUTSIDE = "intrusion: at no ratio judged to lie between its parents"


class Straying(NearestInverter):
    """Strays into the class 'rate' in its first calls, and then names the class of the nearest gold text."""

    def __init__(self, calls: int) -> None:
        super().__init__(GOLD.texts)
        self.stray = calls

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        greedy = replace(sampling, temperature=0.0)
        nearest = super().decode(points, sampling=greedy, seed=seed)
        if len(self.calls) <= self.stray:
            return [[INTRUDER] for _ in points]
        return [[f"{text.split()[0]} soon"] for (text,) in nearest]


def test_intruding_text_is_written_anew_nearer_to_its_first_parent() -> None:
    judge = Judge({label: label for label in LABELS})
    inverter = Straying(calls=2)
    made = run(inverter, judge=judge, moves=3, pairs="different_class", ratios=[0.5], max_rounds=1)
    moved = [row for row in [*made.kept, *made.dropped] if row.origin.ratio != 0.5]
    assert {len(points) for points, *_ in inverter.calls[1:]} == {len(moved)}
    assert len(inverter.calls) == 3, "what lies between its parents moves no further"
    assert len(moved) == sum(counts.get("moved", 0) for counts in made.losses.values()) > 0
    for row in moved:
        assert set(row.origin.parents) == {"card", "loan"}
        assert row.example.text == f"{row.example.label} soon"
        assert row.origin.ratio == 0.75
        assert row.probabilities == {row.origin.parents[0]: 0.75, row.origin.parents[1]: 0.25}
        assert row.origin.reason in (None, "duplicate")
    nearest = [np.max(points @ FakeEncoder().encode(GOLD.texts).T, axis=1).mean() for points, *_ in inverter.calls]
    assert nearest == sorted(nearest), "each step is nearer to a parent"


def test_text_that_intrudes_at_every_ratio_is_dropped() -> None:
    judge = Judge({label: label for label in LABELS})
    inverter = Straying(calls=3)
    made = run(inverter, judge=judge, moves=2, pairs="same_class", texts_per_class=1, max_rounds=1)
    outside = [row.example.label for row in made.dropped if row.origin.reason == OUTSIDE]
    assert outside == ["card", "loan"]
    assert all(made.losses[label]["intrusion"] == made.losses[label]["moved"] == 1 for label in outside)
    assert [row.example.label for row in made.kept] == ["rate"]
    assert [len(points) for points, *_ in inverter.calls] == [3, 2, 2]


class Faltering(Straying):
    """Strays in its first call, brings no text in its second, and then names the class of the nearest gold text."""

    def decode(self, points: Floats, *, sampling: Sampling, candidates: int = 1, seed: int = 0) -> list[list[str]]:
        texts = super().decode(points, sampling=sampling, candidates=candidates, seed=seed)
        return [[""] for _ in points] if len(self.calls) == 2 else texts


def test_broken_text_on_the_way_moves_on() -> None:
    judge = Judge({label: label for label in LABELS})
    inverter = Faltering(calls=1)
    made = run(inverter, judge=judge, moves=3, pairs="same_class", texts_per_class=1, max_rounds=1, ratios=[0.5])
    assert [len(points) for points, *_ in inverter.calls] == [3, 2, 2]
    assert Counter(row.origin.ratio for row in made.kept) == {0.5: 1, 0.75: 2}


def test_text_broken_at_the_last_step_is_dropped_as_broken() -> None:
    judge = Judge({label: label for label in LABELS})
    made = run(Faltering(calls=1), judge=judge, moves=1, pairs="same_class", texts_per_class=1, max_rounds=1)
    assert [row.origin.reason for row in made.dropped] == ["unparsable: empty"] * 2


def test_texts_between_their_parents_stay_as_they_are() -> None:
    judge = Judge({label: label for label in LABELS})
    still, plain = (
        run(Straying(calls=0), judge=judge, moves=moves, pairs="same_class", texts_per_class=1) for moves in (3, 0)
    )
    assert still == plain
    assert len(still.kept) == 3


def test_judge_learns_from_gold_and_class_texts_alone() -> None:
    judge = Judge({label: label for label in LABELS})
    run(judge=judge, moves=1)
    assert judge.learnt == [*GOLD.texts, *LABELS]


def test_moving_is_the_same_for_the_same_rng() -> None:
    judge = Judge({label: label for label in LABELS})
    assert run(judge=judge, moves=2) == run(judge=judge, moves=2)
