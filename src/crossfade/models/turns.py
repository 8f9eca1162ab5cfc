"""Decide which waiting request is sent next: the one that came first, or one whose beginning was read already.

llama.cpp answers in numbered slots, and each remembers the prompt that it read last. So `Slots` lets requests with one
prefix follow each other in a slot, beside other prefixes in the other slots. Ours.
"""

import math
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from crossfade.roles import CHARACTERS_PER_TOKEN, Request

NO_FIELDS: Mapping[str, object] = MappingProxyType({})
WINDOW = 256
"""Requests that are read ahead to find equal prefixes; bounds memory."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request to send now."""

    request: Request
    fields: Mapping[str, object]
    """What is added to its body."""


class Turns(Protocol):
    """Requests of one stream that wait to be sent; read by one thread, sent by several."""

    window: int
    """Requests that are read ahead; 0 where no more are needed than keep the senders busy."""

    def put(self, request: Request) -> None:
        """Let a request wait."""
        ...

    def go(self) -> None:
        """Say that all were put that are read for now, or that the stream is stopping."""
        ...

    def next(self, stopping: threading.Event) -> AbstractContextManager[Turn | None]:
        """Wait for a turn and have it while the request is under way; None when the stream is stopping."""
        ...


class InOrder:
    """Requests go out as they came."""

    window = 0

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()

    def put(self, request: Request) -> None:
        """Let a request wait."""
        self._waiting.append(request)

    def go(self) -> None:
        """Do nothing: a request may be sent as soon as it is put."""

    @contextmanager
    def next(self, stopping: threading.Event) -> Iterator[Turn]:
        """Have the turn of the request that came first."""
        yield Turn(self._waiting.popleft(), NO_FIELDS)


class Slots:
    """Requests go out to llama.cpp's slots, those with one prefix to the same.

    Args:
        count: How many slots there are.
        window: Requests that are read ahead.
    """

    def __init__(self, count: int, window: int = WINDOW) -> None:
        self.window = window
        self._waiting: dict[str, deque[Request]] = {}
        """By what they share."""
        self._free = deque(range(count))
        """The longest free slot first."""
        self._read: list[str | None] = [None] * count
        """What each slot has read last."""
        self._going = False
        self._changed = threading.Condition()

    def put(self, request: Request) -> None:
        """Let a request wait."""
        with self._changed:
            self._waiting.setdefault(_shared(request), deque()).append(request)

    def go(self) -> None:
        """Say that all were put that are read for now, or that the stream is stopping."""
        with self._changed:
            self._going = True
            self._changed.notify_all()

    @contextmanager
    def next(self, stopping: threading.Event) -> Iterator[Turn | None]:
        """Have a slot for as long as its request is under way; None when the stream is stopping.

        Nobody has a turn before `go`, and a slot rests where reading a prefix once more would not pay.
        """
        with self._changed:
            while not (chosen := self._choose()) and not stopping.is_set():
                self._changed.wait()
            if chosen:
                slot, shared = chosen
                request = self._take(slot, shared)
        if not chosen:
            yield None
            return
        try:
            yield Turn(request, {"id_slot": slot})
        finally:
            with self._changed:
                self._free.append(slot)
                self._changed.notify_all()

    def _choose(self) -> tuple[int, str] | None:
        """Choose a free slot and what it reads: what it has read already, what no slot has, or what many wait for."""
        if not self._going or not self._free or not self._waiting:
            return None
        for slot in self._free:
            if (read := self._read[slot]) is not None and read in self._waiting:
                return slot, read
        readers = Counter(self._read)

        def share(shared: str) -> float:
            """Return the work that waits for each slot that has read this."""
            waiting = self._waiting[shared]
            work = len(waiting[0].prompt) + CHARACTERS_PER_TOKEN * waiting[0].sampling.max_tokens
            return len(waiting) * work / readers[shared] if readers[shared] else math.inf

        most = max(self._waiting, key=share)
        # Reading it in one more slot must not take longer than what waits for each slot.
        return (self._free[0], most) if share(most) >= len(self._waiting[most][0].prefix) else None

    def _take(self, slot: int, shared: str) -> Request:
        request = self._waiting[shared].popleft()
        if not self._waiting[shared]:
            del self._waiting[shared]
        self._free.remove(slot)
        self._read[slot] = shared
        return request


def _shared(request: Request) -> str:
    """Return what a request shares with others; one without a prefix only with its like."""
    return request.prefix or request.prompt
