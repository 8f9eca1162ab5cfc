"""Write what the door's benchmarks found, each as a page of Markdown."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write(path: Path, command: str, *paragraphs: str) -> None:
    """Print and keep the command, tables and sentences."""
    text = "\n\n".join([f"`python benchmarks/{command}`", *paragraphs])
    print(text)
    path.write_text(text + "\n", encoding="utf-8")
