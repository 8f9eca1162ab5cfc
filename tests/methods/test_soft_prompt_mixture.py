from collections.abc import Sequence

import numpy as np
import pytest
from tests.annotated_doubles import corpus_of, parsed, sentences
from tests.doubles import FakeEncoder

from crossfade.attribute_roles import AttributePrompt, PromptTuning, SoftPromptShape, WritingStyle, Written
from crossfade.data import AnnotatedExample, Augmented, Corpus, Mention
from crossfade.errors import SettingsError
from crossfade.methods.soft_prompt_mixture import SoftPromptMixtureSettings, augment, prompts_for, shape_of
from crossfade.prompts.attributes import attributes_prompt, metadata

GOLD = corpus_of(sentences(12))


class ScriptedTuner:
    """Remembers what it is tuned on, and writes the values of a prompt among other words."""

    name = "scripted"

    def __init__(self, text: str = "{values} today {draw}") -> None:
        self.text = text
        self.trained: list[str] = []
        self.development: list[str] = []
        self.prompts: list[AttributePrompt] = []
        self.styles: list[WritingStyle] = []

    def tune(
        self,
        shape: SoftPromptShape,
        prompts: Sequence[AttributePrompt],
        texts: Sequence[str],
        *,
        development: tuple[Sequence[AttributePrompt], Sequence[str]],
        tuning: PromptTuning,
    ) -> "ScriptedTuner":
        assert len(prompts) == len(texts)
        self.shape, self.tuning = shape, tuning
        self.trained, self.development = list(texts), list(development[1])
        return self

    def write(
        self, prompts: Sequence[AttributePrompt], *, style: WritingStyle, candidates: int, seed: int
    ) -> list[list[Written]]:
        self.prompts += prompts
        self.styles.append(style)
        return [
            [
                Written(self.text.format(values=" and ".join(prompt.values), draw=f"n{seed}x{row}x{draw}"))
                for draw in range(candidates)
            ]
            for row, prompt in enumerate(prompts)
        ]


def made(tuner: ScriptedTuner, gold: Corpus = GOLD, **values: object) -> Augmented:
    settings = SoftPromptMixtureSettings.checked({"texts_per_class": 12, "duplicate_similarity": 1.0, **values})
    return augment(gold, tuner=tuner, encoder=FakeEncoder(), settings=settings, rng=np.random.default_rng(0))


def test_every_gold_row_gets_its_texts_and_one_in_five_goes_as_noise() -> None:
    found = made(ScriptedTuner())
    assert len(found.kept) == 12
    assert found.losses["entities"]["noise"] == 3
    assert [str(row.origin.reason)[:6] for row in found.dropped if str(row.origin.reason) != "surplus"] == [
        "noise:"
    ] * 3
    by_key = {row.key: row for row in sentences(12)}
    for row in found.kept:
        assert set(by_key[row.origin.parent_key].values) <= set(row.example.text.split())


class ShyTuner(ScriptedTuner):
    """Writes for the first rows alone."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def write(
        self, prompts: Sequence[AttributePrompt], *, style: WritingStyle, candidates: int, seed: int
    ) -> list[list[Written]]:
        texts = super().write(prompts, style=style, candidates=candidates, seed=seed)
        return [of_row if row < self.rows else [] for row, of_row in enumerate(texts)]


def test_of_few_texts_the_same_share_goes_as_noise_and_what_is_missing_is_told() -> None:
    # 15 are asked for, two for each of the first three rows; none for the others comes.
    found = made(ShyTuner(3), max_rounds=1)
    assert len(found.kept) + found.losses["entities"]["noise"] == 6
    assert len(found.kept) == 5
    assert found.stopped == "The rounds ran out; texts missing for entities (7)."


def test_enough_texts_after_denoising_are_enough() -> None:
    # 14 of the 15 asked for: one row has none.
    found = made(ShyTuner(11), max_rounds=1)
    assert len(found.kept) + found.losses["entities"]["noise"] == 14
    assert len(found.kept) == 12
    assert found.stopped == "Every class has its texts."


def test_candidates_that_cannot_differ_are_refused() -> None:
    with pytest.raises(SettingsError, match="all 4 candidates would be the same text; set candidates = 1"):
        SoftPromptMixtureSettings.checked({"temperature": 0})
    assert SoftPromptMixtureSettings.checked({"temperature": 0, "candidates": 1}).candidates == 1
    assert SoftPromptMixtureSettings.checked({"temperature": 0, "beams": True}).beams


def test_guidance_does_not_go_with_beams() -> None:
    with pytest.raises(SettingsError, match="guidance_scale = 2 needs texts that are drawn each on its own"):
        SoftPromptMixtureSettings.checked({"guidance_scale": 2, "beams": True})


def test_guidance_is_against_the_same_words_without_what_the_text_must_contain() -> None:
    tuner = ScriptedTuner()
    made(tuner, guidance_scale=2)
    assert {style.guidance_scale for style in tuner.styles} == {2.0}
    for prompt in tuner.prompts:
        shown, contains, asked = prompt.words.rpartition("Contains: ")
        assert asked == f"{'; '.join(prompt.values)}\nText:"
        assert prompt.bare_words == f"{shown}{contains}\nText:"


def test_without_denoising_all_texts_stay() -> None:
    found = made(ScriptedTuner(), denoising="none")
    assert len(found.kept) == 12
    assert "noise" not in found.losses["entities"]


def test_texts_that_lack_a_value_are_asked_for_again_and_never_kept() -> None:
    tuner = ScriptedTuner(text="no value {draw}")
    found = made(tuner, max_rounds=3)
    assert not found.kept
    assert len(tuner.styles) == 3
    assert found.losses["entities"]["missing"] == len(found.dropped) > 0


def test_development_rows_are_not_trained_on() -> None:
    tuner = ScriptedTuner()
    made(tuner, development=0.25)
    assert (len(tuner.trained), len(tuner.development)) == (9, 3)
    assert set(tuner.trained) | set(tuner.development) == set(GOLD.texts)


def test_the_prompt_of_the_paper_has_what_must_be_said_then_exemplars_alone() -> None:
    row, first = parsed("wake me at 5", ["set"], time="at 5"), parsed("ring at 6", ["set"], time="at 6")
    gold = corpus_of([row, first])
    assert attributes_prompt(row, [first], gold, words="paper") == "at 5. Notes:\n1. ring at 6\n2."
    assert attributes_prompt(row, [first], gold) == (
        "Notes, each with what it must contain:\n\nContains: at 6\nText: ring at 6\n\nContains: at 5\nText:"
    )


def test_a_prompt_lists_a_string_as_often_as_it_must_stand_in_the_text() -> None:
    text, mentions = "me and me", (Mention(0, "me", "who"), Mention(7, "me", "who"))
    gold = corpus_of([parsed("x", ["set"])])
    assert metadata(AnnotatedExample((text,), "parses", (), mentions), gold) == "me; me"
    assert metadata(AnnotatedExample((text,), "entities", (), mentions), gold) == "me"


def test_intents_are_told_by_their_descriptions() -> None:
    row = parsed("hello", ["greet", "ask"])
    assert metadata(row, Corpus((row,), ("parses",), {"greet": "saying hello"}, "notes", ("greet", "ask"))) == (
        "saying hello; ask"
    )


def test_intents_and_slots_are_mixed_apart_and_the_row_itself_is_shown_only_on_demand() -> None:
    rows = [parsed("wake me at 5", ["set"], time="at 5"), parsed("ring at 6", ["set"], time="at 6")]
    gold, settings = corpus_of(rows), SoftPromptMixtureSettings(exemplars=1)
    (prompt, _) = prompts_for(rows, gold, rows, settings, np.random.default_rng(0))
    assert prompt.groups == (("set",), ("time",))
    assert prompt.values == ("at 5",)
    assert "wake me" not in prompt.words
    (prompt, _) = prompts_for(rows, gold, rows, settings, np.random.default_rng(0), own_text=True)
    assert "wake me at 5" in prompt.words


def test_the_shape_holds_every_attribute_and_room_for_the_most_of_a_text() -> None:
    rows = [parsed("a b c", ["x"], one="a", two="b"), parsed("d", ["y"])]
    shape = shape_of(corpus_of(rows), SoftPromptMixtureSettings())
    assert list(shape.descriptions) == ["one", "two", "x", "y"]
    assert shape.most_attributes == 2
    assert shape.instruction == "Show me one more of these notes. It expresses all of the following"


def test_the_same_rng_gives_the_same_rows() -> None:
    assert made(ScriptedTuner()) == made(ScriptedTuner())


@pytest.mark.parametrize("denoising", ["rank", "sample"])
def test_texts_of_rare_attributes_stay(denoising: str) -> None:
    rows = [*(parsed(f"ring {number}", ["often"]) for number in range(11)), parsed("wake", ["seldom"])]
    found = made(
        ScriptedTuner(text="a note {draw}"), corpus_of(rows), denoising=denoising, distance_weight=0.0, development=0.0
    )
    assert sum("seldom" in getattr(row.example, "intents", ()) for row in found.kept) >= 1
