import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from tests.doubles import FakeEncoder
from tests.writers import GuidedScript, guidance_of

from crossfade.data import Augmented, Corpus, Example
from crossfade.errors import ModelError, SettingsError
from crossfade.methods.logit_mixup import LogitMixupSettings, augment, order_by_nearness, write_between
from crossfade.roles import Form, Reply, Request

LABELS = ("card", "loan", "rate", "atm")
DESCRIPTIONS = {"card": "lost cards", "loan": "borrowing money", "rate": "exchange rates"}
GOLD = Corpus(
    tuple(Example((f"{label} gold{number} text{number}",), label) for label in LABELS for number in range(3)),
    LABELS,
    DESCRIPTIONS,
    "messages",
)


def write(writer: GuidedScript, gold: Corpus = GOLD, seed: int = 0, **settings: object) -> Augmented:
    return augment(
        gold,
        writer=writer,
        encoder=FakeEncoder(),
        settings=LogitMixupSettings.checked({"texts_per_class": 8, **settings}),
        rng=np.random.default_rng(seed),
    )


def test_every_class_gets_its_texts_with_one_request_each() -> None:
    writer = GuidedScript()
    made = write(writer)

    assert Counter(row.example.label for row in made.kept) == dict.fromkeys(LABELS, 8)
    assert len(writer.requests) == 32
    assert len({request.digest("m") for request in writer.requests}) == 32
    assert made.stopped == "Every class has its texts."


def test_each_class_has_its_own_list_to_go_on_with() -> None:
    writer = GuidedScript()
    write(writer)
    for request in writer.requests:
        guidance = guidance_of(request)
        assert request.sampling.stop == ("\n",)
        for name, prompt in zip(guidance.names, guidance.prompts, strict=True):
            head, *items, open_dash = prompt.split("\n")
            assert head == f"Messages about {DESCRIPTIONS.get(name, name)}:"
            assert sorted(items) == [f"- {name} gold{number} text{number}" for number in range(3)]
            assert open_dash == "-"


def test_every_second_set_of_prompts_tells_classes_by_their_descriptions_alone() -> None:
    writer = GuidedScript()
    write(writer, texts_per_class=16, ratios=(1.0,))
    with_examples = {"gold" in prompt for request in writer.requests for prompt in guidance_of(request).prompts}
    assert with_examples == {True, False}
    bare = next(request for request in writer.requests if "gold" not in request.full_prompt)
    guidance = guidance_of(bare)
    for name, prompt in zip(guidance.names, guidance.prompts, strict=True):
        assert prompt.startswith("Here are 5 short messages.")
        assert DESCRIPTIONS.get(name, name) in prompt
        assert prompt.endswith("-")


@pytest.mark.parametrize(("prompts", "shown"), [("examples", True), ("descriptions", False)])
def test_prompts_can_be_of_one_kind(prompts: str, shown: bool) -> None:
    writer = GuidedScript()
    write(writer, texts_per_class=16, prompts=prompts)
    assert {"gold" in request.full_prompt for request in writer.requests} == {shown}


def test_chat_form_asks_for_one_more_text_of_the_class() -> None:
    writer = GuidedScript("instruct")
    write(writer, texts_per_class=1)
    request = writer.requests[0]
    guidance = guidance_of(request)
    assert request.form == "instruct"
    for name, prompt in zip(guidance.names, guidance.prompts, strict=True):
        assert f'belong to the class "{name}"' in prompt
        assert "Write 1 more short messages of this class" in prompt


def test_ratio_is_shared_between_target_and_partner_and_the_rest_pushed_away() -> None:
    writer = GuidedScript()
    made = write(writer, strength=0.7, cut=3.0, anneal=5)
    ratios = []
    for row, request in zip(made.kept, sorted_as_kept(writer, made), strict=True):
        guidance = guidance_of(request)
        target, partner = row.origin.parents
        assert row.origin.ratio is not None
        ratios.append(row.origin.ratio)
        shares = dict(zip(guidance.names, guidance.shares, strict=True))
        assert shares == pytest.approx(
            dict.fromkeys(LABELS, 0.0) | {partner: 1 - row.origin.ratio, target: row.origin.ratio}
        )
        assert (guidance.strength, guidance.cut, guidance.anneal) == (0.7, 3.0, 5)
    assert len(set(ratios)) > 3
    assert min(ratios) >= 0.5


def sorted_as_kept(writer: GuidedScript, made: Augmented) -> list[Request]:
    """Return the request of each kept row; the script numbers its texts."""
    return [writer.requests[int(re.findall(r"\d+", row.example.text)[0]) - 1] for row in made.kept]


def test_ratio_is_the_soft_label_and_the_decoding_casts_a_vote() -> None:
    for row in write(GuidedScript(), ratios=(0.75,)).kept:
        target, partner = row.origin.parents
        assert row.probabilities == {target: 0.75, partner: 0.25}
        assert row.origin.votes == {"decoding": target}
        assert row.origin.logprobs[target] == pytest.approx(-9.25)
        assert row.origin.written_label == row.example.label == target


def test_given_ratios_are_spread_evenly() -> None:
    made = write(GuidedScript(), ratios=(0.6, 0.8))

    counts = Counter((row.example.label, row.origin.ratio) for row in made.kept)
    assert set(counts.values()) == {4}


def test_ratio_of_one_is_guided_writing_of_a_single_class() -> None:
    writer = GuidedScript()
    made = write(writer, ratios=(1.0,))
    for row, request in zip(made.kept, sorted_as_kept(writer, made), strict=True):
        assert row.origin.parents == (row.example.label,)
        assert row.probabilities == {row.example.label: 1.0}
        assert sorted(guidance_of(request).shares) == [0.0, 0.0, 0.0, 1.0]


def test_partner_without_a_share_is_not_pushed_away() -> None:
    writer = GuidedScript()
    made = write(writer, ratios=(0.75, 1.0))
    silent: Counter[float | None] = Counter()
    for row, request in zip(made.kept, sorted_as_kept(writer, made), strict=True):
        guidance = guidance_of(request)
        away = {name for name, avoided in zip(guidance.names, guidance.avoided, strict=True) if avoided}
        assert away == set(LABELS) - set(row.origin.parents)
        silent[row.origin.ratio] += len(guidance.silent)
    assert silent == {0.75: 0, 1.0: 16}


def test_only_the_nearest_classes_are_pushed_away() -> None:
    gold = Corpus(
        tuple(
            Example((text,), label) for label, text in (("a", "x y z"), ("b", "x y q"), ("c", "m n o"), ("d", "x k l"))
        ),
        ("a", "b", "c", "d"),
    )
    encoder = FakeEncoder()
    nearest = order_by_nearness(gold, encoder)
    assert [gold.labels[index] for index in nearest[0]][:1] == ["b"]
    writer = GuidedScript()
    write(writer, gold, ratios=(1.0,), contrast_classes=1, texts_per_class=1)
    for request in writer.requests:
        guidance = guidance_of(request)
        target = guidance.names[guidance.shares.index(1.0)]
        assert set(guidance.names) == {target, gold.labels[nearest[gold.labels.index(target)][0]]}


def test_texts_of_one_prompt_stand_together_and_other_prompts_have_other_orders() -> None:
    writer = GuidedScript()
    write(writer, texts_per_class=24, texts_per_prompt=8, ratios=(1.0,))
    prompts = [guidance_of(request).prompts for request in writer.requests]
    changes = sum(one != other for one, other in pairwise(prompts))
    assert changes == len(set(prompts)) - 1 == 2, "three orders, each read once for all four classes"


def test_repeated_and_empty_texts_are_asked_for_anew() -> None:
    made = write(GuidedScript(text="the same text every time"), texts_per_class=2, max_rounds=2)
    reasons = Counter(row.origin.reason for row in made.dropped)

    assert len(made.kept) == 1
    assert set(reasons) == {"duplicate"}
    assert made.stopped.startswith("The rounds ran out")


def test_same_seed_gives_the_same_requests() -> None:
    first, again, other = GuidedScript(), GuidedScript(), GuidedScript()
    write(first)
    write(again)
    write(other, seed=1)

    assert first.requests == again.requests
    assert first.requests != other.requests


@pytest.mark.parametrize("ratios", [(), (1.2,), (0.4, 0.5)])
def test_ratios_out_of_range_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match=r"ratios.*between 0\.5 and 1"):
        LogitMixupSettings.checked({"ratios": ratios})


def test_one_class_cannot_be_mixed() -> None:
    with pytest.raises(SettingsError, match="mixes classes"):
        write(GuidedScript(), Corpus((Example(("x",), "a"),), ("a",)))


def test_texts_between_two_classes_come_in_the_order_of_their_ratios() -> None:
    writer = GuidedScript()
    rows = write_between(
        GOLD,
        "loan",
        "card",
        (0.0, 0.25, 1.0),
        2,
        writer=writer,
        encoder=FakeEncoder(),
        settings=LogitMixupSettings(),
        rng=np.random.default_rng(0),
    )

    assert [row.ratio for row in rows] == [0.0, 0.0, 0.25, 0.25, 1.0, 1.0]
    assert [row.log_odds for row in rows] == pytest.approx([-1.0, -1.0, -0.5, -0.5, 1.0, 1.0])
    assert len({guidance_of(request).prompts for request in writer.requests}) == 1
    assert {guidance_of(request).avoided for request in writer.requests} == {(False, False, True, True)}
    assert guidance_of(writer.requests[0]).names[:2] == ("loan", "card")


def test_failed_text_between_two_classes_is_an_error() -> None:
    class Failing:
        name = "failing"
        preferred_form: Form = "continue"

        def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
            for request in requests:
                yield Reply(request=request, error="No memory.")

    with pytest.raises(ModelError, match="No memory"):
        write_between(
            GOLD,
            "loan",
            "card",
            (0.5,),
            1,
            writer=Failing(),
            encoder=FakeEncoder(),
            settings=LogitMixupSettings(),
            rng=np.random.default_rng(0),
        )
