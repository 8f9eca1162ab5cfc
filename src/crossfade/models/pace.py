"""Pace: how many requests may be under way at an endpoint, and when the next one may start.

Nobody knows an endpoint's limit beforehand. `AdaptiveLimit` finds it as TCP finds a line's: grow while that brings more
answers, shrink when the endpoint says so or when answers only get slower. `Pace` adds what the user states (requests
and tokens per minute), waits out Retry-After, and gives up when nothing has been answered for too long. Ours.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

FIRST = 4
"""Requests under way at the beginning."""
HELPED = 0.4
"""A larger limit has helped when tokens per second grew by this share of what the limit grew by."""
LESS = 1.1
"""Fewer answers come when tokens per second fell by this factor."""
COLLAPSED = 2.0
"""Latency has collapsed when answers take this many times as long, and no more of them come."""
CUT = 0.7
"""What refusals or a collapse leave of the limit."""
TOLERATED = 0.15
"""Share of refusals that is taken as the endpoint's habit; a larger one shrinks the limit."""
MEMORY = 0.05
"""Weight of the last outcome in that share."""
WINDOWS_TO_REST = 5
"""Windows at a limit that seemed best before a higher one is tried again."""
MINUTE = 60.0
GIVE_UP_AFTER = 20
"""Failures in a row, with no answer between them, after which an endpoint counts as down."""
GIVE_UP_SECONDS = 30.0
"""And so long it must have failed: a short restart is waited out."""


@dataclass(frozen=True, slots=True)
class _Level:
    """What a limit has brought."""

    limit: int
    rate: float
    """Answer tokens per second."""
    latency: float
    """Mean seconds per answer."""


class AdaptiveLimit:
    """A limit on requests under way that follows what the endpoint can take.

    It works in windows of about two answers per place. The limit stands still within a window; at its end the rate of
    answer tokens decides. Windows in which the places were mostly not taken say nothing.

    Args:
        most: Upper bound, >= 1.
        first: Where to begin.
    """

    def __init__(self, most: int, first: int = FIRST) -> None:
        self.most = most
        self.value = min(first, most)
        self._best = _Level(self.value, 0.0, math.inf)
        self._doubling = True
        self._windows_to_rest = 0
        self._cut_at = -math.inf
        self._refusals = 0.0
        self._open_window(None)

    def answered(self, now: float, seconds: float, tokens: int, *, full: bool) -> None:
        """Count an answer: when it came, how long it took, its tokens, and whether it took the last place."""
        self._refusals *= 1 - MEMORY
        if self._since is None:
            # A window opens with an answer, so that the wait for its first one does not count.
            self._open_window(now)
            return
        self._answers += 1
        self._tokens += tokens + 1
        self._seconds += seconds
        self._full += full
        if self._answers >= max(8, 2 * self.value) and now > self._since:
            if 2 * self._full >= self._answers:
                self._judge(_Level(self.value, self._tokens / (now - self._since), self._seconds / self._answers))
            self._open_window(now)

    def refused(self, now: float, started: float) -> None:
        """Count a refusal; shrink when there are many, but once only for all requests that were under way together."""
        if started <= self._cut_at:
            return
        self._refusals += MEMORY * (1 - self._refusals)
        if self._refusals > TOLERATED:
            self._cut_at = now
            self._refusals = 0.0
            self._cut()

    def _judge(self, seen: _Level) -> None:
        """Move the limit after a window."""
        best = self._best
        growth = max(seen.limit / best.limit, 1.25) - 1
        helped = seen.rate >= (1 + HELPED * growth) * best.rate
        if seen.limit > best.limit and not helped:
            # More places brought no more answers.
            self._rest_at(best)
        elif seen.latency > COLLAPSED * best.latency and seen.rate * LESS < best.rate:
            self._cut()
        elif helped and (self._doubling or seen.limit > best.limit):
            self._best = seen
            self._grow()
        else:
            rate = (seen.rate + best.rate) / 2 if best.rate else seen.rate
            self._best = _Level(seen.limit, rate, min(seen.latency, best.latency))
            self._windows_to_rest -= 1
            if self._windows_to_rest <= 0:
                self._grow()

    def _grow(self) -> None:
        self.value = min(self.most, 2 * self.value if self._doubling else self.value + max(1, self.value // 4))

    def _cut(self) -> None:
        self._rest_at(_Level(max(1, math.floor(self.value * CUT)), 0.0, math.inf))
        self._open_window(None)

    def _rest_at(self, level: _Level) -> None:
        self.value = level.limit
        self._best = level
        self._doubling = False
        self._windows_to_rest = WINDOWS_TO_REST

    def _open_window(self, now: float | None) -> None:
        self._since = now
        self._answers = 0
        self._tokens = 0
        self._seconds = 0.0
        self._full = 0


@dataclass(slots=True)
class Share:
    """A part of an allowance that was taken."""

    when: float
    amount: float


class Allowance:
    """At most so much in any minute, counted over a sliding window.

    Args:
        per_minute: The most, in requests or tokens; None for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._per_minute = per_minute
        self._taken: deque[Share] = deque()
        self._sum = 0.0
        self._forgotten_at = -math.inf

    def wait(self, amount: float, now: float) -> float:
        """Return the seconds until so much more may be taken; an amount above the whole allowance waits for all."""
        if self._per_minute is None:
            return 0.0
        self._forget(now)
        excess = self._sum + min(amount, self._per_minute) - self._per_minute
        if excess <= 0 or not self._taken:
            return 0.0
        for share in self._taken:
            excess -= share.amount
            if excess <= 0:
                break
        # At the last share nothing is left to wait for, whatever rounding says.
        return share.when + MINUTE - now

    def take(self, amount: float, now: float) -> Share:
        """Count an amount, and return it for `correct`."""
        share = Share(now, amount)
        if self._per_minute is not None:
            self._taken.append(share)
            self._sum += amount
        return share

    def correct(self, share: Share, amount: float) -> None:
        """Count a share as what it turned out to be, at the time when it was taken."""
        if share.when > self._forgotten_at:
            self._sum += amount - share.amount
        share.amount = amount

    def _forget(self, now: float) -> None:
        self._forgotten_at = now - MINUTE
        while self._taken and self._taken[0].when <= self._forgotten_at:
            self._sum -= self._taken.popleft().amount


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place among the requests under way."""

    started: float
    tokens: Share
    """Tokens that were set aside for it."""
    full: bool
    """Whether it took the last place."""


class Pace:
    """Lets requests start one by one, from any thread.

    Args:
        most: Requests under way at the same time, at most; >= 1.
        adaptive: False keeps all `most` places open: for a server of our own, whose places are known.
        requests_per_minute: A limit that the user states.
        tokens_per_minute: The same for prompt and answer tokens together.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        most: int,
        *,
        adaptive: bool = True,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._limit = AdaptiveLimit(most, FIRST if adaptive else most)
        self._adaptive = adaptive
        self._requests = Allowance(requests_per_minute)
        self._tokens = Allowance(tokens_per_minute)
        self._clock = clock
        lock = threading.RLock()
        self._place = threading.Condition(lock)
        self._rest_over = threading.Condition(lock)
        self._under_way = 0
        self._paused_until = 0.0
        self._failures = 0
        self._failing_since = 0.0

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return self._limit.value

    @property
    def under_way(self) -> int:
        """Requests that are."""
        return self._under_way

    def start(self, tokens: int, stopping: threading.Event) -> Ticket | None:
        """Wait for a place and take it; None when the stream is stopping.

        Args:
            tokens: Prompt and answer tokens that the request may take.
            stopping: Set when nothing more is to start; `wake` makes the waiting notice at once.
        """
        with self._place:
            while not stopping.is_set():
                now = self._clock()
                if self._under_way >= self._limit.value:
                    self._place.wait()
                    continue
                wait = max(self._paused_until - now, self._requests.wait(1, now), self._tokens.wait(tokens, now))
                if wait > 0:
                    self._place.wait(wait)
                    continue
                self._under_way += 1
                self._requests.take(1, now)
                share = self._tokens.take(tokens, now)
                if self._under_way < self._limit.value:
                    # One wakes the next, so that not all who wait look at once.
                    self._place.notify()
                return Ticket(now, share, self._under_way >= self._limit.value)
        return None

    def answered(self, ticket: Ticket, *, answer_tokens: int, all_tokens: int) -> None:
        """Give a place back after an answer; unknown usage (0) leaves what was set aside."""
        with self._place:
            now = self._leave()
            self._failures = 0
            if all_tokens:
                self._tokens.correct(ticket.tokens, all_tokens)
            if self._adaptive:
                self._limit.answered(now, now - ticket.started, answer_tokens, full=ticket.full)

    def failed(self, ticket: Ticket, *, retry_after: float | None = None, too_many: bool = False) -> bool:
        """Give a place back after a failure of the endpoint; True when it counts as down.

        Args:
            ticket: The place.
            retry_after: Seconds for which the endpoint wants nothing; nothing starts before.
            too_many: The endpoint said that there were too many requests.
        """
        with self._place:
            now = self._leave()
            if self._failures == 0:
                self._failing_since = ticket.started
            self._failures += 1
            if too_many and self._adaptive:
                self._limit.refused(now, ticket.started)
            if retry_after is not None:
                self._paused_until = max(self._paused_until, now + retry_after)
            return self._failures >= GIVE_UP_AFTER and now - self._failing_since >= GIVE_UP_SECONDS

    def refused(self, ticket: Ticket) -> None:
        """Give a place back after a request that the endpoint would never answer; that says nothing of the pace."""
        with self._place:
            self._leave()

    def wake(self) -> None:
        """Make all who wait look again."""
        with self._place:
            self._place.notify_all()
            self._rest_over.notify_all()

    def rest(self, seconds: float, stopping: threading.Event) -> None:
        """Wait before the same request is tried again."""
        end = self._clock() + seconds
        with self._place:
            while not stopping.is_set() and (left := end - self._clock()) > 0:
                self._rest_over.wait(left)

    def _leave(self) -> float:
        self._under_way -= 1
        self._place.notify()
        return self._clock()
