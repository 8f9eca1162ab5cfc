import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from crossfade.errors import DependencyError, ModelError
from crossfade.models import encoder as encoder_module
from crossfade.models.encoder import SentenceEncoder
from crossfade.roles import Encoder, Floats


class CountingModel:
    """Stands in for the library's model and remembers which texts it was given."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.together: list[int] = []
        self.device = SimpleNamespace(type="cpu")

    def encode(
        self, texts: Sequence[str], *, batch_size: int, normalize_embeddings: bool, show_progress_bar: bool
    ) -> Floats:
        assert normalize_embeddings
        assert not show_progress_bar
        self.seen.extend(texts)
        self.together.append(batch_size)
        return np.eye(4)[[len(text) for text in texts]]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingModel:
    model = CountingModel()
    monkeypatch.setattr(encoder_module, "_load", lambda path, device: model)
    return model


def test_each_distinct_text_is_encoded_once(counting: CountingModel) -> None:
    encoder: Encoder = SentenceEncoder("any")
    first = encoder.encode(["a", "bb", "a"])
    second = encoder.encode(["ccc", "bb"])
    assert counting.seen == ["a", "bb", "ccc"]
    assert first.argmax(axis=1).tolist() == [1, 2, 1]
    assert second.argmax(axis=1).tolist() == [3, 2]


def test_callers_cannot_change_the_remembered_vectors(counting: CountingModel) -> None:
    encoder = SentenceEncoder("any")
    encoder.encode(["a"])[:] = 9
    assert encoder.encode(["a"]).max() == 1


def test_a_gpu_reads_more_texts_together_and_what_is_given_wins(counting: CountingModel) -> None:
    SentenceEncoder("any").encode(["a"])
    counting.device = SimpleNamespace(type="cuda")
    SentenceEncoder("any").encode(["a"])
    SentenceEncoder("any", batch_size=3).encode(["a"])
    assert counting.together == [64, 512, 3]


def test_no_texts_give_no_rows_of_the_right_width(counting: CountingModel) -> None:
    assert SentenceEncoder("any").encode([]).shape == (0, 4)


def test_the_name_never_holds_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    name, _, digest = SentenceEncoder(str(tmp_path / "mine")).name.partition("@")
    assert name == "sentence-transformers#mine"
    assert len(digest) == 12
    assert SentenceEncoder("org/model").name == "sentence-transformers#org/model"
    assert SentenceEncoder().name == "sentence-transformers#all-MiniLM-L6-v2"


@pytest.mark.parametrize("place", [".", "2_Dense"])
def test_folders_of_one_name_are_told_apart_by_their_weights(tmp_path: Path, place: str) -> None:
    def name(parent: str, weights: bytes) -> str:
        folder = tmp_path / parent / "encoder"
        (folder / place).mkdir(parents=True)
        (folder / "config.json").write_text(parent)
        (folder / place / "model.safetensors").write_bytes(weights)
        return SentenceEncoder(str(folder)).name

    assert name("first", b"one") == name("again", b"one") != name("second", b"two")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"crossfade\[minilm\]"):
        SentenceEncoder().encode(["a"])


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        SentenceEncoder(str(tmp_path)).encode(["a"])


@pytest.mark.model
def test_the_packaged_model_gives_unit_vectors_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    vectors = SentenceEncoder().encode(["a cat", "a kitten", "the stock market"])
    assert tuple(capfd.readouterr()) == ("", "")
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
