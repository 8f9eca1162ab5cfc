from pathlib import Path
from shutil import copytree

import pytest

from crossfade.models.steerable import OpenWeights
from tests.causal_doubles import WORDS, put_begin_token, write_tiny_llama


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama that reads `WORDS`."""
    folder = tmp_path_factory.mktemp("llama")
    write_tiny_llama(folder, WORDS)
    return folder


@pytest.fixture
def weights(llama: Path, tmp_path: Path) -> OpenWeights:
    """The same as open weights, in float32."""
    weights = OpenWeights(llama, cache=tmp_path)
    weights._model.float()
    return weights


@pytest.fixture
def beginning(llama: Path, tmp_path: Path) -> OpenWeights:
    """The same with a tokenizer that puts its begin token before every text."""
    put_begin_token(copytree(llama, tmp_path / "beginning"))
    weights = OpenWeights(tmp_path / "beginning", cache=tmp_path)
    weights._model.float()
    return weights
