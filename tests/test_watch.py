import io
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rich.console import Console

from crossfade import watch
from crossfade.watch import Meter, Watch


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


class Page(io.StringIO):
    """A file that tells when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Semaphore(0)

    def write(self, text: str) -> int:
        size = super().write(text)
        self.written.release()
        return size


def wait_until(holds: Callable[[], bool], changed: threading.Semaphore) -> None:
    """Wait for another thread, which tells of every change."""
    for _ in range(10_000):
        if holds():
            return
        assert changed.acquire(timeout=60)
    raise AssertionError("it did not become so")


def plain(page: io.StringIO) -> Console:
    return Console(file=page, force_terminal=False, force_jupyter=False, width=200)


def terminal(page: io.StringIO) -> Console:
    return Console(file=page, force_terminal=True, force_jupyter=False, width=200, color_system=None)


def status(meter: Meter, expected: int = 0) -> str:
    shown = Watch(show=False)
    shown.meter = lambda: meter
    shown.expect(expected)
    return shown.status()


def test_a_stage_within_another_gives_its_place_back(clock: Clock) -> None:
    shown = Watch(show=False)
    with shown.stage("writing"):
        clock.now += 5
        with shown.stage("refining"):
            clock.now += 60
        assert shown._now() == "writing: 1 min 05 s"
    assert shown._now().startswith("working")


def test_plain_lines_name_each_stage_once_and_hold_no_control_characters() -> None:
    page = Page()
    with Watch(show=True, console=plain(page)) as shown:
        with shown.stage("Reading [data]"):
            pass
        with shown.stage("Writing"):
            pass
    assert page.getvalue() == "Reading [data] ...\nWriting ...\n"


def test_plain_lines_tell_the_status_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LINES", 0.001)
    page = Page()
    shown = Watch(show=True, console=plain(page))
    shown.meter = lambda: Meter(asked=3)
    with shown:
        wait_until(lambda: page.getvalue().count("\n") >= 5, page.written)
    lines = page.getvalue().splitlines()
    assert all(line.startswith("working: ") for line in lines)
    assert all(line.endswith("; 3 requests") for line in lines)
    assert all("\x1b" not in line for line in lines)
    assert not any(thread.name == shown._lines.name for thread in threading.enumerate())


def test_plain_lines_tell_of_no_requests_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LINES", 0.001)
    page = Page()
    with Watch(show=True, console=plain(page)) as shown, shown.stage("training"):
        wait_until(lambda: "\ntraining: " in page.getvalue(), page.written)
    assert "requests" not in page.getvalue()


def test_run_that_is_stopped_says_what_it_had_done() -> None:
    page = Page()
    shown = Watch(show=True, console=plain(page))
    shown.meter = lambda: Meter(asked=3, from_store=2)
    with pytest.raises(KeyboardInterrupt), shown:
        raise KeyboardInterrupt
    assert "5 requests, 2 from the store" in page.getvalue()


def test_nothing_is_written_when_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for make in (plain, terminal):
        page = Page()
        shown = Watch(show=False, console=make(page))
        shown.meter = lambda: Meter(asked=3)
        with pytest.raises(KeyboardInterrupt), shown, shown.stage("Reading"):
            raise KeyboardInterrupt
        assert page.getvalue() == ""
    with Watch(show=False), Watch(show=False).stage("Reading"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("meter", "expected", "says"),
    [
        (Meter(), 0, "0 requests"),
        (Meter(asked=5), 0, "5 requests"),
        (Meter(asked=1234), 5678, "1,234 of about 5,678 requests"),
        (Meter(asked=10, from_store=4), 20, "14 of about 20 requests, 4 from the store"),
        # More than were expected, and some are under way.
        (Meter(asked=10, under_way=3), 5, "10 of about 13 requests, 3 under way, 0 tokens/s"),
        (Meter(asked=10, failed=2), 10, "10 requests, 2 failed"),
        (Meter(asked=10, money=None), 10, "10 requests, cost unknown"),
        (Meter(asked=10, money=0.0), 10, "10 requests"),
        (Meter(asked=10, money=0.5), 40, "10 of about 40 requests, spent 0.5, about 2 in all"),
        (Meter(asked=40, money=2.0), 40, "40 requests, spent 2, about 2 in all"),
    ],
)
def test_status_says_how_much_is_done_and_what_it_costs(meter: Meter, expected: int, says: str) -> None:
    assert status(meter, expected) == says


def test_expectations_add_up() -> None:
    shown = Watch(show=False)
    shown.expect(10)
    shown.expect(5)
    assert shown.status() == "0 of about 15 requests"


def test_projection_of_a_run_that_was_continued_counts_what_earlier_starts_paid_for() -> None:
    says = status(Meter(asked=10, from_store=890, money=9.0), 1000)
    assert says.endswith("spent 9, about 10 in all")


def test_speed_is_that_of_the_last_stretch(clock: Clock) -> None:
    shown = Watch(show=False)
    began = clock.now

    def meter() -> Meter:
        seconds = clock.now - began
        return Meter(asked=1, under_way=1, answer_tokens=int(100 * min(seconds, 40) + 10 * max(seconds - 40, 0)))

    shown.meter = meter
    speeds = []
    for _ in range(80):
        speeds.append(shown.status())
        clock.now += 1
    assert "100 tokens/s" in speeds[39]
    assert "10 tokens/s" in speeds[79]
    assert "100 tokens/s" not in speeds[79]


def test_time_left_follows_the_pace_since_the_first_answer(clock: Clock) -> None:
    shown = Watch(show=False)
    shown.expect(1000)
    clock.now += 500  # A model that loads says nothing about the pace.
    shown.meter = lambda: Meter(asked=1)
    assert "left" not in shown.status()
    clock.now += 10
    shown.meter = lambda: Meter(asked=100, from_store=400)
    # 500 are to be asked, at ten a second.
    assert "50 s left" in shown.status()
    shown.meter = lambda: Meter(asked=600, from_store=400)
    assert "left" not in shown.status()
    # Texts that were dropped are asked for again, beyond the plan: how many will be is not known.
    shown.meter = lambda: Meter(asked=700, from_store=400, under_way=30)
    assert "left" not in shown.status()


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3599, "59 min 59 s"), (3 * 3600 + 120, "3 h 02 min")],
)
def test_durations_read_well(seconds: float, says: str) -> None:
    assert watch._duration(seconds) == says


def test_panel_shows_stage_and_status_on_a_terminal_and_goes_at_the_end(clock: Clock) -> None:
    page = Page()
    with Watch(show=True, console=terminal(page)) as shown:
        shown.meter = lambda: Meter(asked=3, under_way=2, money=0.25)
        with shown.stage("Writing [examples]"):
            shown._live.refresh()
            during = page.getvalue()
        shown._live.refresh()
    assert "Writing [examples]: 0 s" in during
    assert "3 of about 5 requests, 2 under way" in during
    assert "spent 0.25" in during
    after = page.getvalue()[len(during) :]
    assert "Writing [examples]: 0 s\n" in after.replace("\r", "")
    assert "working: " in after
    assert not shown._live.is_started


def test_panel_gives_the_terminal_back_after_an_error() -> None:
    page = Page()
    with pytest.raises(ValueError, match="oh"), Watch(show=True, console=terminal(page)) as shown:
        raise ValueError("oh")
    assert not shown._live.is_started
    assert page.getvalue().rfind("\x1b[?25h") > page.getvalue().rfind("\x1b[?25l")


class Notebook:
    """Stands for IPython: shows one text, which is changed."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.changed = threading.Semaphore(0)

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> "Notebook":
        assert raw
        assert display_id
        self.shown.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown[-1] = data["text/plain"]
        self.changed.release()


def test_a_notebook_has_one_text_that_changes_and_keeps_the_stages(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook, page = Notebook(), io.StringIO()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=notebook))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_UPDATES", 0.001)
    console = Console(file=page, force_jupyter=True, width=200)
    with Watch(show=True, console=console) as shown:
        shown.meter = lambda: Meter(asked=3, under_way=2)
        with shown.stage("writing"):
            clock.now += 7
        with shown.stage("training"):
            clock.now += 2
            said = "writing: 7 s\ntraining: 2 s\n  3 of about 5 requests, 2 under way, 0 tokens/s"
            wait_until(lambda: notebook.shown == [said], notebook.changed)
    assert notebook.shown == ["writing: 7 s\ntraining: 2 s"]
    assert page.getvalue() == ""
