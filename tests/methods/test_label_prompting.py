from collections import Counter

import numpy as np
import pytest
from tests.doubles import FakeEncoder
from tests.writers import Fluent

from crossfade.data import Augmented, Corpus, Example
from crossfade.errors import SettingsError
from crossfade.methods.label_prompting import LabelPromptingSettings, augment
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Form

GOLD = Corpus(
    (Example(("my gold1 is gone",), "lost_card"), Example(("a gold2 please",), "loan")),
    ("lost_card", "loan"),
    {"loan": "borrowing money"},
    kind="questions",
)


def run(fluent: Fluent, gold: Corpus = GOLD, form: Form = "instruct") -> Augmented:
    return augment(
        gold,
        writer=ScriptedModel(fluent, preferred_form=form),
        encoder=FakeEncoder(),
        settings=LabelPromptingSettings(texts_per_class=6),
        rng=np.random.default_rng(0),
    )


def test_instruction_names_the_description_or_the_class_in_words() -> None:
    fluent = Fluent()
    run(fluent)
    assert {request.full_prompt for request in fluent.requests} == {
        "Write a diverse set of 3 short questions about lost card. One per line, nothing else.\nExample 1:",
        "Write a diverse set of 3 short questions about borrowing money. One per line, nothing else.\nExample 1:",
    }


def test_list_to_continue_is_empty() -> None:
    fluent = Fluent()
    run(fluent, form="continue")
    assert {request.full_prompt for request in fluent.requests} == {
        "Here are 5 short questions. Each of them is about lost card.\n\nQuestions:\n-",
        "Here are 5 short questions. Each of them is about borrowing money.\n\nQuestions:\n-",
    }
    assert {request.lines for request in fluent.requests} == {5}


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_no_gold_text_is_shown_and_none_is_needed(form: Form) -> None:
    with_gold, without = Fluent(), Fluent()
    made = run(with_gold, form=form)
    assert not [request for request in with_gold.requests if "gold" in request.full_prompt]
    zero_shot = run(without, Corpus((), GOLD.labels, GOLD.descriptions, GOLD.kind), form=form)
    assert Counter(row.example.label for row in made.kept) == {"lost_card": 6, "loan": 6}
    assert [row.example for row in zero_shot.kept] == [row.example for row in made.kept]


def test_equal_prompts_are_told_apart_by_their_sample() -> None:
    fluent = Fluent(per_reply=1)
    made = run(fluent)
    assert len(fluent.requests) > 4
    assert len({request.sample for request in fluent.requests}) == len(fluent.requests)
    assert {(row.origin.method, len(row.origin.parents), row.origin.ratio) for row in made.kept} == {
        ("label_prompting", 1, None)
    }


def test_pairs_of_texts_are_refused() -> None:
    pairs = Corpus((Example(("it rains", "it is wet"), "yes"),), ("yes", "no"))
    with pytest.raises(SettingsError, match="the data are pairs"):
        run(Fluent(), pairs)
