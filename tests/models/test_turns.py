import random
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise

from crossfade.models.turns import InOrder, Slots, Turn, Turns
from crossfade.roles import Request, Sampling

SHORT = Sampling(max_tokens=5)


def requests(prefix: str, count: int) -> list[Request]:
    return [Request(prefix=prefix, prompt=f"{number:02}", sampling=SHORT) for number in range(count)]


class Bench:
    """Takes turns one by one, and gives them back when told; nobody waits."""

    def __init__(self, turns: Turns, *waiting: Request) -> None:
        self.turns = turns
        self._open: dict[int, AbstractContextManager[Turn | None]] = {}
        self._stopping = threading.Event()
        self.add(*waiting)

    def add(self, *waiting: Request) -> None:
        for request in waiting:
            self.turns.put(request)
        self.turns.go()

    def start(self) -> Request | None:
        """Start the next request; None when its turn has not come."""
        # A stopping stream does not wait.
        self._stopping.set()
        taken = self.turns.next(self._stopping)
        turn = taken.__enter__()
        if turn is None:
            taken.__exit__(None, None, None)
            return None
        self._open[id(turn.request)] = taken
        return turn.request

    def end(self, request: Request) -> None:
        self._open.pop(id(request)).__exit__(None, None, None)


def test_in_order_is_in_order() -> None:
    waiting = requests("p", 2) + requests("q", 2) + requests("p", 2)
    bench = Bench(InOrder(), *waiting)
    assert [bench.start() for _ in waiting] == waiting


def test_each_slot_begins_with_a_prefix_of_its_own() -> None:
    bench = Bench(Slots(3), *requests("p" * 99, 9), *requests("q" * 99, 4), *requests("r" * 99, 2))
    started = [bench.start() for _ in range(3)]
    assert {request.prefix[0] for request in started if request} == {"p", "q", "r"}


def test_slot_stays_with_its_prefix_while_there_are_requests_with_it() -> None:
    bench = Bench(Slots(2), *requests("p" * 99, 4), *requests("q" * 99, 4), *requests("r" * 99, 4))
    first, other = bench.start(), bench.start()
    assert first
    assert other
    for _ in range(3):
        bench.end(first)
        following = bench.start()
        assert following
        assert following.prefix == first.prefix
        first = following
    bench.end(first)
    following = bench.start()
    assert following
    assert following.prefix not in {first.prefix, other.prefix}


def test_prefix_that_many_wait_for_takes_several_slots_but_no_more_than_pays() -> None:
    # A request is 2 characters and 5 tokens of 4, so 22; a prefix of 100 pays once more from five waiting for each.
    bench = Bench(Slots(16), *requests("p" * 100, 17))
    assert sum(bench.start() is not None for _ in range(16)) == 4


def test_short_prefix_holds_nobody_back() -> None:
    bench = Bench(Slots(4), *requests("p", 5))
    assert sum(bench.start() is not None for _ in range(5)) == 4


def test_requests_without_a_prefix_take_every_free_slot() -> None:
    alike = [Request(prompt="same", sampling=SHORT, sample=number) for number in range(3)]
    bench = Bench(Slots(8), *requests("", 4), *alike)
    assert sum(bench.start() is not None for _ in range(8)) == 7


def test_nobody_has_a_turn_before_all_are_read() -> None:
    slots = Slots(2)
    bench = Bench(InOrder())
    bench.turns = slots
    slots.put(Request(prompt="a"))
    assert bench.start() is None
    slots.go()
    assert bench.start() is not None


def test_stopping_stream_gives_no_turn_to_those_who_wait() -> None:
    slots, stopping = Slots(1), threading.Event()
    turns: list[Turn | None] = []

    def wait() -> None:
        with slots.next(stopping) as turn:
            turns.append(turn)

    waiting = threading.Thread(target=wait)
    waiting.start()
    stopping.set()
    slots.go()
    waiting.join(timeout=60)
    assert turns == [None]


def test_every_request_has_one_turn_and_a_slot_no_two_at_once() -> None:
    dice = random.Random(1)
    waiting = [Request(prefix=dice.choice("pqrstu") * 60, prompt=str(row), sampling=SHORT) for row in range(400)]
    slots, stopping, lock = Slots(5), threading.Event(), threading.Lock()
    taken: set[object] = set()
    sent: list[Request] = []
    reads: dict[object, list[str]] = defaultdict(list)

    def send() -> None:
        with slots.next(stopping) as turn:
            assert turn is not None
            slot = turn.fields["id_slot"]
            with lock:
                assert slot not in taken
                taken.add(slot)
            reads[slot].append(turn.request.prefix)
            sent.append(turn.request)
            with lock:
                taken.remove(slot)

    for request in waiting:
        slots.put(request)
    slots.go()
    with ThreadPoolExecutor(5) as pool:
        for job in [pool.submit(send) for _ in waiting]:
            job.result()
    assert Counter(sent) == Counter(waiting)
    changes = sum(one != two for slot in reads.values() for one, two in pairwise(slot))
    assert changes < 40, "in random order a slot changes its prefix 330 times"
