from collections import Counter
from typing import Any

import numpy as np
import pytest
from tests.doubles import FakeEncoder
from tests.writers import Fluent

from crossfade.data import Augmented, Corpus, Example
from crossfade.errors import SettingsError
from crossfade.methods.example_prompting import ExamplePromptingSettings, augment
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Form, Request

LABELS = ("lost_card", "loan")
GOLD = Corpus(
    tuple(Example((f"{label} gold{number}",), label) for label in LABELS for number in range(4)),
    LABELS,
    {"loan": "borrowing money"},
    kind="questions",
)
PAIRS = Corpus((Example(("it rains", "it is wet"), "yes"), Example(("it snows", "it is dry"), "no")), ("yes", "no"))


def run(fluent: Fluent, gold: Corpus = GOLD, form: Form = "instruct", seed: int = 0, **values: Any) -> Augmented:
    return augment(
        gold,
        writer=ScriptedModel(fluent, preferred_form=form),
        encoder=FakeEncoder(),
        settings=ExamplePromptingSettings.checked({"texts_per_class": 6, **values}),
        rng=np.random.default_rng(seed),
    )


def test_instruction_shows_the_examples_of_one_class() -> None:
    gold = GOLD.rows([0, 4])
    fluent = Fluent()
    run(fluent, gold)
    assert {request.full_prompt for request in fluent.requests} == {
        'These questions all belong to the class "lost_card":\n- lost_card gold0\n\n'
        "Write 3 more short questions of this class, unlike those above and unlike each other. One per line, nothing "
        "else.\nExample 1:",
        'These questions all belong to the class "loan", which is about borrowing money:\n- loan gold0\n\n'
        "Write 3 more short questions of this class, unlike those above and unlike each other. One per line, nothing "
        "else.\nExample 1:",
    }


def test_list_to_continue_holds_the_examples_of_one_class() -> None:
    fluent = Fluent()
    run(fluent, GOLD.rows([0, 4]), form="continue")
    assert {request.full_prompt for request in fluent.requests} == {
        "Questions about lost card:\n- lost_card gold0\n-",
        "Questions about borrowing money:\n- loan gold0\n-",
    }


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_examples_are_drawn_anew_and_no_more_than_asked_for(form: Form) -> None:
    fluent = Fluent()
    made = run(fluent, form=form, examples_per_class=2, texts_per_class=24)
    shown = Counter(request.prefix for request in fluent.requests)
    assert {prefix.count("gold") for prefix in shown} == {2}
    assert len(shown) > 4
    assert Counter(row.example.label for row in made.kept) == dict.fromkeys(LABELS, 24)
    assert {row.origin.method for row in made.kept} == {"example_prompting"}


def test_same_rng_asks_the_same() -> None:
    first, second, other = Fluent(), Fluent(), Fluent()
    assert run(first) == run(second)
    run(other, seed=1)
    assert first.requests == second.requests
    assert first.requests != other.requests


def test_pairs_are_shown_and_read_around_the_separator() -> None:
    fluent = Fluent()

    def pair(request: Request) -> str:
        return fluent(request).replace("\n- ", " | ", 1).replace("\n- ", "\n")

    made = augment(
        PAIRS,
        writer=ScriptedModel(pair),
        encoder=FakeEncoder(),
        settings=ExamplePromptingSettings(texts_per_class=2),
        rng=np.random.default_rng(0),
    )
    assert "- it rains | it is wet\n" in "".join(request.prefix for request in fluent.requests)
    assert {len(row.example.texts) for row in made.kept} == {2}


def test_class_without_examples_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"none of loan\. .*label_prompting"):
        run(Fluent(), GOLD.rows([0]))
