"""Show what a run is doing: progress bars on standard error, one line per stage, counting replies."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crossfade.roles import Form, Reply, Request, TextModel


class Watch:
    """Progress bars on standard error: one line per stage, counting replies."""

    def __init__(self, show: bool) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not show,
        )

    def __enter__(self) -> "Watch":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, text: str) -> Iterator[Callable[[], None]]:
        """Show a stage; the function handed out counts one more reply."""
        task = self._bars.add_task(text, total=None)
        yield lambda: self._bars.advance(task)
        done = self._bars.tasks[task].completed
        self._bars.update(task, total=done or 1, completed=done or 1)


class Watched:
    """A text model whose replies are counted as they pass."""

    def __init__(self, model: TextModel, tick: Callable[[], None]) -> None:
        self._model = model
        self._tick = tick

    @property
    def name(self) -> str:
        """The name of the inner model."""
        return self._model.name

    @property
    def preferred_form(self) -> Form:
        """The form of the inner model."""
        return self._model.preferred_form

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Hand on the inner model's replies, counting each."""
        for reply in self._model.answer(requests):
            self._tick()
            yield reply
