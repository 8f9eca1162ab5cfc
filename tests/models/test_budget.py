import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from crossfade.errors import SettingsError
from crossfade.models.budget import (
    FREE,
    MILLION,
    UNKNOWN,
    Budget,
    Limits,
    Prices,
    Spent,
    at_most,
    cost_of,
)
from crossfade.roles import Reply, Request, Sampling, Usage

PRICES = Prices(prompt=2.0, cached=0.5, answer=10.0)
REQUEST = Request(prefix="ten chars ", prompt="and ten.. ", sampling=Sampling(max_tokens=30))
MOST = Spent(1, 11 + 30, (11 * 2.0 + 30 * 10.0) / MILLION)
USAGE = Usage(prompt_tokens=5, cached_tokens=3, answer_tokens=7)
COST = (2 * 2.0 + 3 * 0.5 + 7 * 10.0) / MILLION


def reply(**values: object) -> Reply:
    return replace(Reply(request=REQUEST, text="x", usage=USAGE), **values)  # type: ignore[arg-type]


def test_cost_is_money_per_million_tokens() -> None:
    million = Usage(prompt_tokens=MILLION, answer_tokens=MILLION)
    assert Prices(prompt=3.0, answer=15.0).cost(million) == 18.0
    assert FREE.cost(million) == 0


def test_cached_tokens_have_their_own_price_or_that_of_the_prompt() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=600, answer_tokens=0)
    assert PRICES.cost(usage) == pytest.approx((400 * 2.0 + 600 * 0.5) / MILLION)
    assert Prices(prompt=2.0, answer=10.0).cost(usage) == pytest.approx(1000 * 2.0 / MILLION)
    assert Prices(prompt=2.0, cached=0.0, answer=10.0).cost(usage) == pytest.approx(400 * 2.0 / MILLION)


@pytest.mark.parametrize("prices", [UNKNOWN, Prices(prompt=1.0), Prices(answer=1.0), Prices(cached=1.0)])
def test_half_known_prices_are_unknown(prices: Prices) -> None:
    assert prices.cost(USAGE) is None


def test_most_that_a_call_may_cost_is_a_dense_prompt_and_the_longest_answer() -> None:
    assert at_most(REQUEST, PRICES) == MOST
    assert at_most(REQUEST, UNKNOWN) == replace(MOST, cost=0.0)


@pytest.mark.parametrize(
    ("answer", "spent"),
    [
        (reply(), Spent(1, 12, COST)),
        (reply(usage=Usage()), Spent(1, 0, 0.0)),
        # Refused before the model was asked.
        (reply(text="", error="HTTP 400: too long", usage=Usage()), Spent()),
        # It is in the bill, though nothing came of it.
        (reply(text="", error="HTTP 200: cut short", ask_again=True), Spent(1, 12, COST)),
        (reply(text="", error="No HTTP status", ask_again=True, usage=Usage()), MOST),
        (reply(text="", error="HTTP 200: the answer holds no text"), Spent(1, 12, COST)),
    ],
)
def test_cost_of_a_call_is_what_it_says_or_the_most_when_it_broke_unsaid(answer: Reply, spent: Spent) -> None:
    assert cost_of(answer, PRICES) == spent


@pytest.mark.parametrize(
    ("limits", "fit"),
    [
        (Limits(), 10),
        (Limits(requests=3), 3),
        (Limits(requests=0), 0),
        (Limits(tokens=2 * MOST.tokens), 2),
        (Limits(tokens=3 * MOST.tokens - 1), 2),
        (Limits(cost=4.5 * MOST.cost), 4),
        (Limits(requests=5, tokens=4 * MOST.tokens, cost=2.5 * MOST.cost), 2),
    ],
)
def test_requests_are_admitted_while_the_most_that_they_may_cost_fits(limits: Limits, fit: int) -> None:
    budget = Budget(limits)
    assert [budget.admit(REQUEST, PRICES) for _ in range(10)] == [True] * fit + [False] * (10 - fit)
    assert budget.spent == Spent()


def test_what_was_set_aside_and_not_needed_is_free_again() -> None:
    budget = Budget(Limits(tokens=MOST.tokens + 12))
    assert budget.admit(REQUEST, PRICES)
    assert not budget.admit(REQUEST, PRICES)
    budget.settle(reply(), PRICES)
    assert budget.spent == Spent(1, 12, COST)
    assert budget.admit(REQUEST, PRICES)
    assert not budget.admit(REQUEST, PRICES)


def test_request_that_was_refused_leaves_its_place_to_another() -> None:
    budget = Budget(Limits(requests=1))
    assert budget.admit(REQUEST, PRICES)
    budget.settle(reply(text="", error="HTTP 400: too long", usage=Usage()), PRICES)
    assert budget.admit(REQUEST, PRICES)
    budget.settle(reply(), PRICES)
    assert not budget.admit(REQUEST, PRICES)


def test_broken_answer_of_unknown_usage_is_paid_as_the_most() -> None:
    budget = Budget(Limits(tokens=2 * MOST.tokens - 1))
    assert budget.admit(REQUEST, PRICES)
    budget.settle(reply(text="", error="No HTTP status", ask_again=True, usage=Usage()), PRICES)
    assert budget.spent == MOST
    assert not budget.admit(REQUEST, PRICES)


def test_earlier_processes_count() -> None:
    budget = Budget(Limits(requests=3))
    budget.add(Spent(2, 100, 0.5))
    assert budget.admit(REQUEST, UNKNOWN)
    assert not budget.admit(REQUEST, UNKNOWN)
    assert budget.spent == Spent(2, 100, 0.5)


def test_limit_on_money_needs_a_price() -> None:
    Budget(Limits(cost=1.0)).require_prices(PRICES, "writer")
    Budget(Limits(cost=1.0)).require_prices(FREE, "writer")
    Budget(Limits(requests=1, tokens=1)).require_prices(UNKNOWN, "writer")
    with pytest.raises(SettingsError, match=r"max_cost is 1.0, but what the judge costs is unknown") as caught:
        Budget(Limits(cost=1.0)).require_prices(UNKNOWN, "judge")
    assert "judge.prompt_price" in caught.value.hint


def test_reached_names_the_limits_that_are_set_and_how_to_go_on() -> None:
    budget = Budget(Limits(requests=5, cost=0.25))
    budget.add(Spent(5, 1000, 0.125))
    error = budget.reached()
    assert error.message.endswith("max_requests = 5 (5 spent), max_cost = 0.25 (0.125 spent).")
    assert "max_tokens" not in error.message
    assert "start again" in error.hint


def test_limit_is_never_passed_however_many_threads_ask() -> None:
    budget = Budget(Limits(requests=100))
    calls: list[int] = []
    together = threading.Barrier(16)

    def work() -> None:
        together.wait(timeout=60)
        for turn in range(50):
            if budget.admit(REQUEST, PRICES):
                refused = turn % 3 == 0
                calls.append(not refused)
                budget.settle(reply(text="", error="HTTP 400", usage=Usage()) if refused else reply(), PRICES)

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(work) for _ in range(16)]:
            future.result(timeout=60)
    assert sum(calls) == budget.spent.requests == 100
    assert not budget.admit(REQUEST, PRICES)
    assert budget.spent.tokens == 100 * 12
