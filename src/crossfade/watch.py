"""Show what a run is doing: a live panel in a terminal or notebook, else plain lines, on standard error."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_UPDATES = 1.0
"""Of the panel in a notebook."""
SECONDS_OF_SPEED = 20.0
"""The stretch over which speed is measured."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What the models of a run have done so far."""

    asked: int = 0
    from_store: int = 0
    failed: int = 0
    under_way: int = 0
    answer_tokens: int = 0
    money: float | None = 0.0
    """For all starts of the run together; None where a price is unknown."""


class Watch:
    """What happens, stage by stage, and what the models have done.

    Args:
        show: False shows nothing.
        console: Where to show it; standard error when None.
    """

    def __init__(self, show: bool, console: Console | None = None) -> None:
        self.meter: Callable[[], Meter] = Meter
        self._show = show
        self._console = console or Console(stderr=True)
        self._expected = 0
        self._started = time.monotonic()
        self._first_answer: float | None = None
        self._seen: deque[tuple[float, int]] = deque()
        self._stage = ""
        self._stage_started = self._started
        self._spinner = Spinner("dots")
        self._ended = threading.Event()
        self._lines = threading.Thread(target=self._write_lines, daemon=True)
        self._page: _Page | None = None
        self._done: list[str] = []
        """Finished stages, for the notebook."""
        self._live = Live(get_renderable=self._panel, console=self._console, refresh_per_second=4, transient=True)

    @property
    def _is_live(self) -> bool:
        return self._console.is_terminal or self._console.is_jupyter

    def __enter__(self) -> "Watch":
        if self._show and self._console.is_jupyter:
            self._page = _Page()
            self._lines.start()
        elif self._show and self._is_live:
            self._live.start()
        elif self._show:
            self._lines.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        if self._live.is_started:
            self._live.stop()
        if self._lines.is_alive():
            self._lines.join()
        if self._page:
            self._page.show("\n".join(self._done))
        if self._show and kind is not None and self.meter().asked:
            # A run that ends well says itself what it did.
            self._console.print(Text(f"Stopped after {self.status()}."), soft_wrap=True)

    def expect(self, requests: int) -> None:
        """Say how many requests the run will take, about."""
        self._expected += requests

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Show what is being done now; stages may stand within each other."""
        before = self._stage, self._stage_started
        self._stage, self._stage_started = text, time.monotonic()
        if self._show and not self._is_live:
            self._console.print(Text(f"{text} ..."), soft_wrap=True)
        yield
        self._done.append(f"{text}: {_duration(time.monotonic() - self._stage_started)}")
        if self._live.is_started:
            self._console.print(Text(self._done[-1]))
        self._stage, self._stage_started = before

    def status(self) -> str:
        """Say in one line what the models have done, how fast, what it costs and how long it will take."""
        meter, now = self.meter(), time.monotonic()
        done = meter.asked + meter.from_store
        expected = max(self._expected, done + meter.under_way)
        parts = [f"{done:,} of about {expected:,} requests" if expected > done else f"{done:,} requests"]
        if meter.from_store:
            parts.append(f"{meter.from_store:,} from the store")
        if meter.failed:
            parts.append(f"{meter.failed:,} failed")
        if meter.under_way:
            parts += [f"{meter.under_way:,} under way", f"{self._speed(meter, now):,.0f} tokens/s"]
        if meter.asked and self._first_answer is None:
            self._first_answer = now
        left = self._seconds_left(meter, expected - done, now)
        # Beyond what was planned nobody knows how many are still to come.
        if left is not None and expected == self._expected:
            parts.append(f"{_duration(left)} left")
        parts.append(self._money(meter, expected - done))
        return ", ".join(part for part in parts if part)

    def _speed(self, meter: Meter, now: float) -> float:
        """Return answer tokens per second over the last stretch."""
        self._seen.append((now, meter.answer_tokens))
        while len(self._seen) > 2 and self._seen[1][0] < now - SECONDS_OF_SPEED:
            self._seen.popleft()
        since, tokens = self._seen[0]
        return (meter.answer_tokens - tokens) / max(now - since, 1e-9) if now > since else 0.0

    def _seconds_left(self, meter: Meter, left: int, now: float) -> float | None:
        """Return how long the rest takes at the mean pace so far; None before there is one."""
        if not left or meter.asked < 5 or self._first_answer is None or now <= self._first_answer:
            return None
        return left * (now - self._first_answer) / meter.asked

    def _money(self, meter: Meter, left: int) -> str:
        """Say what was spent and what it will come to; nothing for models that are free."""
        if meter.money is None:
            return "cost unknown"
        if not meter.money:
            return ""
        projected = meter.money * (1 + left / max(meter.asked + meter.from_store, 1))
        return f"spent {meter.money:.4g}, about {projected:.4g} in all"

    def _told(self) -> list[str]:
        """Return the stage and, where there are requests to tell of, the status.

        A method that trains and writes on its own asks for nothing that could be counted.
        """
        meter = self.meter()
        counts = self._expected or meter.asked or meter.from_store or meter.under_way
        return [self._now(), self.status()] if counts else [self._now()]

    def _panel(self) -> RenderableType:
        stage, *status = self._told()
        self._spinner.update(text=Text(stage))
        return Group(self._spinner, *(Text(f"  {line}") for line in status))

    def _now(self) -> str:
        return f"{self._stage or 'working'}: {_duration(time.monotonic() - self._stage_started)}"

    def _write_lines(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_UPDATES if self._page else SECONDS_BETWEEN_LINES):
            if self._page:
                self._page.show("\n".join([*self._done, "\n  ".join(self._told())]))
            else:
                self._console.print(Text("; ".join(self._told())), soft_wrap=True)


class _Page:
    """A text below a notebook's cell that can be changed; rich's own panel needs `ipywidgets` there."""

    def __init__(self) -> None:
        from IPython.display import display

        self._display = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """Replace the text."""
        self._display.update({"text/plain": text}, raw=True)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
