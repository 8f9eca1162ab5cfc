import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles import FakeEncoder
from tests.writers import Fluent

from crossfade.data import Augmented, Corpus, Example
from crossfade.errors import SettingsError
from crossfade.methods.promptmix import PromptMixSettings, augment, draw_groups
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Form, Reply, Request, TextModel

LABELS = ("card", "loan", "rate", "atm")
DESCRIPTIONS = {"card": "lost cards", "loan": "borrowing money", "rate": "exchange rates", "atm": "cash machines"}
GOLD = Corpus(
    tuple(Example((f"{label} gold{number} text{number}",), label) for label in LABELS for number in range(3)),
    LABELS,
    DESCRIPTIONS,
)
PAIRS = Corpus(
    (Example(("it rains hard", "it is wet"), "yes"), Example(("it rains now", "it is dry"), "no")), ("yes", "no")
)
MIXED = re.compile(r'belongs (\d+)% to the class "(\w+)" and (\d+)% to the class "(\w+)"')
TARGET = re.compile(r'to the class "(\w+)"')


class CutOff:
    """Hits its token limit in the middle of every reply's last text."""

    name = "cut off"
    preferred_form: Form = "instruct"

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        fluent = Fluent()
        for request in requests:
            yield Reply(request=request, text=f"{fluent(request)}\n- half a te", finish="length")


class Flaky:
    """Fails on the given requests (counted from 0), and answers the others well."""

    name = "flaky"
    preferred_form: Form = "instruct"

    def __init__(self, failing: set[int]) -> None:
        self.failing = failing
        self.fluent = Fluent()

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            if len(self.fluent.requests) in self.failing:
                self.fluent.requests.append(request)
                yield Reply(request=request, error="The server said no.")
            else:
                yield Reply(request=request, text=self.fluent(request), finish="stop")


def run(
    writer: TextModel | Fluent, gold: Corpus = GOLD, *, form: Form = "instruct", seed: int = 0, **values: Any
) -> Augmented:
    return augment(
        gold,
        writer=ScriptedModel(writer, preferred_form=form) if isinstance(writer, Fluent) else writer,
        encoder=FakeEncoder(),
        settings=PromptMixSettings.checked({"texts_per_class": 6, **values}),
        rng=np.random.default_rng(seed),
    )


def assert_nothing_is_lost(made: Augmented) -> None:
    for label, counts in made.losses.items():
        fates = sum(counts.get(stage, 0) for stage in ("accepted", "unparsable", "duplicate", "surplus", "failed"))
        assert fates == counts.get("written", 0)
        dropped = Counter(
            str(row.origin.reason).split(":")[0] for row in made.dropped if row.origin.written_label == label
        )
        assert all(counts[reason] == number for reason, number in dropped.items())
        assert counts["kept"] == sum(row.origin.written_label == label for row in made.kept)
        assert counts["kept"] + dropped.total() == counts.get("written", 0)


def test_every_class_gets_exactly_its_texts() -> None:
    made = run(Fluent(), texts_per_class=7)
    assert Counter(row.origin.written_label for row in made.kept) == dict.fromkeys(LABELS, 7)
    assert all(row.example.label == row.origin.written_label for row in made.kept)
    assert made.stopped == "Every class has its texts."
    assert_nothing_is_lost(made)


def test_class_that_stays_short_is_named_with_what_it_lacks() -> None:
    made = run(ScriptedModel(lambda _: "always the same"), texts_per_class=5, max_rounds=2)
    assert len(made.kept) == 1
    assert made.stopped.startswith("The rounds ran out")
    lacking = {label: counts.get("accepted", 0) for label, counts in made.losses.items()}
    assert all(f"{label} ({5 - accepted})" in made.stopped for label, accepted in lacking.items())
    assert_nothing_is_lost(made)


def test_well_behaved_writer_is_asked_hardly_more_than_it_must() -> None:
    fluent = Fluent()
    made = run(fluent, texts_per_class=12)
    assert len(made.kept) == 48
    assert len(fluent.requests) <= 1.3 * len(made.kept) / 3
    assert sum(counts["requests"] for counts in made.losses.values()) == len(fluent.requests)


def test_all_texts_of_a_reply_are_kept_not_the_first_alone() -> None:
    fluent = Fluent(per_reply=10)
    made = run(fluent, texts_per_class=10, texts_per_request=10)
    assert len(fluent.requests) == 4
    assert len(made.kept) == 40
    assert made.dropped == ()


def test_texts_beyond_what_a_class_wants_are_recorded_as_surplus() -> None:
    made = run(Fluent(per_reply=10), texts_per_class=4, texts_per_request=4)
    assert len(made.kept) == 16
    assert [row.origin.reason for row in made.dropped] == ["surplus"] * 24
    assert {counts["surplus"] for counts in made.losses.values()} == {6}
    assert_nothing_is_lost(made)


def test_writing_is_topped_up_in_further_rounds() -> None:
    fluent = Fluent(per_reply=1)
    made = run(fluent, texts_per_class=6)
    assert len(made.kept) == 24
    assert {row.origin.round_index for row in made.kept} == {0, 1}
    assert len({request.sample for request in fluent.requests}) == len(fluent.requests)


def test_no_more_rounds_are_run_than_allowed() -> None:
    made = run(Fluent(per_reply=1), texts_per_class=9, max_rounds=1)
    assert {row.origin.round_index for row in made.kept} == {0}
    assert {counts["accepted"] for counts in made.losses.values()} == {3}


def test_near_copies_of_earlier_texts_and_of_gold_are_dropped() -> None:
    long = " ".join(f"word{number}" for number in range(30))
    lines = [long, f"{long} more", GOLD.texts[0], "quite another thing"]
    made = run(ScriptedModel(lambda _: "\n".join(lines)), texts_per_class=3, max_rounds=1)
    assert sorted(row.example.text for row in made.kept) == ["quite another thing", long]
    assert {row.origin.reason for row in made.dropped} == {"duplicate"}
    assert_nothing_is_lost(made)


def test_copies_of_texts_kept_in_an_earlier_round_are_dropped() -> None:
    made = run(ScriptedModel(lambda _: "always the same"), max_rounds=3)
    assert len(made.kept) == 1
    assert {row.origin.round_index for row in made.dropped} == {0, 1, 2}


def test_preambles_are_no_texts() -> None:
    fluent = Fluent()
    made = run(ScriptedModel(lambda request: f"Sure! Here are three texts:\n- {fluent(request)}"), texts_per_class=3)
    assert len(made.kept) == 12
    assert {row.origin.reason for row in made.dropped} == {"unparsable: preamble"}
    assert {counts["unparsable"] for counts in made.losses.values()} == {1}
    assert_nothing_is_lost(made)


def test_last_line_of_a_reply_that_was_cut_off_is_no_text() -> None:
    made = run(CutOff(), texts_per_class=3)
    assert len(made.kept) == 12
    assert [row.origin.reason for row in made.dropped] == ["unparsable: cut off"] * 4


def test_failed_replies_are_counted_and_made_up_for() -> None:
    made = run(Flaky({0, 5}), texts_per_class=6)
    assert len(made.kept) == 24
    failed = [row for row in made.dropped if row.origin.reason == "failed: request"]
    assert [row.example.text for row in failed] == ["The server said no."] * 2
    assert sum(counts.get("failed", 0) for counts in made.losses.values()) == 2
    assert_nothing_is_lost(made)


@pytest.mark.parametrize("seed", range(3))
def test_loss_table_adds_up_for_an_unruly_writer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fluent = Fluent()

    def unruly(request: Request) -> str:
        pieces = ["Here are some:", "12345", "the same again", GOLD.texts[0], *fluent(request).split("\n")]
        return "\n".join(rng.choice(pieces, size=rng.integers(0, 6)))

    made = run(ScriptedModel(unruly), texts_per_class=5, max_rounds=3)
    assert made.dropped
    assert_nothing_is_lost(made)


def test_percentages_add_up_and_agree_with_the_origin() -> None:
    fluent = Fluent()
    made = run(fluent, texts_per_class=12)
    origins = {row.origin.prompt_digest: row.origin for row in made.kept}
    for request in fluent.requests:
        found = MIXED.search(request.prompt)
        assert found is not None
        first, target, second, partner = found.groups()
        assert int(first) + int(second) == 100
        assert int(first) >= 50
        origin = origins[request.prompt_digest]
        assert origin.parents == (target, partner)
        assert origin.written_label == target
        assert origin.ratio == pytest.approx(int(first) / 100)
    assert {origin.model for origin in origins.values()} == {"scripted"}


def test_partner_stands_in_the_group_and_is_never_the_target() -> None:
    fluent = Fluent()
    run(fluent, texts_per_class=24, classes_per_prompt=3)
    for request in fluent.requests:
        found = MIXED.search(request.prompt)
        assert found is not None
        _, target, _, partner = found.groups()
        assert partner != target
        assert {target, partner} <= set(re.findall(r"^\d\. (\w+),", request.prefix, flags=re.MULTILINE))
        assert len(re.findall(r"^\d\. ", request.prefix, flags=re.MULTILINE)) == 3


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_equal_prefixes_are_adjacent(form: Form) -> None:
    fluent = Fluent()
    run(fluent, texts_per_class=24, texts_per_request=3, form=form)
    first_round = fluent.requests[: len(LABELS) * 8]
    runs = [prefix for prefix, _ in groupby(request.prefix for request in first_round)]
    assert len(runs) == len(set(runs))


def test_requests_of_a_group_share_their_prefix_byte_for_byte() -> None:
    fluent = Fluent()
    run(fluent, texts_per_class=24, requests_per_group=4)
    # Eight requests for each of four classes, in two groups of sixteen.
    assert sorted(Counter(request.prefix for request in fluent.requests).values()) == [16, 16]


def test_same_rng_asks_the_same_in_the_same_order() -> None:
    first, second, other = Fluent(), Fluent(), Fluent()
    assert run(first) == run(second)
    run(other, seed=1)
    assert first.requests == second.requests
    assert first.requests != other.requests


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_without_mixing_no_partner_is_named(form: Form) -> None:
    fluent = Fluent()
    made = run(fluent, mixing=False, form=form)
    assert {(len(row.origin.parents), row.origin.ratio) for row in made.kept} == {(1, 1.0)}
    if form == "instruct":
        assert all("%" not in request.full_prompt for request in fluent.requests)
        assert all(len(TARGET.findall(request.prompt)) == 1 for request in fluent.requests)
    else:
        assert all(request.full_prompt.count("Texts about") == 1 for request in fluent.requests)


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_zero_shot_tells_classes_by_description_or_name(form: Form) -> None:
    gold = Corpus((), LABELS, {"card": "lost cards"})
    fluent = Fluent()
    made = run(fluent, gold, form=form)
    assert len(made.kept) == 24
    prompts = "".join(request.full_prompt for request in fluent.requests)
    assert "about lost cards" in prompts
    assert "loan" in prompts
    assert "Examples:" not in prompts


@pytest.mark.parametrize("preferred", ["instruct", "continue"])
def test_writer_is_asked_in_the_form_it_prefers(preferred: Form) -> None:
    fluent = Fluent()
    run(ScriptedModel(fluent, preferred_form=preferred))
    assert {request.form for request in fluent.requests} == {preferred}


def test_open_lists_tell_the_ratio_by_their_lengths() -> None:
    gold = Corpus(
        tuple(Example((f"{label} gold{number} text{number}",), label) for label in LABELS for number in range(10)),
        LABELS,
        DESCRIPTIONS,
    )
    fluent = Fluent()
    made = run(fluent, gold, form="continue", texts_per_class=30)
    origins = {row.origin.prompt_digest: row.origin for row in made.kept}
    for request in fluent.requests:
        origin = origins[request.prompt_digest]
        lists = request.full_prompt.split("\n\n")
        assert lists[-1].startswith(f"Texts about {DESCRIPTIONS[origin.parents[0]]}:\n")
        assert lists[-1].endswith("\n-")
        assert lists[-1].count("\n- ") == 10
        assert origin.ratio is not None
        beside = lists[0].count("\n- ") if len(lists) == 2 else 0
        assert abs(beside - 10 * (1 - origin.ratio) / origin.ratio) < 1
        if len(lists) == 2:
            assert lists[0].startswith(f"Texts about {DESCRIPTIONS[origin.parents[1]]}:\n")


@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_given_sampling_holds_in_every_form(form: Form) -> None:
    fluent = Fluent()
    run(fluent, form=form, temperature=0.0, max_tokens=33)
    assert {(request.sampling.temperature, request.sampling.max_tokens) for request in fluent.requests} == {(0.0, 33)}


@pytest.mark.parametrize(("form", "lines"), [("instruct", 0), ("continue", 5)])
def test_lists_ask_for_five_texts_and_instructions_for_three(form: Form, lines: int) -> None:
    fluent = Fluent()
    run(fluent, form=form)
    assert {request.lines for request in fluent.requests} == {lines}
    assert all(("a diverse set of 3 short" in request.prompt) == (form == "instruct") for request in fluent.requests)


def test_lists_of_longer_texts_get_more_room() -> None:
    long = Corpus(tuple(Example((row.text * 5,), row.label) for row in GOLD), LABELS)
    writers = Fluent(), Fluent()
    for fluent, gold in zip(writers, (GOLD, long), strict=True):
        run(fluent, gold, form="continue")
    short_room, long_room = (fluent.requests[0].sampling.max_tokens for fluent in writers)
    assert long_room > 2 * short_room


def test_no_more_examples_are_shown_than_asked_for() -> None:
    fluent = Fluent()
    run(fluent, examples_per_class=2)
    shown = [re.findall(r"^- (.+)$", request.prefix, flags=re.MULTILINE) for request in fluent.requests]
    assert {len(texts) for texts in shown} == {8}
    assert set().union(*shown) <= set(GOLD.texts)


def test_two_texts_are_written_and_read_around_the_separator() -> None:
    fluent = Fluent()

    def pairs(request: Request) -> str:
        first, second, single = fluent(request).split("\n- ")
        return f"{first} | {second}\n{single}\n{single} |"

    made = run(ScriptedModel(pairs), PAIRS, texts_per_class=2)
    assert len(made.kept) == 4
    assert all(len(row.example.texts) == 2 for row in made.kept)
    assert {row.origin.reason for row in made.dropped} == {"unparsable: not 2 texts around '|'"}
    assert "it rains hard | it is wet" in fluent.requests[0].prefix
    assert_nothing_is_lost(made)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(SettingsError, match="found 1"):
        run(Fluent(), Corpus((), ("card",)))


@given(st.integers(1, 9), st.integers(2, 5), st.integers(0, 99))
def test_groups_hold_every_target_once_and_are_filled_up(targets: int, size: int, seed: int) -> None:
    labels = [f"class{number}" for number in range(9)]
    groups = draw_groups(labels[:targets], labels, size, np.random.default_rng(seed))
    assert all(len(set(group)) == len(group) == size for group in groups)
    drawn = [label for group in groups for label in group][:targets]
    assert sorted(drawn) == sorted(labels[:targets])


def test_a_group_cannot_outgrow_the_label_set() -> None:
    (group,) = draw_groups(["a"], ["a", "b"], 4, np.random.default_rng(0))
    assert sorted(group) == ["a", "b"]
