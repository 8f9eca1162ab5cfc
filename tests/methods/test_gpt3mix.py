import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.doubles import FakeEncoder

from crossfade.data import Augmented, Corpus, Example
from crossfade.errors import ModelError, SettingsError
from crossfade.methods.gpt3mix import SCORING, Gpt3MixSettings, augment, logprob_of_choice
from crossfade.models.embedded import EmbeddedModel
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Form, Reply, Request, TextModel

LABELS = ("lost_card", "loan", "rate")
GOLD = Corpus(
    tuple(Example((f"{label} gold{number}",), label) for label in LABELS for number in range(3)),
    LABELS,
    {"loan": "borrowing money"},
    kind="questions",
)
SHARES = {"lost_card": 0.6, "loan": 0.3, "rate": 0.05}


class Mixer:
    """Writes labelled texts, the labels of the prompt in turn, and tells how probable each label is."""

    name = "mixer"

    def __init__(self, form: Form = "continue", *, untold: frozenset[str] = frozenset()) -> None:
        self.preferred_form: Form = form
        self.untold = untold
        self.writing: list[Request] = []
        self.scoring: list[Request] = []
        self.written = 0

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            yield self.score(request) if request.choices else self.write(request)

    def write(self, request: Request) -> Reply:
        self.writing.append(request)
        items = []
        for label in [label for label in LABELS if f'"{label}"' in request.prefix]:
            self.written += 1
            items.append(f"alpha{self.written} beta{self.written} gamma{self.written} (label: {label})")
        return Reply(request=request, text="\n- ".join(items), finish="stop")

    def score(self, request: Request) -> Reply:
        self.scoring.append(request)
        (choice,) = request.choices
        if any(word in request.prompt for word in self.untold):
            return Reply(request=request, text=choice)
        share = SHARES[choice.strip(" )")]
        tokens = ((choice[:2], math.log(share)), (choice[2:], 0.0), ("", -7.0))
        return Reply(request=request, text=choice, token_logprobs=tokens)


def run(writer: TextModel, gold: Corpus = GOLD, seed: int = 0, **values: Any) -> Augmented:
    return augment(
        gold,
        writer=writer,
        encoder=FakeEncoder(),
        settings=Gpt3MixSettings.checked({"texts_per_class": 6, **values}),
        rng=np.random.default_rng(seed),
    )


def test_list_shows_examples_of_some_classes_with_their_labels() -> None:
    mixer = Mixer()
    gold = Corpus((GOLD.examples[0], GOLD.examples[3]), ("lost_card", "loan"), GOLD.descriptions, "questions")
    run(mixer, gold, soft_labels=False)
    assert {request.full_prompt for request in mixer.writing} == {
        "Questions, each with its label in brackets. The label is one of: "
        '"lost_card" or "loan" (borrowing money).\n\n'
        "- loan gold0 (label: loan)\n- lost_card gold0 (label: lost_card)\n-",
        "Questions, each with its label in brackets. The label is one of: "
        '"loan" (borrowing money) or "lost_card".\n\n'
        "- lost_card gold0 (label: lost_card)\n- loan gold0 (label: loan)\n-",
    }


def test_instruction_follows_the_list() -> None:
    mixer = Mixer("instruct")
    run(mixer)
    assert {request.prompt for request in mixer.writing} == {
        "\nContinue this list with 3 more items, unlike those above. One per line, each with its label in brackets, "
        "nothing else."
    }
    assert mixer.scoring[0].prompt.startswith("\nHere is one more item of this list:\n- alpha")
    assert mixer.scoring[0].prompt.endswith("Answer with one label and nothing else.")
    assert mixer.scoring[0].choices[0] in LABELS


def test_prompt_holds_as_many_classes_and_examples_as_asked_for() -> None:
    mixer = Mixer()
    made = run(mixer, classes_per_prompt=3, examples_per_class=2)
    assert {request.prefix.count("(label:") for request in mixer.writing} == {6}
    assert {len(row.origin.parents) for row in made.kept} == {3}


def test_label_is_the_one_that_was_written() -> None:
    made = run(Mixer(), soft_labels=False)
    assert Counter(row.example.label for row in made.kept) == dict.fromkeys(LABELS, 6)
    assert all(row.example.label == row.origin.written_label for row in made.kept)
    assert not any("(label" in row.example.text for row in made.kept)
    assert {row.origin.reason for row in made.dropped} <= {"surplus"}


def test_item_without_a_label_of_its_prompt_is_no_text() -> None:
    lines = ["no label at all", "wrong one (label: dog)", "good one here (label: loan)", "(label: loan)"]
    made = run(ScriptedModel(lambda _: "\n".join(lines)), soft_labels=False, max_rounds=1, classes_per_prompt=3)
    assert [row.example for row in made.kept] == [Example(("good one here",), "loan")]
    reasons = Counter(row.origin.reason for row in made.dropped)
    assert set(reasons) == {"unparsable: no label of its prompt", "duplicate"}
    assert reasons["unparsable: no label of its prompt"] == 3 * reasons["duplicate"] + 3


def test_soft_label_is_how_probable_each_label_of_the_prompt_is() -> None:
    made = run(Mixer())
    for row in made.kept:
        total = sum(SHARES[label] for label in row.origin.parents)
        assert row.probabilities == pytest.approx({label: SHARES[label] / total for label in row.origin.parents})
        assert row.example.label == max(row.origin.parents, key=lambda label: SHARES[label])
        assert row.origin.written_label in row.origin.parents
    assert {row.origin.written_label for row in made.kept} == set(LABELS)


def test_each_label_of_the_prompt_is_asked_for_once_after_the_text_and_its_list() -> None:
    mixer = Mixer()
    made = run(mixer)
    assert len(mixer.scoring) == 2 * len(made.kept)
    prefixes = {request.prefix for request in mixer.writing}
    for request in mixer.scoring:
        assert request.prefix in prefixes
        assert request.prompt.endswith(" (label:")
        assert request.sampling.logprobs
        assert request.choices[0] in {f" {label})" for label in LABELS}


def test_model_of_likelihoods_is_believed_as_it_is() -> None:
    class Likely(Mixer):
        def score(self, request: Request) -> Reply:
            (choice,) = request.choices
            return Reply(request=request, text=choice, choice_logprobs=(math.log(SHARES[choice.strip(" )")]),))

    assert run(Likely()).kept == run(Mixer()).kept


def test_without_soft_labels_nothing_is_scored() -> None:
    mixer = Mixer()
    made = run(mixer, soft_labels=False)
    assert mixer.scoring == []
    assert {len(row.probabilities) for row in made.kept} == {0}


def test_text_without_probabilities_is_dropped_and_counted() -> None:
    made = run(Mixer(untold=frozenset({"alpha1 "})))
    untold = [row for row in made.dropped if str(row.origin.reason).startswith("dropped")]
    assert [row.example.text for row in untold] == ["alpha1 beta1 gamma1"]
    assert sum(counts["kept"] for counts in made.losses.values()) == len(made.kept) == 17
    assert sum(counts["dropped"] for counts in made.losses.values()) == 1


def test_writer_that_tells_no_probability_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="'mixer' does not say how probable"):
        run(Mixer(untold=frozenset({"alpha"})))


def test_same_rng_asks_the_same() -> None:
    first, second, other = Mixer(), Mixer(), Mixer()
    assert run(first) == run(second)
    run(other, seed=1)
    assert first.writing == second.writing
    assert first.writing != other.writing


def test_one_class_is_refused() -> None:
    with pytest.raises(SettingsError, match="found 1"):
        run(Mixer(), Corpus(GOLD.examples[:3], LABELS[:1]))


def test_expected_requests_count_the_scoring() -> None:
    hard = Gpt3MixSettings(texts_per_class=10, soft_labels=False)
    soft = Gpt3MixSettings(texts_per_class=10)
    assert hard.first_requests("continue", 3) == 6
    assert soft.first_requests("continue", 3) == 6 + 3 * 10 * 2
    assert soft.requests_at_most("continue", 3) - hard.requests_at_most("continue", 3) == 60


@pytest.mark.model
def test_embedded_model_tells_how_probable_a_given_label_is() -> None:
    prefix = "Words, each with its label.\n\n- dog (label: animal)\n- red (label: colour)\n- cat (label: animal)\n-"
    requests = [
        Request(prefix=prefix, prompt=" blue (label:", form="continue", choices=(f" {label})",), sampling=SCORING)
        for label in ("colour", "animal")
    ]
    with EmbeddedModel(parallel=1, context=256, threads=1) as model:
        told = {reply.request.choices[0]: logprob_of_choice(reply) for reply in model.answer(requests)}
    colour, animal = told[" colour)"], told[" animal)"]
    assert colour is not None
    assert animal is not None
    assert animal < colour < 0
