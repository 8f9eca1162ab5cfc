import json
from pathlib import Path

import pytest

from crossfade.errors import DataError, ModelError, SettingsError
from crossfade.inversion import InverterSettings, Workplace, align
from crossfade.models.inverter import SentenceInverter, read_card
from crossfade.models.inverter_training import AdaptorTraining
from tests.inverter_doubles import SENTENCES, CountingEncoder, write_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> InverterSettings:
    return InverterSettings(
        model=str(write_tiny_model(tmp_path_factory.mktemp("llama"))),
        soft_tokens=2,
        hidden=32,
        data="sentences of three words",
        align=AdaptorTraining(epochs=8, batch_size=8, learning_rate=0.01),
    )


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "inverter", tmp_path, open_encoder=CountingEncoder)


def load(place: Workplace) -> SentenceInverter:
    return SentenceInverter.load(place.folder, cache=place.cache, open_encoder=CountingEncoder)


def test_alignment_leaves_an_inverter_with_its_card_and_a_log(settings: InverterSettings, place: Workplace) -> None:
    lines: list[str] = []
    made = align(SENTENCES, settings, Workplace(place.folder, place.cache, lines.append, CountingEncoder))
    card = read_card(place.folder)
    assert card == made.card
    (note,) = card.stages
    assert (note.stage, note.texts, note.settings["epochs"]) == ("align", 54, 8)
    assert card.data == "sentences of three words"
    assert note.scores["rows"] == 6
    assert load(place).name.rpartition("#")[0] == made.name.rpartition("#")[0]
    assert "align: step 56 of 56" in lines[-1]
    assert "held out: cosine" in lines[-1]
    (logged,) = map(json.loads, (place.training / "log.jsonl").read_text().splitlines())
    assert {"step", "loss", "speed", "cosine", "token_f1", "bleu"} <= set(logged)


def test_held_out_texts_are_not_learned_from(settings: InverterSettings, place: Workplace) -> None:
    lines: list[str] = []
    align(SENTENCES * 2, settings, Workplace(place.folder, place.cache, lines.append, CountingEncoder))
    # Repeats are left out, a tenth is held out.
    assert read_card(place.folder).stages[0].texts == 54


def test_alignment_started_again_only_measures(settings: InverterSettings, place: Workplace) -> None:
    first = align(SENTENCES, settings, place)
    encoder = CountingEncoder()
    again = align(SENTENCES, settings, Workplace(place.folder, place.cache, open_encoder=lambda path: encoder))
    assert (again.name, again.card) == (first.name, first.card)
    assert len((place.training / "log.jsonl").read_text().splitlines()) == 1
    assert encoder.embedded < 20


def test_other_texts_in_the_same_folder_are_refused(settings: InverterSettings, place: Workplace) -> None:
    align(SENTENCES, settings, place)
    with pytest.raises(ModelError, match="other texts"):
        align(SENTENCES[:40], settings, place)


def test_too_few_texts_are_refused(settings: InverterSettings, place: Workplace) -> None:
    with pytest.raises(DataError, match="3 different texts"):
        align(["red", "green", "blue", " red"], settings, place)


def test_unknown_setting_is_refused_with_its_nearest_name() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'epochs'"):
        InverterSettings.checked({"align": {"epoch": 3}})
