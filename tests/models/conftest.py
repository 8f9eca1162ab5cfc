from pathlib import Path

import pytest

from crossfade.models.steerable import OpenWeights
from tests.causal_doubles import WORDS, write_tiny_llama


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
