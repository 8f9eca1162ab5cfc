"""Hand the written rows of a run on: as a file or folder in a usual form, with their data card, or to the hub."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from crossfade.data.exports import Form, export_rows, flat_row
from crossfade.libraries import require_libraries
from crossfade.methods import METHODS
from crossfade.recipe import Recipe
from crossfade.reporting import read_draws, recipe_of
from crossfade.reports.card import CardFacts, render_card
from crossfade.reports.findings import Draw

CARD_NAME = "card.md"


class HubApi(Protocol):
    """What is asked of the hub; `huggingface_hub.HfApi` has it."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> Any:
        """Make a repository, unless it is there."""

    def upload_folder(self, *, folder_path: str, repo_id: str, repo_type: str, commit_message: str) -> Any:
        """Commit the files of a folder."""


def export_kept(folder: Path, form: Form, out: Path) -> int:
    """Write the kept rows of a run in another form, and return how many there are.

    The rows of `augment` and `train` are taken where there are any; else those of every draw of `run` or `compare`,
    with a column `draw`.

    Args:
        folder: A run folder.
        form: 'jsonl', 'csv', 'parquet', 'datasets' (a folder for `datasets.load_from_disk`) or 'argilla' (records for
            `dataset.records.from_json`).
        out: File, or folder for 'datasets'.

    Raises:
        DataError: There are no rows, or they have no text, or the place cannot be written.
        ParsingError: A file of the run is not in the form it must have.
        DependencyError: The library of the form is missing.
    """
    rows = _flat(_passed_on(folder))
    export_rows(rows, out, form)
    return len(rows)


def card(folder: Path) -> Path:
    """Write the data card of a run's rows into its folder; raises as `export_kept` does."""
    path = folder / CARD_NAME
    path.write_text(card_text(folder), encoding="utf-8")
    return path


def card_text(folder: Path) -> str:
    """Return the data card of a run's rows."""
    return render_card(_facts(recipe_of(folder), _passed_on(folder)))


def push_to_hub(folder: Path, repo_id: str, *, private: bool = True, api: HubApi | None = None) -> int:
    """Put the kept rows of a run and their data card on the Hugging Face hub, and return how many rows there are.

    Args:
        folder: A run folder.
        repo_id: Where to: 'user/name'.
        private: Whether others see a repository that is made for this; one that is there stays as it is.
        api: The hub; None is the real one, with the login of `hf auth login`.

    Raises:
        DependencyError: A library of the extras 'hub' and 'parquet' is missing.
        DataError: There are no rows, or they have no text.
    """
    if api is None:
        require_libraries("huggingface_hub", extra="hub")
        from huggingface_hub import HfApi

        api = HfApi()
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        count = export_kept(folder, "parquet", made / "data" / "train.parquet")
        (made / "README.md").write_text(card_text(folder), encoding="utf-8")
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            folder_path=str(made),
            repo_id=repo_id,
            repo_type="dataset",
            commit_message=f"{count} rows of the run {folder.name}, with their card",
        )
    return count


def _passed_on(folder: Path) -> list[Draw]:
    """Return the draws whose rows are handed on: that of all labelled texts, or else every one."""
    draws = read_draws(folder)
    return draws[:1] if (folder / "kept.jsonl").is_file() else draws


def _flat(draws: list[Draw]) -> list[dict[str, Any]]:
    several = len(draws) > 1
    return [flat_row(row) | ({"draw": draw.name} if several else {}) for draw in draws for row in draw.made.kept]


def _facts(recipe: Recipe, draws: list[Draw]) -> CardFacts:
    asks = "writer" in METHODS[recipe.method.name].needs
    roles = {"writer": recipe.writer, "judge": recipe.judge, "second judge": recipe.second_judge}
    kept = tuple(row for draw in draws for row in draw.made.kept)
    widths = {len(row.example.texts) for row in kept}
    return CardFacts(
        name=recipe.name,
        method=recipe.method.name,
        check=recipe.labels.check,
        task=recipe.data.task or ("pair" if widths == {2} else "text"),
        kind=recipe.data.kind,
        source="the demo data that come with Crossfade"
        if recipe.data.train == "demo"
        else Path(recipe.data.train).name,
        version=version("crossfade"),
        kept=kept,
        dropped=tuple(row for draw in draws for row in draw.made.dropped),
        draws=len(draws),
        noise=tuple(draw.noise for draw in draws if draw.noise is not None),
        sources=draws[0].made.sources,
        license=recipe.license,
        data_license=recipe.data.license,
        model_licenses={
            name: role.license for name, role in roles.items() if role is not None and (asks or name != "writer")
        },
    )
