import heapq
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.models import pace
from crossfade.models.pace import CUT, FIRST, MINUTE, AdaptiveLimit, Allowance, Pace, Share

TOKENS = 100


class Line:
    """An endpoint in virtual time: answers take a second until `saturation` requests are under way, then longer.

    Beyond `refuses_above` requests under way, a new one is refused instead.
    """

    def __init__(self, limit: AdaptiveLimit, saturation: int, refuses_above: float = float("inf")) -> None:
        self.limit = limit
        self.saturation = saturation
        self.refuses_above = refuses_above
        self.now = 0.0
        self.served_until = 0.0
        self.values: list[int] = []
        self.refusals = 0
        self._under_way: list[tuple[float, float, bool, bool]] = []

    def run(self, answers: int, *, demand: float = float("inf")) -> None:
        """Let so many requests come back, with at most `demand` under way."""
        for _ in range(answers):
            while len(self._under_way) < min(self.limit.value, demand):
                self._send()
            self.now, started, refused, full = heapq.heappop(self._under_way)
            if refused:
                self.refusals += 1
                self.limit.refused(self.now, started)
            else:
                self.limit.answered(self.now, self.now - started, TOKENS, full=full)
            self.values.append(self.limit.value)

    def _send(self) -> None:
        full = len(self._under_way) + 1 >= self.limit.value
        if len(self._under_way) >= self.refuses_above:
            heapq.heappush(self._under_way, (self.now + 0.01, self.now, True, full))
            return
        # One answer leaves the server every 1 / saturation seconds, none before it has taken a second.
        self.served_until = max(self.now + 1, self.served_until + 1 / self.saturation)
        heapq.heappush(self._under_way, (self.served_until, self.now, False, full))


@pytest.mark.parametrize("saturation", [1, 2, 4, 8, 12, 20, 32, 50])
def test_limit_ends_near_where_the_endpoint_saturates(saturation: int) -> None:
    line = Line(AdaptiveLimit(64), saturation)
    line.run(6000)
    late = sorted(line.values[3000:])
    assert 0.8 * saturation <= late[len(late) // 2] <= max(FIRST, 1.6 * saturation)
    assert late[-1] <= max(FIRST + 1, 2 * saturation)


@pytest.mark.parametrize("most", [1, 3, 16, 64])
def test_limit_grows_to_the_most_while_it_helps(most: int) -> None:
    line = Line(AdaptiveLimit(most), 1000)
    line.run(60 * most)
    assert line.values[-1] == most
    assert line.values == sorted(line.values)


def test_limit_stays_below_where_the_endpoint_refuses_most_of_the_time() -> None:
    line = Line(AdaptiveLimit(64), 1000, refuses_above=20)
    line.run(10_000)
    late = sorted(line.values[5000:])
    assert 10 <= late[len(late) // 2] <= 20
    assert late[-1] <= 32
    assert line.refusals <= 0.05 * 10_000


def test_refusals_of_requests_that_were_under_way_together_cut_once() -> None:
    limit = AdaptiveLimit(64, first=40)
    for _ in range(30):
        limit.refused(now=2.0, started=1.0)
    assert limit.value == int(40 * CUT)
    for _ in range(30):
        limit.refused(now=3.0, started=2.5)
    assert limit.value == int(int(40 * CUT) * CUT)


def test_refusals_now_and_then_are_no_reason_to_shrink() -> None:
    limit = AdaptiveLimit(64, first=40)
    for second in range(1, 2000):
        if second % 20:
            # Never full, so that no window moves the limit.
            limit.answered(float(second), 1.0, 10, full=False)
        else:
            limit.refused(now=float(second), started=second - 0.5)
    assert limit.value == 40


def test_limit_never_falls_below_one() -> None:
    limit = AdaptiveLimit(64)
    for second in range(40):
        limit.refused(now=second + 1.0, started=second + 0.5)
    assert limit.value == 1


def test_latency_collapse_cuts() -> None:
    line = Line(AdaptiveLimit(32), 40)
    line.run(2000)
    before = line.values[-1]
    assert before == 32
    line.saturation = 4
    line.run(500)
    assert line.values[-1] <= CUT * before


def test_slower_answers_that_bring_as_much_do_not_cut() -> None:
    limit = AdaptiveLimit(8, first=8)
    now = 0.0
    for scale in (1, 3):
        # Longer texts take longer, and hold as many tokens more.
        for _ in range(100):
            now += scale / 8
            limit.answered(now, float(scale), scale * TOKENS, full=True)
    assert limit.value == 8


def test_windows_with_places_to_spare_change_nothing() -> None:
    line = Line(AdaptiveLimit(1000), 1000)
    line.run(60)
    line.run(100, demand=4)
    before = line.values[-1]
    assert 8 < before < 1000
    line.run(2000, demand=4)
    assert set(line.values[160:]) == {before}
    line.run(2000)
    assert line.values[-1] > before


def test_idle_time_does_not_count_as_slowness() -> None:
    line = Line(AdaptiveLimit(16), 1000)
    line.run(500)
    assert line.values[-1] == 16
    line.now = line.served_until = line.now + 3600
    line._under_way.clear()
    line.run(500)
    assert set(line.values[500:]) == {16}


steps = st.lists(
    st.tuples(
        st.floats(0, 30),  # Seconds before it is wanted.
        st.floats(0.1, 150),  # How much.
        st.floats(0, 1),  # The share of it that is used in the end.
        st.floats(0, 70),  # Seconds until that is known.
    ),
    max_size=60,
)
Steps = list[tuple[float, float, float, float]]


def wait_for(allowance: Allowance, amount: float, now: float) -> float:
    """Return when so much may be taken."""
    first = allowance.wait(amount, now)
    now += first
    while (more := allowance.wait(amount, now)) > 0:
        assert more < 1e-6, "it was said to be enough before; only rounding may ask for more"
        now += max(more, 1e-9)
    return now


@given(per_minute=st.floats(1, 100), steps=steps)
def test_never_more_than_the_allowance_in_any_minute(per_minute: float, steps: Steps) -> None:
    allowance = Allowance(per_minute)
    now = 0.0
    taken: list[tuple[float, float]] = []
    for pause, amount, *_ in steps:
        now = wait_for(allowance, amount, now + pause)
        allowance.take(amount, now)
        taken.append((now, amount))
        minute = [part for when, part in taken if when > now - MINUTE + 1e-6]
        # One amount above the whole allowance goes alone.
        assert sum(minute) <= per_minute * (1 + 1e-6) or len(minute) == 1


@given(per_minute=st.floats(1, 100), steps=steps)
def test_never_more_is_used_than_the_allowance_in_any_minute_when_some_is_given_back(
    per_minute: float, steps: Steps
) -> None:
    allowance = Allowance(per_minute)
    now = 0.0
    used: list[list[float]] = []
    open_shares: list[tuple[float, int, Share, float]] = []
    for pause, wanted, share, seconds in steps:
        amount = min(wanted, per_minute)
        for event in sorted(open_shares):
            if event[0] <= now + pause:
                _, row, taken, use = event
                allowance.correct(taken, use)
                used[row][1] = use
                open_shares.remove(event)
        now = wait_for(allowance, amount, now + pause)
        open_shares.append((now + seconds, len(used), allowance.take(amount, now), amount * share))
        used.append([now, amount])
        assert sum(part for when, part in used if when > now - MINUTE + 1e-6) <= per_minute * (1 + 1e-6)


def test_what_is_given_back_is_free_at_once_and_only_once() -> None:
    allowance = Allowance(100)
    share = allowance.take(80, now=0)
    assert allowance.wait(50, now=1) == 59
    allowance.correct(share, 20)
    assert allowance.wait(80, now=1) == 0
    assert allowance.wait(81, now=1) == 59
    allowance.take(80, now=50)
    # When the first share is a minute old, what was given back of it is, too.
    assert allowance.wait(20, now=60) == 0
    assert allowance.wait(21, now=60) == 50


def test_what_is_given_back_after_a_minute_changes_nothing() -> None:
    allowance = Allowance(100)
    share = allowance.take(80, now=0)
    assert allowance.wait(100, now=61) == 0
    allowance.correct(share, 0)
    allowance.take(100, now=61)
    assert allowance.wait(1, now=62) == 59


def test_more_than_was_set_aside_counts_too() -> None:
    allowance = Allowance(100)
    share = allowance.take(50, now=0)
    allowance.correct(share, 90)
    assert allowance.wait(10, now=10) == 0
    assert allowance.wait(20, now=10) == 50


def test_amount_above_the_allowance_waits_for_all_of_it() -> None:
    allowance = Allowance(100)
    assert allowance.wait(500, now=0) == 0
    allowance.take(500, now=0)
    assert allowance.wait(1, now=1) == 59


def test_no_allowance_never_waits() -> None:
    allowance = Allowance(None)
    allowance.take(1e9, now=0)
    assert allowance.wait(1e9, now=0) == 0


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def waiter() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def waits(pace_: Pace, done: Callable[[], bool]) -> bool:
    """Tell whether something still waits after the waiting were made to look again."""
    pace_.wake()
    threading.Event().wait(0.05)
    return not done()


def take(pace_: Pace, count: int, tokens: int = 0) -> list[pace.Ticket]:
    tickets = [pace_.start(tokens, threading.Event()) for _ in range(count)]
    return [ticket for ticket in tickets if ticket is not None]


def test_no_more_start_than_there_are_places(
    clock: Clock, stopping: threading.Event, waiter: ThreadPoolExecutor
) -> None:
    paced = Pace(3, adaptive=False, clock=clock)
    first, *_, last = take(paced, 3)
    assert (first.full, last.full, paced.under_way, paced.limit) == (False, True, 3, 3)
    fourth = waiter.submit(paced.start, 0, stopping)
    assert waits(paced, fourth.done)
    paced.answered(first, answer_tokens=1, all_tokens=1)
    assert fourth.result(timeout=10) is not None
    assert paced.under_way == 3


def test_adaptive_pace_begins_small(clock: Clock) -> None:
    assert Pace(64, clock=clock).limit == FIRST
    assert Pace(2, clock=clock).limit == 2
    assert Pace(64, adaptive=False, clock=clock).limit == 64


def test_too_many_requests_shrinks_an_adaptive_pace_only(clock: Clock) -> None:
    for adaptive, left in ((True, 2), (False, 64)):
        paced = Pace(64, adaptive=adaptive, clock=clock)
        for _ in range(4):
            (ticket,) = take(paced, 1)
            clock.now += 1
            paced.failed(ticket, too_many=True)
        assert paced.limit == left


def test_other_failures_leave_the_limit(clock: Clock) -> None:
    paced = Pace(64, clock=clock)
    tickets = take(paced, 4)
    paced.failed(tickets[0])
    paced.refused(tickets[1])
    assert (paced.limit, paced.under_way) == (FIRST, 2)


def test_nothing_starts_before_retry_after(clock: Clock, stopping: threading.Event, waiter: ThreadPoolExecutor) -> None:
    paced = Pace(8, adaptive=False, clock=clock)
    one, two = take(paced, 2)
    paced.failed(one, retry_after=60)
    # A shorter wish does not undo a longer one.
    paced.failed(two, retry_after=1)
    later = waiter.submit(paced.start, 0, stopping)
    clock.now += 59.9
    assert waits(paced, later.done)
    clock.now += 0.2
    paced.wake()
    ticket = later.result(timeout=10)
    assert ticket is not None
    assert ticket.started == clock.now


@pytest.mark.parametrize("stated", [{"requests_per_minute": 2}, {"tokens_per_minute": 100}])
def test_stated_limits_hold(
    stated: dict[str, float], clock: Clock, stopping: threading.Event, waiter: ThreadPoolExecutor
) -> None:
    paced = Pace(8, adaptive=False, clock=clock, **stated)
    assert len(take(paced, 2, tokens=50)) == 2
    third = waiter.submit(paced.start, 50, stopping)
    clock.now += 59.9
    assert waits(paced, third.done)
    clock.now += 0.2
    paced.wake()
    assert third.result(timeout=10) is not None


def test_tokens_that_were_not_needed_are_given_back(clock: Clock) -> None:
    paced = Pace(8, adaptive=False, clock=clock, tokens_per_minute=100)
    (ticket,) = take(paced, 1, tokens=90)
    paced.answered(ticket, answer_tokens=5, all_tokens=10)
    assert len(take(paced, 1, tokens=90)) == 1


def test_unknown_usage_counts_as_what_was_set_aside(
    clock: Clock, stopping: threading.Event, waiter: ThreadPoolExecutor
) -> None:
    paced = Pace(8, adaptive=False, clock=clock, tokens_per_minute=100)
    (ticket,) = take(paced, 1, tokens=90)
    paced.answered(ticket, answer_tokens=0, all_tokens=0)
    second = waiter.submit(paced.start, 20, stopping)
    assert waits(paced, second.done)
    stopping.set()
    paced.wake()
    assert second.result(timeout=10) is None


def fail(paced: Pace, clock: Clock, times: int, seconds: float) -> list[bool]:
    """Let so many requests fail in a row, each after so many seconds."""
    verdicts = []
    for _ in range(times):
        (ticket,) = take(paced, 1)
        clock.now += seconds
        verdicts.append(paced.failed(ticket))
    return verdicts


def test_endpoint_is_down_after_failures_enough_that_last_long_enough(clock: Clock) -> None:
    assert fail(Pace(1, clock=clock), clock, pace.GIVE_UP_AFTER, 2) == [False] * (pace.GIVE_UP_AFTER - 1) + [True]


def test_short_restart_is_waited_out_however_many_requests_fail(clock: Clock) -> None:
    verdicts = fail(Pace(1, clock=clock), clock, 300, 0.1)
    assert not any(verdicts[:299])
    assert fail(Pace(1, clock=clock), clock, pace.GIVE_UP_AFTER - 1, 60) == [False] * (pace.GIVE_UP_AFTER - 1)


def test_an_answer_between_failures_begins_the_count_anew(clock: Clock) -> None:
    paced = Pace(1, clock=clock)
    assert not any(fail(paced, clock, pace.GIVE_UP_AFTER - 1, 10))
    (ticket,) = take(paced, 1)
    paced.answered(ticket, answer_tokens=1, all_tokens=1)
    assert not any(fail(paced, clock, pace.GIVE_UP_AFTER - 1, 10))
    assert fail(paced, clock, 1, 10) == [True]


def test_requests_at_fault_themselves_never_count_as_failures(clock: Clock) -> None:
    paced = Pace(1, clock=clock)
    assert not any(fail(paced, clock, pace.GIVE_UP_AFTER - 1, 10))
    (ticket,) = take(paced, 1)
    paced.refused(ticket)
    assert fail(paced, clock, 1, 10) == [True]


def test_stopping_wakes_all_who_wait(clock: Clock, stopping: threading.Event, waiter: ThreadPoolExecutor) -> None:
    paced = Pace(1, clock=clock)
    (ticket,) = take(paced, 1)
    for_a_place = [waiter.submit(paced.start, 0, stopping) for _ in range(3)]
    resting = waiter.submit(paced.rest, 1e6, stopping)
    paused = Pace(1, clock=clock)
    paused.failed(take(paused, 1)[0], retry_after=1e6)
    for_a_place.append(waiter.submit(paused.start, 0, stopping))
    assert waits(paced, lambda: resting.done() or any(future.done() for future in for_a_place))
    stopping.set()
    paced.wake()
    paused.wake()
    assert [future.result(timeout=10) for future in for_a_place] == [None] * 4
    resting.result(timeout=10)
    assert paced.under_way == 1
    paced.refused(ticket)
    assert paced.under_way == 0


def test_rest_ends_when_its_time_has_come(clock: Clock, stopping: threading.Event, waiter: ThreadPoolExecutor) -> None:
    paced = Pace(1, clock=clock)
    resting = waiter.submit(paced.rest, 1000, stopping)
    clock.now += 999
    assert waits(paced, resting.done)
    clock.now += 1
    paced.wake()
    assert resting.result(timeout=10) is None


def test_places_hold_with_many_threads() -> None:
    paced = Pace(5, adaptive=False)
    peaks: list[int] = []

    def work() -> None:
        for _ in range(50):
            ticket = paced.start(1, threading.Event())
            assert ticket is not None
            peaks.append(paced.under_way)
            paced.answered(ticket, answer_tokens=1, all_tokens=2)

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(work) for _ in range(16)]:
            future.result(timeout=60)
    assert len(peaks) == 800
    assert max(peaks) <= 5
    assert paced.under_way == 0
