"""Read a run folder, and write what people look at: the report and the data card."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from crossfade.data import Augmented, Corpus, DataWarning, MixedExample, read_rows
from crossfade.errors import CrossfadeError, DataError, ParsingError
from crossfade.evaluation.comparison import Curve, ResultRow
from crossfade.evaluation.row_intrusion import RowIntrusion, intrusion_of_rows
from crossfade.evaluation.scores import counted
from crossfade.methods.inversed_mixup import InversedMixupSettings
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings
from crossfade.models.budget import FREE, Prices, cost_of
from crossfade.models.replies import ReplyStore
from crossfade.numerics.statistics import Interval, WorthInterval
from crossfade.opening import prices_of
from crossfade.parts import NOISE_NAME, Parts
from crossfade.recipe import Recipe, read_recipe
from crossfade.reports.findings import Draw, Findings, ModelUse
from crossfade.reports.page import render_page
from crossfade.reports.projection import Projection, project
from crossfade.reviewing import REVIEWS_NAME, DecisionFile, apply_decisions
from crossfade.roles import Encoder, Floats, Usage
from crossfade.selection.noise_report import LabelNoise
from crossfade.students.linear import LinearStudent
from crossfade.watch import Watch

REPORT_NAME = "report.html"


def report(folder: Path) -> Path:
    """Write the report of a run into its folder: one HTML file with everything inside.

    Args:
        folder: A run folder of `run`, `compare`, `augment` or `train`.

    Returns:
        The file.

    Raises:
        DataError: The folder holds no written rows.
        ParsingError: A file of the folder is not in the form it must have.
        DependencyError: A library of the extra 'report' is missing.
    """
    page = render_page(findings_of(folder))
    path = folder / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path


def findings_of(folder: Path) -> Findings:
    """Read a run folder, embed its texts, and gather all that a report shows; raises as `report` does."""
    recipe = recipe_of(folder)
    store = folder / "replies.sqlite"
    # A folder that was passed on may have lost its store; none is made in it then.
    with ReplyStore(store if store.is_file() else ":memory:") as replies:
        parts = Parts(recipe, folder, replies, Watch(show=False))
        with warnings.catch_warnings():
            # The run itself told which rows of the data were left out.
            warnings.simplefilter("ignore", DataWarning)
            return _gather(folder, recipe, parts, replies)


def recipe_of(folder: Path) -> Recipe:
    """Read the recipe of a run folder.

    Raises:
        DataError: There is none.
        SettingsError: It is not one.
    """
    path = folder / "recipe.toml"
    if not path.is_file():
        raise DataError(f"There is no recipe.toml in '{folder}'.", hint="Give the folder of a run.")
    return read_recipe(path)


@dataclass(frozen=True, slots=True)
class WrittenIn:
    """A folder with written rows."""

    folder: Path
    name: str
    shots: int | None = None
    """Real labels per class of a draw, or rows in all; None where all labelled texts were used."""
    split: int = 0


def written_in(folder: Path, labels: str) -> list[WrittenIn]:
    """Return where a run left its rows: in its folder (`augment`, `train`), or by draw (`run`, `compare`).

    Args:
        folder: A run folder.
        labels: What the number of a draw counts, for its name.

    Raises:
        DataError: Nowhere.
    """
    found = [WrittenIn(folder, "all labelled texts")] if (folder / "kept.jsonl").is_file() else []
    drawn = []
    for path in folder.glob("splits/*-shot-*"):
        shots, _, split = path.name.partition("-shot-")
        if (path / "kept.jsonl").is_file() and shots.isdecimal() and split.isdecimal():
            drawn.append(WrittenIn(path, f"{shots} {labels}, draw {int(split) + 1}", int(shots), int(split)))
    found += sorted(drawn, key=lambda place: (place.shots or 0, place.split))
    if not found:
        raise DataError(
            f"There are no written rows in '{folder}'.", hint="Run `crossfade run`, `train` or `augment` first."
        )
    return found


def read_draws(folder: Path) -> list[Draw]:
    """Read the rows of each draw of a run, without the labelled texts; raises as `written_in` and `read_rows` do."""
    labels = counted(classes=recipe_of(folder).data.has_classes)
    return [_draw(place, None) for place in written_in(folder, labels)]


def _gather(folder: Path, recipe: Recipe, parts: Parts, replies: ReplyStore) -> Findings:
    """Put together what the folder holds and what follows from it."""
    draws, gold_missing = _draws(folder, parts)
    comparison = _comparison(folder / "comparison.json")
    encoder = _Remembering(parts)
    return Findings(
        name=recipe.name,
        method=recipe.method.name,
        check=parts.label_check,
        student=recipe.student.kind,
        kind=recipe.data.kind,
        seed=recipe.seed,
        draws=draws,
        own=comparison.own,
        rows=comparison.rows,
        curve=_curve(folder),
        texts=comparison.texts,
        models=tuple(_models(recipe, replies)),
        seconds=comparison.seconds,
        projection=_projection(draws, encoder),
        intrusion=_intrusion(recipe, draws, encoder),
        follows_errors=isinstance(recipe.method, StepwiseSynthesisSettings) and recipe.method.extrapolate == "errors",
        gold_missing=gold_missing,
    )


def _draws(folder: Path, parts: Parts) -> tuple[tuple[Draw, ...], str]:
    """Read the rows of each draw with the labelled texts they came from, or say why those are not at hand."""
    missing, draws = "", []
    for place in written_in(folder, counted(classes=parts.recipe.data.has_classes)):
        gold: Corpus | None = None
        try:
            gold = parts.texts.pool if place.shots is None else parts.texts.draw(place.shots, place.split)
        except CrossfadeError as error:
            # The data may have stayed elsewhere; the rows are worth a report all the same, which says so.
            missing = error.message
        draws.append(_draw(place, gold))
    return tuple(draws), missing


def _draw(place: WrittenIn, gold: Corpus | None) -> Draw:
    losses = _json(place.folder / "losses.json")
    made = Augmented(
        tuple(read_rows(place.folder / "kept.jsonl")),
        tuple(read_rows(place.folder / "dropped.jsonl")),
        losses["classes"],
        losses["stopped"],
        losses["sources"],
    )
    noise = place.folder / NOISE_NAME
    checked = _checked(LabelNoise, noise) if noise.is_file() else None
    if checked is not None:
        labels = [of_class.label for of_class in checked.classes]
        made = apply_decisions(made, DecisionFile(place.folder / REVIEWS_NAME).by_key, labels).rows
    return Draw(name=place.name, made=made, noise=checked, gold=gold)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParsingError(f"'{path}' cannot be read as JSON: {error}.", hint="Run the recipe again.") from error


def _checked(kind: type[LabelNoise], path: Path) -> LabelNoise:
    try:
        return TypeAdapter(kind).validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ParsingError(f"'{path}' is not a label-noise report: {error}.", hint="Run the recipe again.") from error


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What `run` or `compare` found; empty where nothing was measured."""

    own: str = ""
    rows: tuple[ResultRow, ...] = ()
    texts: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    seconds: float | None = None


def _comparison(path: Path) -> _Comparison:
    if not path.is_file():
        return _Comparison()
    found = _json(path)
    try:
        rows = tuple(map(_result_row, found["results"]))
        return _Comparison(str(found["own"]), rows, found["texts"], float(found["cost"]["seconds"]))
    except (KeyError, TypeError) as error:
        raise ParsingError(
            f"'{path}' is not what `run` or `compare` writes today: {error!r}.",
            hint="Run the recipe again; no model is asked twice for the same thing.",
        ) from error


def _result_row(values: Mapping[str, Any]) -> ResultRow:
    """Read back what `ResultRow.as_json` wrote."""
    return ResultRow(
        rows=values["rows"],
        student=values["student"],
        shots=values["shots"],
        splits=values["splits"],
        values=tuple(values["score"]["values"]),
        uplift=Interval(**values["uplift"]) if values["uplift"] else None,
        worth_per_class=values["worth_per_class"],
        kept=tuple(values["kept"]),
        fidelity=tuple(values["fidelity"]),
        worth=WorthInterval(**values["worth"]) if values["worth"] else None,
        measure=values["measure"],
        beside=tuple(share for shares in values["beside"].values() for share in shares),
    )


def _curve(folder: Path) -> Curve | None:
    path = folder / "curve.json"
    if not path.is_file():
        return None
    found = _json(path)
    return Curve(tuple(found["shots"]), tuple(map(tuple, found["values"])))


def _models(recipe: Recipe, replies: ReplyStore) -> Iterator[ModelUse]:
    """Add up what each model was asked over all starts."""
    used: dict[str, list[Any]] = {}
    for name, reply in replies.calls():
        counts = used.setdefault(name, [0, 0, 0, 0, 0, 0.0, _prices(recipe, name)])
        counts[int(reply.error is not None)] += 1
        counts[2] += reply.usage.prompt_tokens
        counts[3] += reply.usage.cached_tokens
        counts[4] += reply.usage.answer_tokens
        counts[5] += cost_of(reply, counts[6]).cost
    for name, (asked, failed, prompt, cached, answer, money, price) in used.items():
        yield ModelUse(
            model=name,
            requests=asked,
            failed=failed,
            prompt_tokens=prompt,
            cached_tokens=cached,
            answer_tokens=answer,
            money=money if price.cost(Usage()) is not None else None,
        )


def _prices(recipe: Recipe, name: str) -> Prices:
    """Return the prices of a model by its name in the store: address and model id for an endpoint."""
    address, _, model = name.partition("#")
    for role in (recipe.writer, recipe.judge, recipe.second_judge):
        if role is not None and role.kind == "endpoint" and role.model == model and address in (role.base_url or ""):
            return prices_of(role)
    return FREE


class _Remembering:
    """An encoder that embeds each text once; the real one is loaded when first asked."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.known: dict[str, Floats] = {}

    @property
    def name(self) -> str:
        """The encoder's own."""
        return self.parts.models.encoder.name

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return embeddings, [texts, width]."""
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        if new:
            self.known.update(zip(new, self.parts.models.encoder.encode(new), strict=True))
        return np.array([self.known[text] for text in texts])


def _projection(draws: Sequence[Draw], encoder: Encoder) -> Projection | None:
    """Lay out every gold and written text; points between two texts have no text of their own."""
    written = [row.example for draw in draws for row in draw.rows]
    gold = [example for draw in draws for example in draw.gold or ()]
    texts = list(
        dict.fromkeys(
            example.text for example in [*gold, *written] if not isinstance(example, MixedExample) and example.text
        )
    )
    return project(texts, encoder.encode(texts)) if texts else None


def _intrusion(recipe: Recipe, draws: Sequence[Draw], encoder: Encoder) -> RowIntrusion | None:
    """Measure how often mixed rows lie outside their parents, where the method mixes and the data are at hand."""
    if not isinstance(recipe.method, InversedMixupSettings):
        return None
    at_hand = [(draw.gold, draw.rows) for draw in draws if draw.gold is not None]
    return intrusion_of_rows(at_hand, lambda: LinearStudent(encoder))
