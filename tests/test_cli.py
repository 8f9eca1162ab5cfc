import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import crossfade
from crossfade import runs
from crossfade.cli import app
from crossfade.data import Example, read_corpus, read_rows
from crossfade.evaluation.comparison import CLASS_TEXTS, GOLD_ONLY, row_name
from crossfade.methods.logit_mixup import GuidedText
from crossfade.students.encoder_classifier import EncoderClassifier, EncoderClassifierSettings
from tests.doubles import LocalEndpoint, write_tiny_bert
from tests.run_doubles import POOL


def call(*arguments: str | Path, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


@pytest.fixture
def trained(tiny_recipe: Path) -> Path:
    return runs.train(tiny_recipe)[0]


def test_run_ends_with_table_verdict_cost_and_folder(tiny_recipe: Path, tmp_path: Path) -> None:
    done = call("run", tiny_recipe)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert any("2 real labels per class, 2 splits, linear student" in line for line in lines)
    for rows in (GOLD_ONLY, CLASS_TEXTS, row_name("promptmix", "none"), row_name("promptmix", "trust")):
        assert any(line.startswith(rows) and "100.0% ± 0.0" in line for line in lines)
    assert any(line.startswith("No gain over gold only: +0.0 points") for line in lines)
    assert "32 requests asked, 0 answered from the store, 0 failed" in done.stdout
    assert lines[-1] == f"Run folder: {tmp_path / 'runs' / 'tiny'}"
    assert lines[-2] == f"See it: crossfade report {tmp_path / 'runs' / 'tiny'} --open"
    assert max(len(line) for line in lines[:-2]) <= 80


def test_run_json_is_the_result_and_nothing_else(tiny_recipe: Path, tmp_path: Path) -> None:
    done = call("run", tiny_recipe, "--json")
    assert done.exit_code == 0
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "runs" / "tiny" / "comparison.json").read_text())
    assert {"run", "results", "cost"} <= set(found)
    assert set(found["results"][-1]["uplift"]) == {"mean", "low", "high"}


def test_set_overrides_keys(tiny_recipe: Path, tmp_path: Path) -> None:
    done = call("run", tiny_recipe, "--set", "name=other", "--set", "comparison.splits=1", "--json")
    assert [row["splits"] for row in json.loads(done.stdout)["results"]] == [1, 1, 1, 1]
    assert (tmp_path / "runs" / "other").is_dir()


def test_a_failure_is_told_without_a_traceback(tiny_recipe: Path) -> None:
    done = call("run", tiny_recipe, "--set", "method.texts_per_clas=3")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == "error: Unknown key 'method.texts_per_clas'. Did you mean 'texts_per_class'?\n"


def test_a_hint_follows_the_failure(tmp_path: Path) -> None:
    done = call("run", tmp_path / "absent.toml")
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: There is no recipe '{tmp_path / 'absent.toml'}'.\nhint: Give the path of a TOML file.\n"
    )


@pytest.mark.parametrize("arguments", [["run"], ["run", "x.toml", "--fast"], ["rum"], ["predict", "runs/x"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert call(*arguments).exit_code == 2


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert call("run", tmp_path).exit_code == 2


def test_rows_left_out_are_told_as_a_plain_warning(tiny_recipe: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text(POOL + POOL.splitlines()[1] + "\n", encoding="utf-8")
    done = call("plan", tiny_recipe)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"warning: {pool}: rows left out because they repeat an earlier row: 1 of 9.\n")
    assert "DataWarning" not in done.stderr


@pytest.mark.parametrize(("command", "continues"), [("run", True), ("train", True), ("plan", False)])
def test_an_interrupted_command_exits_with_130(
    tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch, command: str, continues: bool
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crossfade, command, interrupt)
    done = call(command, tiny_recipe)
    assert done.exit_code == 130
    assert done.stderr.startswith("Interrupted.")
    assert ("continues" in done.stderr) == continues


def test_plan_shows_counts_and_prompts_and_sends_nothing(tiny_recipe: Path, endpoint: LocalEndpoint) -> None:
    done = call("plan", tiny_recipe)
    assert done.exit_code == 0
    made = crossfade.plan(tiny_recipe)
    assert made.writing.example in done.stdout
    assert made.judging.example in done.stdout
    assert f"{made.writing.prompt_tokens:,}" in done.stdout
    assert "unknown" in done.stdout
    assert endpoint.bodies == []
    assert json.loads(call("plan", tiny_recipe, "--json").stdout)["writing"]["calls"] == made.writing.calls
    beside = ["--set", "comparison.methods=[{name='label_prompting'}]", "--comparison", "--json"]
    assert json.loads(call("plan", tiny_recipe, *beside).stdout)["writing"]["calls"] == 2 * made.writing.calls


def test_augment_tells_the_losses_and_where_the_rows_are(tiny_recipe: Path, tmp_path: Path) -> None:
    done = call("augment", tiny_recipe)
    assert done.exit_code == 0
    for heading in ("asked", "written", "parsable", "surplus", "labelled", "dropped", "kept"):
        assert heading in done.stdout
    assert "Every class has its texts." in done.stdout
    assert f"Rows: {tmp_path / 'runs' / 'tiny' / 'kept.jsonl'} (8)" in done.stdout
    found = json.loads(call("augment", tiny_recipe, "--json").stdout)
    assert (found["kept"], found["losses"]["cat"]["kept"]) == (8, 4)
    assert len(read_rows(Path(found["run"]) / "kept.jsonl")) == 8


def test_train_says_where_the_student_is(tiny_recipe: Path, tmp_path: Path) -> None:
    student = tmp_path / "runs" / "tiny" / "student"
    assert call("train", tiny_recipe).stdout == f"Student for 2 classes: {student}\n"
    assert json.loads(call("train", tiny_recipe, "--json").stdout)["labels"] == ["cat", "dog"]
    assert (student / "student.json").is_file()


def test_evaluate_scores_a_saved_student(trained: Path, tmp_path: Path) -> None:
    assert call("evaluate", trained, tmp_path / "test.csv").stdout == "accuracy 100.0%  macro F1 100.0%  rows 6\n"
    named = call("evaluate", trained, tmp_path / "test.csv", "--text", "text", "--label", "label", "--json")
    assert json.loads(named.stdout) == {"accuracy": 1.0, "macro_f1": 1.0, "rows": 6, "unanswered": 0}


def test_evaluate_tells_of_rows_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "evaluate", lambda *_, **__: runs.Scores({"accuracy": 0.5, "macro_f1": 0.4}, 8, 3))
    done = call("evaluate", tmp_path, "test.csv")
    assert done.stdout == "accuracy 50.0%  macro F1 40.0%  rows 8  unanswered 3\n"


@pytest.mark.usefixtures("one_thread")
def test_export_writes_beside_the_student_or_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write_tiny_bert(tmp_path / "base", ["cat", "dog"], tokens=12)
    examples = [Example(("a cat",), "cat"), Example(("a dog",), "dog")]
    settings = EncoderClassifierSettings(epochs=1, max_length=8)
    student = EncoderClassifier(str(tmp_path / "base"), settings).fit(examples, np.eye(2), np.ones(2), ["cat", "dog"])
    student.save(tmp_path / "run" / "student")
    done = call("export", tmp_path / "run")
    assert done.exit_code == 0, done.output
    checked, place = done.stdout.splitlines()
    assert re.fullmatch(r"Checked on 16 texts: probabilities differ by at most \S+\.", checked)
    assert place == f"Export: {tmp_path / 'run' / 'onnx'}"
    found = json.loads(call("export", tmp_path / "run", "--out", tmp_path / "elsewhere", "--json").stdout)
    assert (found["folder"], found["rows"]) == (str(tmp_path / "elsewhere"), 16)
    assert found["largest_difference"] < 1e-5
    assert (tmp_path / "elsewhere" / "model.onnx").is_file()


def test_mix_shows_texts_along_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def mix(*arguments: object, texts: int) -> list[GuidedText]:
        asked.extend([*arguments, texts])
        return [GuidedText(0.25, "where is my card", -3.21), GuidedText(0.75, "", 4.0)]

    monkeypatch.setattr(crossfade, "mix", mix, raising=False)
    done = call("mix", "a b", "c", "--run", "runs/x", "--ratio", "0.25", "--ratio", "0.75", "--texts", "1")

    assert done.exit_code == 0, done.output
    assert asked == [Path("runs/x"), "a b", "c", [0.25, 0.75], 1]
    head, first, second = (line.split() for line in done.stdout.splitlines())
    assert head == ["ratio", "nats", "for", "a", "b", "text"]
    assert first == ["0.25", "-3.2", "where", "is", "my", "card"]
    assert second == ["0.75", "+4.0", "(nothing", "readable)"]
    found = json.loads(call("mix", "a b", "c", "--run", "runs/x", "--json").stdout)
    assert found[0] == {"ratio": 0.25, "text": "where is my card", "log_odds": -3.21}
    assert asked[-2] == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_export_says_why_a_student_has_no_graph(trained: Path) -> None:
    done = call("export", trained)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: The encoder 'words' is no sentence-transformers model")


def test_predictions_in_a_pipe_can_be_read_as_labelled_texts(trained: Path, tmp_path: Path) -> None:
    done = call("predict", trained, tmp_path / "test.csv")
    assert done.stdout.splitlines()[0] == "label\tprobability\ttext"
    (tmp_path / "labelled.tsv").write_text(done.stdout, encoding="utf-8")
    read_back = read_corpus(tmp_path / "labelled.tsv", held_out=True)
    assert read_back == read_corpus(tmp_path / "test.csv", held_out=True)


def test_predict_reads_standard_input_line_by_line(trained: Path) -> None:
    done = call("predict", trained / "student", "-", "--json", typed="a cat, ünd so\nthe dog\n")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["label"], row["texts"]) for row in found] == [("cat", ["a cat, ünd so"]), ("dog", ["the dog"])]
    assert all(0.5 < row["probability"] <= 1 for row in found)


def test_predict_refuses_empty_input(trained: Path) -> None:
    done = call("predict", trained, "-", typed="")
    assert done.exit_code == 1
    assert "holds no rows" in done.stderr


def test_methods_lists_papers_and_needs() -> None:
    done = call("methods")
    assert "promptmix" in done.stdout
    assert "writer, encoder" in done.stdout
    assert json.loads(call("methods", "--json").stdout)["promptmix"]["paper"].endswith("2310.14192")


def test_methods_with_a_name_lists_settings_with_defaults() -> None:
    done = call("methods", "promptmix")
    assert "method.classes_per_prompt = 4  (integer, >= 2)" in done.stdout
    assert "Classes that stand in one instruction; two of them are mixed." in done.stdout
    assert {line["key"]: line["default"] for line in json.loads(call("methods", "promptmix", "--json").stdout)}[
        "method.mixing"
    ] == "true"


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    done = call("methods", "promptmx")
    assert done.exit_code == 1
    assert "Did you mean 'promptmix'?" in done.stderr


def test_version() -> None:
    assert call("--version").stdout == f"{crossfade.__version__}\n"


def test_noise_shows_classes_and_reasons(tiny_recipe: Path, tmp_path: Path) -> None:
    call("augment", tiny_recipe)
    done = call("noise", tmp_path / "runs" / "tiny")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].split()[:4] == ["written", "for", "rows", "suspect"]
    assert "share of the class asked for" in done.stdout
    assert set(json.loads(call("noise", tmp_path / "runs" / "tiny", "--json").stdout)) == {
        "classes",
        "confusion",
        "ratios",
    }
