import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossfade.errors import DependencyError, ModelError, ParsingError, SettingsError
from crossfade.models.inverter import ADAPTOR_NAME, CARD_NAME, SentenceInverter
from crossfade.models.inverter_training import AdaptorTraining, make_pairs, train_adaptor
from crossfade.roles import Inverter, Sampling
from tests.inverter_doubles import SENTENCES, CountingEncoder, tiny_inverter, write_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")
GREEDY = Sampling(temperature=0, max_tokens=6)
DRAWN = Sampling(temperature=2, top_p=0.95, max_tokens=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def inverter(model: Path) -> SentenceInverter:
    return tiny_inverter(model)


def load(folder: Path) -> SentenceInverter:
    loaded = SentenceInverter.load(folder, cache=folder, open_encoder=CountingEncoder)
    loaded.reader.model.float()
    return loaded


def test_it_plays_the_role(inverter: SentenceInverter) -> None:
    role: Inverter = inverter
    assert role.encode(SENTENCES[:2]).shape == (2, 11)
    assert role.decode(role.encode([]), sampling=GREEDY) == []


def test_each_point_gets_its_candidates(inverter: SentenceInverter) -> None:
    points = inverter.encode(SENTENCES[:5])
    drawn = inverter.decode(points, sampling=DRAWN, candidates=3, seed=1)
    assert [len(texts) for texts in drawn] == [3] * 5
    assert any(len(set(texts)) > 1 for texts in drawn)
    assert drawn == inverter.decode(points, sampling=DRAWN, candidates=3, seed=1)
    assert drawn != inverter.decode(points, sampling=DRAWN, candidates=3, seed=2)
    assert [len(texts) for texts in inverter.decode(points, sampling=GREEDY, candidates=3)] == [1] * 5


def test_size_of_batches_changes_no_text(inverter: SentenceInverter, monkeypatch: pytest.MonkeyPatch) -> None:
    points = inverter.encode(SENTENCES)
    whole = inverter.decode(points, sampling=DRAWN, candidates=2)
    monkeypatch.setattr("crossfade.models.inverter.ROWS", 3)
    assert inverter.decode(points, sampling=DRAWN, candidates=2) == whole


def test_no_candidates_are_refused(inverter: SentenceInverter) -> None:
    with pytest.raises(SettingsError, match="candidates is 0"):
        inverter.decode(inverter.encode(["red"]), sampling=DRAWN, candidates=0)


def test_saved_inverter_writes_the_same(inverter: SentenceInverter, tmp_path: Path) -> None:
    with torch.no_grad():
        for parameter in inverter.adaptor.parameters():
            parameter.copy_(parameter.bfloat16())
    inverter.save(tmp_path)
    loaded = load(tmp_path)
    points = inverter.encode(SENTENCES)
    assert loaded.decode(points, sampling=GREEDY) == inverter.decode(points, sampling=GREEDY)
    assert (loaded.name, loaded.card) == (inverter.name, inverter.card)


def test_name_tells_adaptors_apart(inverter: SentenceInverter) -> None:
    before = inverter.name
    with torch.no_grad():
        next(inverter.adaptor.parameters()).add_(1)
    assert inverter.name != before
    assert inverter.name.startswith("counts~transformers#")


def test_folder_without_a_card_is_no_inverter(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no"):
        load(tmp_path)


@pytest.mark.parametrize("changed", [{"soft_tokens": 3}, {"hidden": 31}])
def test_adaptor_of_another_form_is_told(inverter: SentenceInverter, tmp_path: Path, changed: dict[str, Any]) -> None:
    inverter.save(tmp_path)
    card = json.loads((tmp_path / CARD_NAME).read_text())
    (tmp_path / CARD_NAME).write_text(json.dumps(card | changed))
    with pytest.raises(ParsingError, match="does not hold the weights"):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_damaged_adaptor_is_told(inverter: SentenceInverter, tmp_path: Path, damage: str) -> None:
    inverter.save(tmp_path)
    file = tmp_path / ADAPTOR_NAME
    file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ParsingError, match="does not hold the weights"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1, "unknown": 2}', '{"version": "one"}'])
def test_card_in_another_form_is_told(inverter: SentenceInverter, tmp_path: Path, text: str) -> None:
    inverter.save(tmp_path)
    (tmp_path / CARD_NAME).write_text(text)
    with pytest.raises(ParsingError, match="not the card of an inverter"):
        load(tmp_path)


def test_card_of_a_newer_version_asks_for_an_update(inverter: SentenceInverter, tmp_path: Path) -> None:
    inverter.save(tmp_path)
    (tmp_path / CARD_NAME).write_text('{"version": 99}')
    with pytest.raises(ModelError, match="version 99"):
        load(tmp_path)


def test_saved_adaptor_is_bfloat16(inverter: SentenceInverter, tmp_path: Path) -> None:
    inverter.save(tmp_path)
    entries = sum(parameter.numel() for parameter in inverter.adaptor.parameters())
    assert 2 * entries < (tmp_path / ADAPTOR_NAME).stat().st_size < 2 * entries + 1000


def test_points_of_another_seed_are_the_same_when_greedy(inverter: SentenceInverter) -> None:
    points = np.repeat(inverter.encode(SENTENCES[:1]), 2, axis=0)
    first, second = inverter.decode(points, sampling=GREEDY, seed=5)
    assert first == second


def test_lora_starts_as_the_bare_model_learns_and_is_saved(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    bare, inverter = tiny_inverter(model), tiny_inverter(model, lora_rank=2)
    points = bare.encode(SENTENCES)
    assert inverter.decode(points, sampling=GREEDY) == bare.decode(points, sampling=GREEDY)
    frozen = {name: value.clone() for name, value in inverter.reader.model.state_dict().items() if "lora_" not in name}
    pairs = make_pairs(SENTENCES, points.astype(np.float32), inverter, 64)
    settings = AdaptorTraining(epochs=4, batch_size=8, learning_rate=0.01)
    train_adaptor(inverter, pairs, settings, tmp_path / "training")
    after = inverter.reader.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    assert all(value.abs().max() > 0 for value in inverter.reader.learned.values())
    with torch.no_grad():
        for parameter in inverter.learned.values():
            parameter.copy_(parameter.bfloat16())
    inverter.save(tmp_path)
    loaded = load(tmp_path)
    assert loaded.name == inverter.name
    assert loaded.decode(points, sampling=GREEDY) == inverter.decode(points, sampling=GREEDY)


def test_lora_without_its_library_names_the_extra(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"crossfade\[lora\]"):
        tiny_inverter(model, lora_rank=2)
