"""Split gold rows so that no context stands in two parts."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crossfade.data import Corpus
from crossfade.errors import DataError
from crossfade.tasks.shapes import Task


@dataclass(frozen=True, slots=True)
class GoldSplit:
    """Gold rows in three parts that share no context."""

    errors: Corpus
    """What students are wrong on is looked for here."""
    development: Corpus
    """Says when to stop; may be empty."""
    test: Corpus
    """Only scores see it; may be empty."""


def split_gold(gold: Corpus, task: Task, *, development: float, test: float = 0.0, rng: Generator) -> GoldSplit:
    """Split gold rows into errors, development and test, grouped by context (`Task.group`).

    Args:
        gold: The labelled rows.
        task: Says what must not be parted.
        development: Share of the contexts that go to development, in [0, 1).
        test: Share of the contexts that go to the test, in [0, 1); the shares sum to less than 1.
        rng: Draws the contexts.

    Raises:
        DataError: There are not enough contexts for every part that has a share.
    """
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(task.group(row), len(numbers)) for row in gold.examples], dtype=int)
    rest, tested = _part(np.arange(len(gold)), groups, test, rng)
    errors, developed = _part(rest, groups, development / (1 - test), rng)
    return GoldSplit(*(gold.rows(rows.tolist()) for rows in (errors, developed, tested)))


def _part(rows: np.ndarray, groups: np.ndarray, share: float, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Take a share of the groups out of some rows; return what stays and what was taken, each in row order."""
    seed = int(rng.integers(2**32))
    if not share:
        return rows, rows[:0]
    contexts = len(set(groups[rows]))
    if contexts < 2:
        raise DataError(
            f"Gold rows with {contexts} different contexts cannot be split in two.",
            hint="Give more rows, or set the share of development or test rows to 0.",
        )
    from sklearn.model_selection import GroupShuffleSplit

    # At least one context on either side, however few there are.
    taken = min(max(1, round(share * contexts)), contexts - 1)
    splitter = GroupShuffleSplit(n_splits=1, test_size=taken, random_state=seed)
    stays, goes = next(splitter.split(rows, groups=groups[rows]))
    return rows[np.sort(stays)], rows[np.sort(goes)]
