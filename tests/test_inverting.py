import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from crossfade import inverting, packaged
from crossfade.cli import app
from crossfade.data import Example
from crossfade.errors import DataError, ModelError, SettingsError
from crossfade.evaluation.inversion import cosines
from crossfade.inversion import InverterSettings, Workplace, align, read_single_texts
from crossfade.inverting import invert
from crossfade.models import inverter as inverter_module
from crossfade.models.inverter_training import AdaptorTraining
from crossfade.numerics.mixing import mix_points
from crossfade.opening import open_inverter
from crossfade.students.linear import LinearStudent
from tests.inverter_doubles import SENTENCES, CountingEncoder, write_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    settings = InverterSettings(
        model=str(write_tiny_model(folder)),
        soft_tokens=2,
        hidden=32,
        align=AdaptorTraining(epochs=8, batch_size=8, learning_rate=0.01),
    )
    align(SENTENCES, settings, Workplace(folder / "inverter", folder, open_encoder=CountingEncoder))
    return folder / "inverter"


@pytest.fixture(autouse=True)
def quick_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inverter_module, "SentenceEncoder", lambda path, remember: CountingEncoder(path))
    monkeypatch.setattr(inverting, "cache_folder", lambda: tmp_path)


def test_nine_steps_are_the_tenths_between_the_two_texts(trained: Path) -> None:
    between = invert("red small cup", "blue large hat", inverter=trained)
    assert [row.ratio for row in between] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert len({row.text for row in between}) > 1


def test_cosine_is_that_of_text_and_mixed_point(trained: Path) -> None:
    (row,) = invert("red small cup", "blue large hat", steps=1, inverter=trained, how="spherical")
    encoder = CountingEncoder()
    first, second, text = (encoder.encode([words]) for words in ("red small cup", "blue large hat", row.text))
    point = mix_points(first, second, np.array([0.5]), "spherical")
    assert row.cosine == pytest.approx(cosines(point, text)[0], abs=1e-6)


def test_equal_texts_have_one_text_between_them(trained: Path) -> None:
    between = invert("red small cup", "red small cup", steps=4, inverter=trained)
    assert len({row.text for row in between}) == 1


def test_no_steps_are_refused(trained: Path) -> None:
    with pytest.raises(SettingsError, match="steps is 0"):
        invert("red", "green", steps=0, inverter=trained)


def test_missing_packaged_inverter_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packaged, "__file__", str(tmp_path / "packaged.py"))
    with pytest.raises(ModelError, match="comes without its trained inverter"):
        open_inverter()


def test_command_prints_ratio_cosine_and_text(trained: Path) -> None:
    done = call("invert", "red small cup", "blue large hat", "--steps", "3", "--inverter", trained)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0.75", "0.50", "0.25"]
    found = json.loads(
        call("invert", "red small cup", "blue large hat", "--steps", "3", "--inverter", trained, "--json").stdout
    )
    assert [set(row) for row in found] == [{"ratio", "cosine", "text"}] * 3
    assert [line.endswith(row["text"]) for line, row in zip(lines, found, strict=True)] == [True] * 3


def test_command_adds_the_label_of_a_runs_student(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfade.runs.SentenceEncoder", CountingEncoder)
    rows = [Example(("red small cup",), "warm"), Example(("blue large hat",), "cold")]
    student = LinearStudent(CountingEncoder()).fit(rows, np.eye(2), np.ones(2), ["warm", "cold"])
    student.save(tmp_path / "run" / "student")
    options: list[str | Path] = ["--steps", "2", "--inverter", trained, "--run", tmp_path / "run"]
    found = json.loads(call("invert", "red small cup", "blue large hat", *options, "--json").stdout)
    assert {row["label"] for row in found} <= {"warm", "cold"}
    assert all(0.5 <= row["probability"] <= 1 for row in found)
    assert found[0]["label"] in call("invert", "red small cup", "blue large hat", *options).stdout


def test_train_and_evaluate_commands_read_files(trained: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(SENTENCES))
    out = tmp_path / "made"
    settings = ["soft_tokens=2", "hidden=8", "align.epochs=1", f"model={trained.parent}"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    done = call("inverter", "train", texts, "--out", out, *overrides)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Inverter: {out}\n"
    assert "align: step 1 of 1" in done.stderr
    measured = call("inverter", "evaluate", texts, "--inverter", out)
    assert "texts 60" in measured.stdout
    found = json.loads(call("inverter", "evaluate", texts, "--inverter", out, "--json").stdout)
    assert set(found) == {"rows", "token_f1", "bleu", "cosine", "exact"}


def test_pairs_of_texts_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("sentence1,sentence2\nred cup,blue hat\n")
    with pytest.raises(DataError, match="two texts"):
        read_single_texts(str(file))
    assert read_single_texts(str(file), ["sentence2"]) == ["blue hat"]


def test_wrong_folder_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = call("invert", "red", "green", "--inverter", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "There is no inverter.json" in done.stderr
