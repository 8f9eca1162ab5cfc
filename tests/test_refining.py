import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from crossfade.cli import app
from crossfade.data import Corpus, Example
from crossfade.errors import ModelError, SettingsError
from crossfade.inversion import InverterSettings, Workplace, align
from crossfade.models import inverter_training
from crossfade.models.inverter import ADAPTOR_NAME, ENCODER_NAME, SentenceInverter, read_card
from crossfade.models.inverter_joint import JointTraining
from crossfade.models.inverter_training import AdaptorTraining
from crossfade.parts import opened
from crossfade.recipe import Recipe
from crossfade.refining import STAGES, MixedTraining, RefinementSettings, joint, mixed, refine
from crossfade.selection.broken import longest_whole, why_broken
from crossfade.students.contrastive import ContrastiveSettings
from tests.encoder_doubles import FRUIT, METAL, write_tiny_encoder
from tests.inverter_doubles import write_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")
UNLABELLED = [" ".join(words) for words in product(FRUIT + METAL, repeat=2)]
GOLD = Corpus(
    tuple(
        Example((f"{first} {second}",), label)
        for label, words in (("fruit", FRUIT), ("metal", METAL))
        for first, second in pairwise(words)
    ),
    ("fruit", "metal", "neither"),
)
QUICK = AdaptorTraining(epochs=2, batch_size=16, learning_rate=0.003)
SETTINGS = RefinementSettings(
    rehearsal=40,
    held_out=6,
    warm_up=ContrastiveSettings(iterations=2, learning_rate=0.01),
    follow=QUICK,
    joint=JointTraining(epochs=4, batch_size=4, learning_rate=0.001, adaptor_rate=0.001),
    mixed=MixedTraining(points=20, max_tokens=4, adaptor=QUICK),
)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aligned")
    for part in ("llama", "bert"):
        (folder / part).mkdir()
    settings = InverterSettings(
        encoder=write_tiny_encoder(folder / "bert"),
        model=str(write_tiny_model(folder / "llama", FRUIT + METAL)),
        soft_tokens=2,
        hidden=32,
        align=AdaptorTraining(epochs=6, batch_size=8, learning_rate=0.01),
    )
    align(UNLABELLED, settings, Workplace(folder / "inverter", folder))
    return folder / "inverter"


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "made", tmp_path)


def write_files(folder: Path) -> dict[str, str]:
    """Write labelled and unlabelled texts as a recipe names them."""
    rows = "".join(f"{example.texts[0]},{example.label}\n" for example in GOLD)
    (folder / "gold.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    (folder / "test.csv").write_text("text,label\nsomething else,neither\n", encoding="utf-8")
    (folder / "unlabelled.txt").write_text("\n".join(UNLABELLED), encoding="utf-8")
    return {"train": str(folder / "gold.csv"), "test": str(folder / "test.csv")}


def load(folder: Path) -> SentenceInverter:
    return SentenceInverter.load(folder, cache=folder)


def separation(inverter: SentenceInverter) -> float:
    """Return how much nearer texts of one class are than those of two."""
    vectors = inverter.encode(
        [*(" ".join(pair) for pair in product(FRUIT, FRUIT)), *(" ".join(pair) for pair in product(METAL, METAL))]
    )
    near = vectors @ vectors.T
    return float(near[:16, :16].mean() + near[16:, 16:].mean() - 2 * near[:16, 16:].mean())


def test_refinement_teaches_the_encoder_the_task_and_leaves_an_inverter(aligned: Path, place: Workplace) -> None:
    made = refine(aligned, GOLD, UNLABELLED, SETTINGS, place)
    before, after = load(aligned), load(place.folder)
    assert separation(after) > separation(before) + 0.1
    assert [note.stage for note in read_card(place.folder).stages] == ["align", "refine"]
    assert read_card(place.folder).tuned
    assert after.encode(UNLABELLED) == pytest.approx(made.encode(UNLABELLED), abs=1e-5)


def last_layer(inverter: SentenceInverter) -> torch.Tensor:
    weight: torch.Tensor = inverter.adaptor.state_dict()["2.weight"]
    return weight


def test_source_stays_as_it_is(aligned: Path, place: Workplace) -> None:
    before = (aligned / ADAPTOR_NAME).read_bytes(), read_card(aligned)
    for number, stage in enumerate(STAGES.values()):
        stage(aligned, GOLD, UNLABELLED, SETTINGS, replace(place, folder=place.folder / str(number)))
    assert ((aligned / ADAPTOR_NAME).read_bytes(), read_card(aligned)) == before
    assert not (aligned / ENCODER_NAME).exists()


def test_stages_follow_each_other(aligned: Path, place: Workplace) -> None:
    source = aligned
    for name, stage in STAGES.items():
        stage(source, GOLD, UNLABELLED, SETTINGS, replace(place, folder=place.folder / name))
        source = place.folder / name
    assert [note.stage for note in read_card(source).stages] == ["align", "refine", "joint", "mixed"]
    last = load(source)
    assert last.encode(UNLABELLED) == pytest.approx(load(place.folder / "joint").encode(UNLABELLED), abs=1e-6)
    assert last.encode(UNLABELLED) != pytest.approx(load(place.folder / "refine").encode(UNLABELLED), abs=1e-3)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_stage_started_again_takes_no_step(
    stage: Callable[..., SentenceInverter], aligned: Path, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stage(aligned, GOLD, UNLABELLED, SETTINGS, place)
    lines: list[str] = []
    again = stage(aligned, GOLD, UNLABELLED, SETTINGS, replace(place, tell=lines.append))
    assert lines == []
    assert again.name == first.name
    assert again.card == first.card


@pytest.mark.parametrize("stage", [refine, joint], ids=["refine", "joint"])
def test_other_labelled_texts_in_the_same_folder_are_refused(
    stage: Callable[..., SentenceInverter], aligned: Path, place: Workplace
) -> None:
    stage(aligned, GOLD, UNLABELLED, SETTINGS, place)
    with pytest.raises(ModelError, match=r"Give|another"):
        stage(aligned, GOLD.rows([0, 1, 3, 4]), UNLABELLED, SETTINGS, place)


def test_stage_into_its_own_source_is_refused(aligned: Path, place: Workplace) -> None:
    with pytest.raises(SettingsError, match="expected two folders"):
        refine(aligned, GOLD, UNLABELLED, SETTINGS, replace(place, folder=aligned))


def test_command_refines_from_files(aligned: Path, tmp_path: Path) -> None:
    gold, texts = tmp_path / "gold.csv", tmp_path / "texts.txt"
    gold.write_text("text,label\n" + "".join(f"{example.text},{example.label}\n" for example in GOLD))
    texts.write_text("\n".join(UNLABELLED))
    settings = ["mixed.points=8", "mixed.max_tokens=3", "mixed.adaptor.epochs=1", "held_out=6"]
    options = [part for setting in settings for part in ("--set", setting)]
    command = ["inverter", "refine", gold, texts, "--inverter", aligned, "--out", tmp_path / "out", "--stage", "mixed"]
    done = CliRunner().invoke(app, [str(part) for part in (*command, *options)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Inverter: {tmp_path / 'out'}\n"
    assert "decoding 8 mixed embeddings" in done.stderr
    assert [note.stage for note in read_card(tmp_path / "out").stages] == ["align", "mixed"]


def test_refused_stage_leaves_the_folder_as_it_was(aligned: Path, place: Workplace) -> None:
    folders = [place.folder / name for name in ("one", "other", "joint")]
    for folder, gold in zip(folders, (GOLD, GOLD.rows([0, 1, 3, 4])), strict=False):
        refine(aligned, gold, UNLABELLED, SETTINGS, replace(place, folder=folder))
    made = replace(place, folder=place.folder / "made")
    mixed(folders[0], GOLD, UNLABELLED, SETTINGS, made)
    joint(aligned, GOLD, UNLABELLED, SETTINGS, replace(place, folder=folders[2]))

    def refuse(stage: Callable[..., SentenceInverter], source: Path, into: Workplace) -> None:
        before = (into.folder / ENCODER_NAME / "model.safetensors").read_bytes()
        with pytest.raises(ModelError, match="another"):
            stage(source, GOLD, UNLABELLED, SETTINGS, into)
        assert (into.folder / ENCODER_NAME / "model.safetensors").read_bytes() == before

    refuse(mixed, folders[1], made)
    (made.training / "between.json").unlink()
    refuse(mixed, folders[1], made)
    refuse(refine, aligned, replace(place, folder=folders[2]))


def test_linear_map_undoes_a_turn_of_the_space(aligned: Path) -> None:
    inverter = load(aligned)
    old = inverter.encode(UNLABELLED)
    wanted = inverter.soft_tokens(old).detach()
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    new = old @ turn + 0.1
    assert (inverter.soft_tokens(new) - wanted).abs().mean() > 0.1 * wanted.abs().mean()
    inverter.follow(new, old, strength=1e-9)
    assert torch.allclose(inverter.soft_tokens(new), wanted, atol=1e-2 * float(wanted.abs().mean()))


def test_joint_training_changes_encoder_and_adaptor_and_not_the_language_model(aligned: Path, place: Workplace) -> None:
    before = load(aligned)
    made = joint(aligned, GOLD, UNLABELLED, SETTINGS, place)
    assert separation(made) > separation(before)
    assert not torch.equal(last_layer(made), last_layer(before))
    for (name, first), second in zip(
        made.reader.model.state_dict().items(), before.reader.model.state_dict().values(), strict=True
    ):
        assert torch.equal(first, second), name
    assert load(place.folder).encode(UNLABELLED) == pytest.approx(made.encode(UNLABELLED), abs=1e-5)


def test_beta_of_zero_leaves_the_adaptor(aligned: Path, place: Workplace) -> None:
    settings = SETTINGS.model_copy(update={"joint": SETTINGS.joint.model_copy(update={"beta": 0.0})})
    made = joint(aligned, GOLD, UNLABELLED, settings, place)
    assert torch.equal(last_layer(made), last_layer(load(aligned)))


def test_interrupted_joint_training_ends_as_an_uninterrupted_one(
    aligned: Path, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = joint(aligned, GOLD, UNLABELLED, SETTINGS, replace(place, folder=place.folder / "whole"))
    monkeypatch.setattr(inverter_training, "SECONDS_BETWEEN_REPORTS", 0)

    def interrupt(line: str) -> None:
        if "step 5 of" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("crossfade.refining.train_jointly", with_many_checkpoints)
    parts = replace(place, folder=place.folder / "parts")
    with pytest.raises(KeyboardInterrupt):
        joint(aligned, GOLD, UNLABELLED, SETTINGS, replace(parts, tell=interrupt))
    resumed = joint(aligned, GOLD, UNLABELLED, SETTINGS, parts)
    assert torch.equal(last_layer(resumed), last_layer(whole))
    assert resumed.encode(UNLABELLED) == pytest.approx(whole.encode(UNLABELLED), abs=1e-6)


def with_many_checkpoints(*arguments: object, **named: object) -> None:
    from crossfade.models.inverter_joint import train_jointly

    train_jointly(*arguments, **named, seconds_between_checkpoints=0)  # type: ignore[arg-type]


def test_texts_between_sentences_are_new_and_decoded_once(
    aligned: Path, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(aligned, GOLD, UNLABELLED[:30], SETTINGS, place)
    texts = json.loads((place.training / "between.json").read_text())["texts"]
    assert texts
    assert len(set(texts)) == len(texts) <= 20
    assert not set(texts) & set(GOLD.texts)
    assert all(why_broken(text, longest_whole(SETTINGS.mixed.max_tokens)) is None for text in texts)
    note = read_card(place.folder).stages[-1]
    assert (note.stage, note.texts) == ("mixed", 27 + len(GOLD) + len(texts))
    # Without its decoded texts the same ones are decoded again: the draws are fixed.
    (place.training / "between.json").unlink()
    mixed(aligned, GOLD, UNLABELLED[:30], SETTINGS, place)
    assert json.loads((place.training / "between.json").read_text())["texts"] == texts


def test_recipe_brings_its_inverter_to_the_texts_of_each_draw_once(
    aligned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {
        "name": "brought",
        "folder": str(tmp_path),
        "data": write_files(tmp_path),
        "inverter": {
            "path": str(aligned),
            "stages": ["refine", "mixed"],
            "unlabelled": str(tmp_path / "unlabelled.txt"),
            "refinement": SETTINGS.model_dump() | {"warm_up": {"iterations": 8, "learning_rate": 0.01}},
        },
        "method": {"name": "inversed_mixup"},
    }
    one, other = (GOLD.rows(rows) for rows in ([0, 1, 3, 4], [1, 2, 4, 5]))
    with opened(recipe, progress=False) as parts:
        brought = parts.inverter_for(one)
        assert np.abs(brought.encode(UNLABELLED) - load(aligned).encode(UNLABELLED)).max() > 0.01
        parts.inverter_for(other)
    folders = sorted((tmp_path / "brought" / "inverters").iterdir())
    assert [folder.name.split("_", 1)[1] for folder in folders] == ["refine", "refine_mixed"] * 2
    assert [note.stage for note in read_card(folders[1]).stages] == ["align", "refine", "mixed"]
    assert not any((folder / "training").exists() for folder in folders)

    def trained_again(*_: object) -> None:
        raise AssertionError("a stage that had ended was gone through again")

    for stage in STAGES:
        monkeypatch.setitem(STAGES, stage, trained_again)
    with opened(recipe, progress=False) as parts:
        assert parts.inverter_for(one).encode(UNLABELLED) == pytest.approx(brought.encode(UNLABELLED))
    (tmp_path / "unlabelled.txt").write_text("\n".join(UNLABELLED[:50]), encoding="utf-8")
    with opened(recipe, progress=False) as parts, pytest.raises(AssertionError, match="gone through again"):
        parts.inverter_for(one)


@pytest.mark.parametrize(
    ("inverter", "said"),
    [
        ({"stages": ["refine"]}, "expected a file or hub id as unlabelled"),
        ({"stages": ["refine", "refine"], "unlabelled": "texts.txt"}, "expected each stage once"),
    ],
)
def test_stages_that_cannot_be_gone_through_are_refused(inverter: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Recipe.checked({"name": "refused", "inverter": inverter})
