"""What a terminal of 80 columns shows."""

from io import StringIO

from rich.console import Console, RenderableType


def drawn(part: RenderableType) -> str:
    """Return what is printed of a table or a text."""
    console = Console(width=80, file=StringIO(), markup=False, highlight=False)
    with console.capture() as capture:
        console.print(part)
    return capture.get()
