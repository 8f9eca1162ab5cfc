"""The one door through which methods hear a language model: never asked twice, never past the budget.

`StoredModel` stands before any text model. A reply is committed before anyone reads it, so a run that is killed and
started again asks only what was never answered.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from crossfade.errors import ModelError
from crossfade.models.budget import UNKNOWN, Budget, Prices
from crossfade.models.replies import ReplyStore
from crossfade.roles import Form, Reply, Request, TextModel

MOST_HELD = 64
"""Stored replies held back while the inner model reads ahead; bounds memory."""
MOST_CALLS = 3
"""Calls for one request whose answers arrive broken."""
MOST_TOGETHER = 64
"""Replies that one commit keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a stored model has done since it was made."""

    asked: int = 0
    """Calls that came back, failed ones included."""
    from_store: int = 0
    """Replies that cost nothing: stored before, or identical to one asked in the same stream."""
    failed: int = 0
    """Calls that came back with an error."""
    under_way: int = 0
    """Requests that the model has read and not yet answered."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    """Sum over the model's replies; larger than the time passed when requests run side by side."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


class StoredModel:
    """A text model behind a store and a budget.

    Args:
        model: Answers what the store does not hold.
        store: Holds the replies; may be shared by several models.
        budget: Says how much may be spent; may be shared by several models; no limit when None.
        prices: What this model costs.
        form: How the model is to be asked; as it prefers when None.
    """

    def __init__(
        self,
        model: TextModel,
        store: ReplyStore,
        *,
        budget: Budget | None = None,
        prices: Prices = UNKNOWN,
        form: Form | None = None,
    ) -> None:
        self._model = model
        self._store = store
        self._budget = budget or Budget()
        self._prices = prices
        self._form = form
        self._counts = Counts()

    @property
    def name(self) -> str:
        """The name of the inner model."""
        return self._model.name

    @property
    def preferred_form(self) -> Form:
        """The form that was asked for, or that of the inner model."""
        return self._form or self._model.preferred_form

    @property
    def counts(self) -> Counts:
        """What was asked and paid for so far."""
        return self._counts

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield a reply to every request, in any order; identical requests are asked once, failed ones too.

        An answer that arrives broken is asked for again, `MOST_CALLS` times in all. When the consumer stops early,
        answers under way are still awaited and kept, since they are paid for. The inner model is not touched (so need
        not load) while every reply is stored.

        Raises:
            BudgetError: When the next request does not fit the budget; answers under way are yielded first.
        """
        stream = _Stream(requests)
        while (request := stream.take()) is not None:
            known = self._known(request, stream)
            if known is not None:
                yield self._count(known)
            elif self._budget.admit(request, self._prices):
                yield from self._ask(request, stream)
            else:
                raise self._budget.reached()

    def _known(self, request: Request, stream: "_Stream") -> Reply | None:
        """Look a request up in the store, then among this stream's failures."""
        stored = self._store.find(request, self.name)
        if stored is None and (failure := stream.failed.get(request.digest(self.name))):
            return replace(failure, request=request, from_store=True)
        return stored

    def _ask(self, first: Request, stream: "_Stream") -> Iterator[Reply]:
        """Let the inner model answer one stretch of the stream, with the stored replies in between.

        The inner model reads ahead, so stored replies pile up while it does. At `MOST_HELD` of them the stretch ends,
        the inner model finishes what it has, and the stream goes on with the next stretch.
        """
        groups = _groups(self._model.answer(self._stretch(first, stream)))
        group: list[Reply] = []
        try:
            for group in groups:
                settled = self._settle(group, stream)
                group = []
                yield from settled
                while stream.waiting:
                    yield self._count(stream.waiting.popleft())
        except (GeneratorExit, KeyboardInterrupt):
            stream.stopped = True
            # Ctrl-C may have come before the commit, or after it: the table of replies takes a reply twice.
            if unsettled := [reply for reply in group if reply.error is None]:
                self._store.keep_all(unsettled, self.name)
            with suppress(ModelError):
                for group in groups:
                    self._settle(group, stream)
            raise
        while stream.waiting:
            yield self._count(stream.waiting.popleft())

    def _stretch(self, first: Request, stream: "_Stream") -> Iterator[Request]:
        """Yield what must be asked, each digest once; `first` is admitted already."""
        self._send_off(first, stream)
        yield first
        while not stream.stopped and len(stream.waiting) + stream.held < MOST_HELD:
            request = stream.take()
            if request is None:
                return
            digest = request.digest(self.name)
            if digest in stream.under_way:
                stream.under_way[digest].append(request)
                stream.held += 1
            elif (reply := self._known(request, stream)) is not None:
                stream.waiting.append(reply)
            elif self._budget.admit(request, self._prices):
                self._send_off(request, stream)
                yield request
            else:
                # What is set aside for requests under way may turn out not to be needed: look again after them.
                stream.put_back(request)
                return

    def _send_off(self, request: Request, stream: "_Stream") -> None:
        digest = request.digest(self.name)
        stream.under_way.setdefault(digest, stream.twins_of_repeats.pop(digest, []))
        self._counts = replace(self._counts, under_way=self._counts.under_way + 1)

    def _settle(self, group: list[Reply], stream: "_Stream") -> list[Reply]:
        """Commit and pay calls; return the replies of those whose requests do not go out again."""
        self._store.keep_all(group, self.name)
        return [reply for reply in group if self._pay(reply, stream)]

    def _pay(self, reply: Reply, stream: "_Stream") -> bool:
        """Pay and count a call; False when the request goes out again."""
        self._budget.settle(reply, self._prices)
        digest = reply.request.digest(self.name)
        twins = stream.under_way.pop(digest, [])
        self._count(reply)
        if reply.ask_again and stream.calls[digest] + 1 < MOST_CALLS:
            stream.calls[digest] += 1
            stream.twins_of_repeats[digest] = twins
            stream.put_back(reply.request)
            return False
        stream.calls.pop(digest, None)
        if reply.error is not None:
            stream.failed[digest] = reply
        stream.held -= len(twins)
        stream.waiting.extend(replace(reply, request=twin, from_store=True) for twin in twins)
        return True

    def _count(self, reply: Reply) -> Reply:
        """Add a reply to the counts and hand it on."""
        counts = self._counts
        if reply.from_store:
            self._counts = replace(counts, from_store=counts.from_store + 1)
            return reply
        self._counts = Counts(
            asked=counts.asked + 1,
            from_store=counts.from_store,
            failed=counts.failed + (reply.error is not None),
            under_way=counts.under_way - 1,
            prompt_tokens=counts.prompt_tokens + reply.usage.prompt_tokens,
            cached_tokens=counts.cached_tokens + reply.usage.cached_tokens,
            answer_tokens=counts.answer_tokens + reply.usage.answer_tokens,
            seconds=counts.seconds + reply.seconds,
        )
        return reply


def _groups(replies: Iterator[Reply]) -> Iterator[list[Reply]]:
    """Gather replies that are at hand together; no reply waits for one that is not."""
    group: list[Reply] = []
    trouble: BaseException | None = None
    try:
        for reply in replies:
            group.append(reply)
            if not reply.more_ready or len(group) == MOST_TOGETHER:
                yield group
                group = []
    except (Exception, KeyboardInterrupt) as error:
        trouble = error
    if group:
        yield group
    if trouble:
        raise trouble


class _Stream:
    """One call of `answer`: what is still to be read, what is under way, and what waits beside it."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._source = iter(requests)
        self._put_back: deque[Request] = deque()
        self.under_way: dict[str, list[Request]] = {}
        """Digest to the identical requests that wait for the same answer."""
        self.twins_of_repeats: dict[str, list[Request]] = {}
        """The same, for requests that wait to be asked again."""
        self.held = 0
        """Requests in either."""
        self.calls: Counter[str] = Counter()
        """Broken calls, by digest, of requests that are asked again."""
        self.failed: dict[str, Reply] = {}
        self.waiting: deque[Reply] = deque()
        """Replies that needed no asking."""
        self.stopped = False

    def take(self) -> Request | None:
        """Return the next request to look at, or None at the end."""
        return self._put_back.popleft() if self._put_back else next(self._source, None)

    def put_back(self, request: Request) -> None:
        """Return a request to the front."""
        self._put_back.append(request)
