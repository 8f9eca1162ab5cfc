"""Compare: write rows for several few-shot draws, check their labels, train students with and without them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np

from crossfade.data import Augmented, Corpus, has_mixed
from crossfade.errors import SettingsError, nearest_name
from crossfade.estimating import expected_requests
from crossfade.evaluation.comparison import (
    ALL_DATA,
    CLASS_TEXTS,
    GOLD_ONLY,
    Curve,
    Measured,
    ResultRow,
    Scored,
    drop_test_copies,
    refuse_leaks,
    row_name,
    summarise,
)
from crossfade.evaluation.diversity import Diversity, describe_texts, self_bleu
from crossfade.evaluation.scores import accuracy, counted
from crossfade.parts import Cost, Parts, RecipeLike, opened
from crossfade.recipe import MethodSettings, Recipe, StudentKind
from crossfade.scoring import Scorer
from crossfade.selection.checking import Check
from crossfade.tasks.classification import TrainingRows, class_text_rows, gold_rows


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a comparison found."""

    folder: Path
    own: str
    """Which rows are those of the recipe's own method and label check."""
    rows: tuple[ResultRow, ...]
    cost: Cost
    requests_per_three_texts: float
    """Writing requests of the recipe's method for three texts kept before labels are checked."""
    losses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Class to stage to count of the recipe's method and check, summed over shots and splits."""
    texts: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Method to what describes its texts (`Diversity`), the mean over shots and splits; `compare` alone measures it."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "run": str(self.folder),
            "own": self.own,
            "results": [row.as_json() for row in self.rows],
            "cost": asdict(self.cost),
            "requests_per_three_texts": self.requests_per_three_texts,
            "losses": {label: dict(counts) for label, counts in self.losses.items()},
            "texts": {method: dict(values) for method, values in self.texts.items()},
        }


def run(recipe: RecipeLike, *, progress: bool = False) -> RunResult:
    """Measure the recipe's method: train its student with and without written rows, over several few-shot draws.

    The run folder keeps every reply; starting the same run again continues it and asks for nothing twice.

    Args:
        recipe: A recipe, its values, or its TOML file.
        progress: Show progress on standard error.

    Raises:
        SettingsError: The recipe has no test data, or a setting cannot work.
        DataError: The data cannot be read, or test texts stand in the training data.
        ModelError: A model cannot be loaded or reached.
        BudgetError: The budget is spent.
    """
    with opened(recipe, progress) as parts:
        settings = parts.recipe
        methods = titled([settings.method])
        checks = {title: [] if parts.label_check == "none" else [parts.label_check] for title in methods}
        return _Comparison(parts, methods, checks, [settings.student.kind]).result()


def compare(recipe: RecipeLike, *, progress: bool = False) -> RunResult:
    """Measure all methods, label checks and students that the recipe names, over the same draws; see `run`.

    Every method writes as many texts per class as the recipe's own. What was asked, written or trained before is not
    done again.
    """
    with opened(recipe, progress) as parts:
        settings = parts.recipe
        methods = compared(settings)
        students = list(dict.fromkeys([settings.student.kind, *settings.comparison.students]))
        return _Comparison(parts, methods, compared_checks(parts, methods), students, whole=True).result()


def compared(recipe: Recipe) -> dict[str, MethodSettings]:
    """Return the methods of a comparison by title, the recipe's own first.

    Raises:
        SettingsError: Two methods are the same.
    """
    return titled([recipe.method, *(_beside(recipe.method, method) for method in recipe.comparison.methods)])


def compared_checks(parts: Parts, methods: Mapping[str, MethodSettings]) -> dict[str, list[Check]]:
    """Return the label checks that decide on each method's labels in a comparison, by the method's title.

    Raises:
        SettingsError: `comparison.checked_methods` names a method that is not compared.
    """
    own, wanted = parts.recipe.method.name, parts.recipe.comparison
    names = {method.name for method in methods.values()}
    checked = names if wanted.checked_methods is None else {own, *wanted.checked_methods}
    if unknown := sorted(checked - names):
        raise SettingsError(
            f"comparison.checked_methods names '{unknown[0]}', which is no method of the comparison.",
            hint=nearest_name(unknown[0], names),
        )
    deciding: list[Check] = [check for check in dict.fromkeys([parts.label_check, *wanted.checks]) if check != "none"]
    return {title: deciding if method.name in checked else [] for title, method in methods.items()}


def require_test(recipe: Recipe) -> None:
    """Refuse a recipe by which nothing can be measured."""
    if not recipe.data.has_test:
        raise SettingsError(
            "The recipe names no test data, so nothing can be measured.",
            hint="Set data.test or data.test_share, or use `crossfade train` to make a student unmeasured.",
        )


def _beside(own: MethodSettings, method: MethodSettings) -> MethodSettings:
    """Let a method write as many texts as the recipe's own; a variant of that one takes over its other keys, too."""
    shared = own.model_dump(exclude_unset=True) if type(method) is type(own) else {}
    given = method.model_dump(exclude_unset=True)
    return type(method).model_validate({**shared, **given, "texts_per_class": own.texts_per_class})


def titled(methods: Sequence[MethodSettings]) -> dict[str, MethodSettings]:
    """Name each method; where one comes several times, by those settings in which they differ."""
    found: dict[str, MethodSettings] = {}
    for method in methods:
        alike = [other for other in methods if other.name == method.name]
        given = method.model_dump(exclude_defaults=True)
        # A comma and a space stand between method and label check.
        differs = [
            f"{key}={value}".replace(", ", ",")
            for key, value in given.items()
            if any(getattr(other, key) != getattr(method, key) for other in alike)
        ]
        title = f"{method.name} ({' '.join(differs)})" if differs else method.name
        if title in found:
            raise SettingsError(f"The comparison names the method '{title}' twice.", hint="Leave one out.")
        found[title] = method
    return found


class _Comparison:
    """One comparison: what is compared, and what has been found so far."""

    def __init__(
        self,
        parts: Parts,
        methods: Mapping[str, MethodSettings],
        checks: Mapping[str, Sequence[Check]],
        students: Sequence[StudentKind],
        *,
        whole: bool = False,
    ) -> None:
        require_test(parts.recipe)
        self.parts = parts
        self.methods = methods
        self.own = next(iter(methods))
        """The recipe's own method."""
        self.checks = checks
        """The label checks of each method, by title; 'none' is not among them."""
        self.students = students
        self.whole = whole
        """Whether this is `compare`, which measures all real data and describes the texts, too."""
        self.losses: dict[str, dict[str, int]] = {}
        self.kept: dict[tuple[int, str], list[int]] = {}
        self.fidelity: dict[tuple[int, str], list[float]] = {}
        self.described: dict[str, list[Diversity]] = {}

    def result(self) -> RunResult:
        """Do all that is to be done."""
        started = time.perf_counter()
        parts = self.parts
        refuse_leaks([parts.texts.pool], parts.texts.test)
        if self.whole:
            # What it needs is missed now, not when everything was paid for.
            self_bleu([], np.random.default_rng(0))
        for draw in parts.texts.draws:
            gold = parts.texts.draw(*draw)
            for title, method in self.methods.items():
                parts.watch.expect(expected_requests(parts, gold, method, self.checks[title]))
        processes = parts.recipe.comparison.processes or (
            cpu_count() or 1 if set(self.students) - {"linear", "nearest"} else 1
        )
        with Scorer(parts, processes) as scorer:
            counts = self._curve_counts()
            real = {
                (student, count, split): scorer.score(gold_rows(parts.texts.draw(count, split)), student)
                for student in self.students
                for count in counts
                for split in range(parts.recipe.comparison.splits)
            }
            everything = {
                student: scorer.score(gold_rows(parts.texts.pool), student)
                for student in self.students
                if self.whole and parts.recipe.comparison.all_real_data
            }
            asked = {
                (student, shots, name): future
                for shots in parts.recipe.comparison.shots
                for (student, name), future in self._of_shots(scorer, shots).items()
            }
            with parts.watch.stage("training students"):
                curves = {student: self._curve(student, counts, real) for student in self.students}
                rows = self._rows(asked, curves, everything)
        accepted = sum(counts.get("accepted", 0) for counts in self.losses.values())
        requests = sum(counts.get("requests", 0) for counts in self.losses.values())
        result = RunResult(
            folder=parts.folder,
            own=row_name(self.own, parts.label_check),
            rows=tuple(rows),
            cost=parts.cost(time.perf_counter() - started),
            requests_per_three_texts=3 * requests / max(accepted, 1),
            losses=self.losses,
            texts={method: _means(described) for method, described in self.described.items()},
        )
        (parts.folder / "comparison.json").write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
        return result

    def _curve_counts(self) -> list[int]:
        """Return the numbers of real labels per class at which students are measured."""
        pool = self.parts.texts.pool
        smallest = min(len(pool.of_class(label)) for label in pool.labels)
        return [count for count in sorted(set(self.parts.recipe.comparison.curve)) if 1 <= count <= smallest]

    def _of_shots(self, scorer: Scorer, shots: int) -> dict[tuple[StudentKind, str], list["Future[Measured]"]]:
        """Score every kind of training rows on every draw of so many real labels, by student and kind of rows."""
        futures: dict[tuple[StudentKind, str], list[Future[Measured]]] = {}
        for split in range(self.parts.recipe.comparison.splits):
            gold = self.parts.texts.draw(shots, split)
            for name, rows in self._row_sets(gold, shots, split):
                mixed = has_mixed(rows.examples)
                for student in self.students:
                    if mixed and student != "linear":
                        # Mixed embeddings hold no text that another student could read.
                        continue
                    futures.setdefault((student, name), []).append(scorer.score(rows, student))
        return futures

    def _row_sets(self, gold: Corpus, shots: int, split: int) -> Iterator[tuple[str, TrainingRows]]:
        """Make each kind of training rows from one draw."""
        if shots:
            yield GOLD_ONLY, gold_rows(gold)
        if self.parts.recipe.data.has_classes:
            yield CLASS_TEXTS, gold_rows(gold) + class_text_rows(gold)
        unit = counted(classes=self.parts.recipe.data.has_classes)
        for title, method in self.methods.items():
            with self.parts.watch.stage(f"{title} writes, {shots} {unit}, draw {split + 1}"):
                written = self.parts.write(gold, method, self.parts.rng(shots, split))
            written_name, rows, last = self._synthetic(title, "none", written, gold, shots)
            yield written_name, rows
            for check in self.checks[title] if self.parts.is_judged(written) else ():
                with self.parts.watch.stage(f"{title}: checking labels ({check}), draw {split + 1}"):
                    labels = self.parts.recipe.labels.model_copy(update={"check": check})
                    checked = self.parts.check(written, gold, labels)
                name, rows, usable = self._synthetic(title, check, checked, gold, shots)
                yield name, rows
                if check == self.parts.label_check:
                    last = usable
            if title == self.own:
                self._keep_own(last, gold, shots, split)

    def _synthetic(
        self, method: str, check: Check, made: Augmented, gold: Corpus, shots: int
    ) -> tuple[str, TrainingRows, Augmented]:
        """Take test texts out of some rows, note what is to be said of the others, and make them training rows."""
        made = drop_test_copies(made, self.parts.texts.test)
        name = row_name(method, check)
        self.kept.setdefault((shots, name), []).append(len(made.kept))
        # A point between two texts has no text to describe, and no class that an oracle could name.
        readable = bool(made.kept) and not has_mixed(row.example for row in made.kept)
        if self.parts.recipe.comparison.oracle and readable and len(gold.labels) > 1:
            named = self.parts.oracle_labels([row.example for row in made.kept])
            right = accuracy([row.example.label for row in made.kept], named)
            self.fidelity.setdefault((shots, name), []).append(right)
        if self.whole and check == "none" and readable:
            self.described.setdefault(method, []).append(self._describe(made, gold))
        return name, self.parts.with_synthetic(gold, made), made

    def _describe(self, made: Augmented, gold: Corpus) -> Diversity:
        texts = [row.example.text for row in made.kept]
        rng = np.random.default_rng(self.parts.recipe.seed)
        return describe_texts(
            texts, gold=gold, encoder=self.parts.models.encoder, rng=rng, pool=self.parts.texts.pool.texts
        )

    def _keep_own(self, made: Augmented, gold: Corpus, shots: int, split: int) -> None:
        """Keep the rows of the recipe's own method and check, and the student of the first draw."""
        _add_counts(self.losses, made.losses)
        self.parts.keep(made, gold, self.parts.folder / "splits" / f"{shots}-shot-{split}")
        if split == 0:
            rows = self.parts.with_synthetic(gold, made)
            self.parts.fitted(rows, gold.labels).save(self.parts.folder / "student")

    def _curve(
        self,
        student: StudentKind,
        counts: Sequence[int],
        real: Mapping[tuple[StudentKind, int, int], "Future[Measured]"],
    ) -> Curve | None:
        """Gather the learning curve of real labels, and write that of the recipe's own student to the run folder."""
        if not counts:
            return None
        splits = range(self.parts.recipe.comparison.splits)
        values = tuple(tuple(real[student, count, split].result().score for split in splits) for count in counts)
        curve = Curve(tuple(counts), values)
        if student == self.parts.recipe.student.kind:
            (self.parts.folder / "curve.json").write_text(json.dumps(asdict(curve)), encoding="utf-8")
        return curve

    def _rows(
        self,
        asked: Mapping[tuple[StudentKind, int, str], Sequence["Future[Measured]"]],
        curves: Mapping[StudentKind, Curve | None],
        everything: Mapping[StudentKind, "Future[Measured]"],
    ) -> list[ResultRow]:
        """Wait for the scores and turn them into lines, by student and shots."""
        lines: list[ResultRow] = []
        for student in self.students:
            for shots in self.parts.recipe.comparison.shots:
                scored = [
                    self._scored(name, shots, futures)
                    for (of_student, of_shots, name), futures in asked.items()
                    if (of_student, of_shots) == (student, shots)
                ]
                if student in everything:
                    scored.append(self._scored(ALL_DATA, shots, [everything[student]]))
                rng = np.random.default_rng(self.parts.recipe.seed)
                lines += summarise(scored, student=student, shots=shots, curve=curves[student], rng=rng)
        return lines

    def _scored(self, name: str, shots: int, futures: Sequence["Future[Measured]"]) -> Scored:
        """Wait for the scores of one kind of rows, and add what is known of the rows."""
        found = [future.result() for future in futures]
        return Scored(
            name,
            tuple(one.score for one in found),
            tuple(self.kept.get((shots, name), ())),
            tuple(self.fidelity.get((shots, name), ())),
            found[0].measure,
            tuple(one.beside for one in found if one.beside is not None),
        )


def _means(described: Sequence[Diversity]) -> dict[str, float | None]:
    """Average each figure over the draws; one that some draw lacks is None."""
    columns = {name: [getattr(one, name) for one in described] for name in Diversity.__dataclass_fields__}
    return {name: None if None in values else float(np.mean(values)) for name, values in columns.items()}


def _add_counts(total: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]) -> None:
    for label, counts in more.items():
        of_label = total.setdefault(label, {})
        for stage, count in counts.items():
            of_label[stage] = of_label.get(stage, 0) + count
