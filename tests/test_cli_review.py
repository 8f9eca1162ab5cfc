import json
import os
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crossfade import parts, runs
from crossfade.cli import app
from crossfade.data import read_rows
from crossfade.errors import DataError
from crossfade.roles import Learner
from crossfade.tasks.classification import TrainingRows
from tests.reviewing.rows import made, write_run, written
from tests.test_runs import start


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_comparison_has_no_rows_to_review(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    done = call("review", tmp_path)
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: '{tmp_path}' holds the splits of a comparison; expected kept.jsonl and dropped.jsonl beside "
        "recipe.toml.\nhint: Run `crossfade augment RECIPE`, which writes rows from all labelled texts, and name its "
        "folder.\n"
    )


def test_a_folder_without_rows_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no rows that `augment` wrote"):
        runs.review_session(tmp_path / "absent")


def test_review_serves_until_interrupted_and_ends_with_the_counts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", made([written("a cat"), written("a dog", label="dog")]))
    key = next(iter(runs.review_session(folder).rows))
    process = start("review", str(folder), "--json")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("2 rows, 2 of them not reviewed yet.")
    url = process.stderr.readline().strip()
    wish = json.dumps({"key": key, "drop": True}).encode()
    # Straight to this machine, whatever proxy the environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urllib.request.Request(f"{url}decisions", wish), timeout=30) as answer:
        assert json.load(answer)["decision"]["verdict"] == "drop"
    os.kill(process.pid, signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(told) == {
        "run": str(folder), "reviewed": 1, "accepted": 0, "relabelled": 0, "edited": 0, "dropped": 1, "unmatched": 0
    }  # fmt: skip


def test_decisions_reach_the_student_and_survive_another_augment(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = runs.augment(tiny_recipe)
    before = read_rows(folder / "kept.jsonl")
    session = runs.review_session(folder)
    first, second, third, *_ = session.rows
    texts = {key: row.row.example.text for key, row in session.rows.items()}
    session.decide(first, drop=True)
    session.decide(second, label="dog" if session.rows[second].row.example.label == "cat" else "cat")
    session.decide(third, texts=["an edited text"])

    seen: list[TrainingRows] = []
    fitted = parts.Parts.fitted

    def noted(self: parts.Parts, rows: TrainingRows, labels: Sequence[str]) -> Learner:
        seen.append(rows)
        return fitted(self, rows, labels)

    monkeypatch.setattr(parts.Parts, "fitted", noted)
    done = call("train", tiny_recipe)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "Reviewed rows: 3 (0 accepted, 1 relabelled, 1 edited, 1 dropped)."
    (rows,) = seen
    taught = {example.text: example.label for example in rows.examples}
    assert texts[first] not in taught
    assert taught[texts[second]] != session.rows[second].row.example.label
    assert texts[third] not in taught
    assert "an edited text" in taught

    # The files stay as the check left them, so that nothing that was decided is final.
    assert read_rows(folder / "kept.jsonl") == before
    assert [row.origin.original_texts for row in runs.reviewed(folder).rows.kept if row.origin.reviewed == "edit"] == [
        (texts[third],)
    ]

    # Other texts are written: decisions that match none of them are counted, and stay.
    done = call("augment", tiny_recipe, "--set", "seed=7")
    assert "Reviewed rows: 0" in done.stdout
    assert "3 decisions match no row any more" in done.stdout
    assert json.loads(call("augment", tiny_recipe, "--json").stdout)["review"]["reviewed"] == 3
