"""Read the labelled texts that a recipe names: the pool of few-shot draws, and the held-out texts."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crossfade import demo
from crossfade.data import ANNOTATED_TASKS, Corpus, read_annotated, read_corpus, read_squad
from crossfade.errors import DataError
from crossfade.evaluation.comparison import without_overlap
from crossfade.recipe import Recipe
from crossfade.tasks.classification import draw_shots
from crossfade.tasks.shapes import task_of
from crossfade.tasks.splitting import GoldSplit, split_gold


class LabelledTexts:
    """The labelled texts of a recipe, read when first used."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @cached_property
    def pool(self) -> Corpus:
        """The labelled texts; few-shot draws come from them."""
        data = self.recipe.data
        pool = self._all_labelled if data.test_share is None else self._split.errors
        if data.test and data.task is not None:
            pool = without_shared_contexts(pool, self.test, drop=data.overlap == "drop")
        if data.has_test and data.overlap == "drop":
            return without_overlap(pool, self.test)
        return pool

    @cached_property
    def test(self) -> Corpus:
        """The held-out texts; only scores see them."""
        if self.recipe.data.test_share is not None:
            return self._split.test
        labels = self._all_labelled.labels
        return self._read(str(self.recipe.data.test), demo.TEST, split="test", held_out=True, labels=labels)

    @cached_property
    def _all_labelled(self) -> Corpus:
        return self._read(self.recipe.data.train, demo.POOL, split="train")

    @cached_property
    def _split(self) -> GoldSplit:
        """The training file in two, where no file is held out."""
        rng = np.random.default_rng(self.recipe.seed)
        rows, share = self._all_labelled, self.recipe.data.test_share or 0.0
        return split_gold(rows, task_of(rows), development=0.0, test=share, rng=rng)

    def draw(self, shots: int, split: int) -> Corpus:
        """Draw some real labels per class; a split's draws of different sizes are nested."""
        return draw_shots(self.pool, shots, np.random.default_rng([self.recipe.seed, split]))

    @property
    def draws(self) -> list[tuple[int, int]]:
        """Every (shots, split) of the comparison."""
        comparison = self.recipe.comparison
        return [(shots, split) for shots in comparison.shots for split in range(comparison.splits)]

    def _read(self, name: str, shipped: Path, **how: Any) -> Corpus:
        data = self.recipe.data
        if data.task == "reading":
            return read_squad(name, kind=data.kind, split=how["split"], on_bad_rows=data.on_bad_rows)
        if data.task in ANNOTATED_TASKS:
            return read_annotated(
                name,
                data.task,
                descriptions=data.descriptions,
                kind=data.kind,
                attributes=data.attributes,
                split=how["split"],
                on_bad_rows=data.on_bad_rows,
                held_out=how.get("held_out", False),
            )
        return read_corpus(
            source_of(name, shipped),
            text=data.text,
            label=data.label,
            label_names=data.label_names,
            descriptions=data.descriptions,
            kind=data.kind,
            on_bad_rows=data.on_bad_rows,
            **how,
        )


def without_shared_contexts(pool: Corpus, test: Corpus, *, drop: bool) -> Corpus:
    """Leave out the pool's rows whose context is a test row's, or refuse them.

    Raises:
        DataError: There are some, and they are not to be dropped.
    """
    task = task_of(pool)
    tested = {task.group(example) for example in test}
    rows = [row for row, example in enumerate(pool.examples) if task.group(example) not in tested]
    if len(rows) < len(pool) and not drop:
        raise DataError(
            f"The contexts of {len(pool) - len(rows)} training rows stand in the test data too.",
            hint="Set data.overlap = 'drop' to leave these rows out of the pool.",
        )
    return pool.rows(rows)


def source_of(name: str, shipped: Path) -> Path | str:
    """Return what to read: 'demo' is the file that ships with the project."""
    return shipped if name == "demo" else name
