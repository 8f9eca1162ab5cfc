from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from crossfade.errors import ModelError
from crossfade.models import inverter_training
from crossfade.models.inverter import SentenceInverter
from crossfade.models.inverter_training import (
    AdaptorTraining,
    Pairs,
    Progress,
    embed_texts,
    make_pairs,
    train_adaptor,
)
from crossfade.roles import Floats
from tests.inverter_doubles import SENTENCES, CountingEncoder, tiny_inverter, write_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = AdaptorTraining(epochs=3, batch_size=8, learning_rate=0.01)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("llama"))


def pairs_of(inverter: SentenceInverter) -> Pairs:
    return make_pairs(SENTENCES, inverter.encode(SENTENCES).astype(np.float32), inverter, 64)


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first | second)


def test_only_the_adaptor_changes(model: Path, tmp_path: Path) -> None:
    inverter = tiny_inverter(model)
    before, language_model = weights(inverter.adaptor), weights(inverter.reader.model)
    train_adaptor(inverter, pairs_of(inverter), SETTINGS, tmp_path)
    assert same(weights(inverter.reader.model), language_model)
    assert not any(torch.equal(before[name], after) for name, after in weights(inverter.adaptor).items())


def test_it_learns_to_give_sentences_back(model: Path, tmp_path: Path) -> None:
    inverter = tiny_inverter(model)
    losses: list[float] = []
    train_adaptor(
        inverter,
        pairs_of(inverter),
        SETTINGS.model_copy(update={"epochs": 60}),
        tmp_path,
        report=lambda progress: losses.append(progress.loss),
        seconds_between_checkpoints=0,
    )
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])


def stop_after(steps: int, model: Path, folder: Path) -> None:
    """Train and be interrupted just after the checkpoint of a step."""

    def interrupt(progress: Progress) -> None:
        if progress.step == steps:
            raise KeyboardInterrupt

    inverter = tiny_inverter(model)
    with pytest.raises(KeyboardInterrupt):
        train_adaptor(inverter, pairs_of(inverter), SETTINGS, folder, report=interrupt, seconds_between_checkpoints=0)


def test_interrupted_training_ends_as_an_uninterrupted_one(model: Path, tmp_path: Path) -> None:
    whole = tiny_inverter(model)
    train_adaptor(whole, pairs_of(whole), SETTINGS, tmp_path / "whole")
    stop_after(7, model, tmp_path / "parts")
    resumed = tiny_inverter(model)
    steps: list[int] = []
    train_adaptor(
        resumed,
        pairs_of(resumed),
        SETTINGS,
        tmp_path / "parts",
        report=lambda progress: steps.append(progress.step),
        seconds_between_checkpoints=0,
    )
    assert steps == list(range(8, 25)), "nothing is repeated"
    assert same(weights(resumed.adaptor), weights(whole.adaptor))


def test_finished_training_takes_no_step_and_goes_on_with_more_epochs(model: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    for epochs in (3, 3, 4):
        inverter = tiny_inverter(model)
        train_adaptor(
            inverter,
            pairs_of(inverter),
            SETTINGS.model_copy(update={"epochs": epochs}),
            tmp_path,
            report=lambda progress: steps.append(progress.step),
        )
    assert steps == [24, 32]


@pytest.mark.parametrize("changed", [{"learning_rate": 0.02}, {"seed": 1}, {"longest": 2}])
def test_checkpoint_of_another_training_is_refused(model: Path, tmp_path: Path, changed: dict[str, float]) -> None:
    stop_after(2, model, tmp_path)
    inverter = tiny_inverter(model)
    with pytest.raises(ModelError, match="belongs to a training with other"):
        train_adaptor(inverter, pairs_of(inverter), SETTINGS.model_copy(update=changed), tmp_path)


def test_an_epoch_reads_every_sentence_once_in_batches_of_one_length() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 30, size=1001).tolist()
    course = inverter_training._Course(AdaptorTraining(epochs=2, batch_size=10), lengths)
    assert course.steps == 202
    batches = [course.batch(step) for step in range(202)]
    for epoch in (batches[:101], batches[101:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(1001))
    spans = [np.ptp([lengths[row] for row in batch]) for batch in batches]
    assert np.mean(spans) < 1
    assert [batch.tolist() for batch in batches[:101]] != [batch.tolist() for batch in batches[101:]]


def test_rate_rises_then_falls_to_nothing() -> None:
    course = inverter_training._Course(AdaptorTraining(epochs=1, batch_size=1, warm_up=0.1), [5] * 100)
    rates = [course.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx(np.linspace(0.1, 1, 10))
    assert all(first > second for first, second in pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001


def test_texts_are_embedded_once(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    first = embed_texts(SENTENCES, encoder, tmp_path / "embeddings")
    done = encoder.embedded
    assert first == pytest.approx(encoder.encode(SENTENCES), abs=1e-6)
    again = CountingEncoder()
    assert np.array_equal(embed_texts(SENTENCES, again, tmp_path / "embeddings"), first)
    assert (done, again.embedded) == (len(SENTENCES) + 1, 0)


def test_embedding_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopping(CountingEncoder):
        def encode(self, texts: Sequence[str]) -> Floats:
            if self.embedded > 20:
                raise KeyboardInterrupt
            return super().encode(texts)

    monkeypatch.setattr(inverter_training, "AT_A_TIME", 10)
    with pytest.raises(KeyboardInterrupt):
        embed_texts(SENTENCES, Stopping(), tmp_path / "embeddings")
    rest = CountingEncoder()
    rows = embed_texts(SENTENCES, rest, tmp_path / "embeddings")
    assert rest.embedded == len(SENTENCES) - 20
    assert rows == pytest.approx(rest.encode(SENTENCES), abs=1e-6)


def test_other_texts_or_another_encoder_are_embedded_anew(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    embed_texts(SENTENCES, encoder, tmp_path / "embeddings")
    assert embed_texts(SENTENCES[1:], encoder, tmp_path / "embeddings").shape == (len(SENTENCES) - 1, 11)
    encoder.name = "other"
    done = encoder.embedded
    embed_texts(SENTENCES, encoder, tmp_path / "embeddings")
    assert encoder.embedded > done


def test_long_sentences_are_cut_without_their_end(model: Path) -> None:
    inverter = tiny_inverter(model)
    pairs = make_pairs(["red green blue", "red"], np.zeros((2, 11), dtype=np.float32), inverter, 3)
    assert pairs.sentences == [[2, 3, 4], [2, 0]]
