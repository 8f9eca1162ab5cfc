from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch

from crossfade.errors import SettingsError
from crossfade.models import soft_tokens
from crossfade.models.inverter import SentenceInverter
from crossfade.models.soft_tokens import SoftReader, new_adaptor
from crossfade.roles import Sampling
from tests.causal_doubles import put_begin_token
from tests.inverter_doubles import SENTENCES, tiny_inverter, write_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")
GREEDY = Sampling(temperature=0, max_tokens=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def inverter(model: Path) -> SentenceInverter:
    return tiny_inverter(model)


def soft(inverter: SentenceInverter, texts: list[str]) -> torch.Tensor:
    return inverter.soft_tokens(inverter.encode(texts))


def plain_loss(inverter: SentenceInverter, text: str, before: list[int], after: list[int]) -> float:
    """Read one sentence through the whole model with masked labels."""
    reader = inverter.reader
    table = reader.model.get_input_embeddings()
    put = reader.model.device
    tokens = torch.tensor([reader.tokens(text)], device=put)
    parts = [table(torch.tensor([before], dtype=torch.long, device=put)), soft(inverter, [text])]
    parts += [table(torch.tensor([after], dtype=torch.long, device=put)), table(tokens)]
    hidden = [-100] * sum(part.shape[1] for part in parts[:3])
    labels = torch.cat([torch.tensor([hidden], device=put), tokens], dim=1)
    with torch.no_grad():
        return float(reader.model(inputs_embeds=torch.cat(parts, dim=1), labels=labels).loss)


@pytest.mark.parametrize(
    ("template", "before", "after"), [("{embedding}", [], []), ("red {embedding} green blue", [2], [3, 4])]
)
def test_loss_counts_only_the_sentence_and_its_end(
    model: Path, template: str, before: list[int], after: list[int]
) -> None:
    inverter = tiny_inverter(model, template)
    text = "small cup ball"
    loss = inverter.reader.loss(soft(inverter, [text]), [inverter.reader.tokens(text)])
    assert loss == pytest.approx(plain_loss(inverter, text, before, after), abs=1e-5)


def test_begin_token_stands_before_the_template_where_the_tokenizer_puts_one(model: Path, tmp_path: Path) -> None:
    put_begin_token(copytree(model, tmp_path / "beginning"))
    text = "small cup ball"
    for template, before, after in (("{embedding}", [0], []), ("red {embedding} green", [0, 2], [3])):
        reader = (inverter := tiny_inverter(tmp_path / "beginning", template)).reader
        loss = reader.loss(soft(inverter, [text]), [reader.tokens(text)])
        assert loss == pytest.approx(plain_loss(inverter, text, before, after), abs=1e-5)


def test_padding_changes_no_loss(inverter: SentenceInverter) -> None:
    texts = ["small cup ball", "red", "green box hat box hat"]
    rows = [inverter.reader.tokens(text) for text in texts]
    alone = [
        inverter.reader.loss(soft(inverter, [text]), [row]) * len(row) for text, row in zip(texts, rows, strict=True)
    ]
    together = inverter.reader.loss(soft(inverter, texts), rows)
    assert together == pytest.approx(sum(alone) / sum(map(len, rows)), abs=1e-5)


def test_gradient_in_pieces_is_that_of_the_whole(inverter: SentenceInverter, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [inverter.reader.tokens(text) for text in SENTENCES[:9]]

    def gradients(share: float = 1.0) -> list[torch.Tensor]:
        inverter.adaptor.zero_grad()
        loss = inverter.reader.learn(soft(inverter, SENTENCES[:9]), rows, share)
        assert loss == pytest.approx(inverter.reader.loss(soft(inverter, SENTENCES[:9]), rows), abs=1e-5)
        return [parameter.grad.clone() for parameter in inverter.adaptor.parameters() if parameter.grad is not None]

    whole, half = gradients(), gradients(0.5)
    monkeypatch.setattr(soft_tokens, "AT_A_TIME", 4)
    pieces = gradients()
    assert len(whole) == 5
    for first, second, third in zip(whole, pieces, half, strict=True):
        assert first.abs().max() > 1e-6
        assert torch.allclose(first, second, atol=1e-6)
        assert torch.allclose(first, 2 * third, atol=1e-6)


def test_only_the_adaptor_gets_a_gradient(inverter: SentenceInverter) -> None:
    inverter.reader.learn(soft(inverter, ["red cup"]), [inverter.reader.tokens("red cup")])
    assert all(parameter.grad is None for parameter in inverter.reader.model.parameters())
    assert all(parameter.grad is not None for parameter in inverter.adaptor.parameters())


def test_texts_of_a_batch_are_those_written_alone(inverter: SentenceInverter) -> None:
    together = inverter.reader.write(soft(inverter, SENTENCES), GREEDY)
    alone = [inverter.reader.write(soft(inverter, [text]), GREEDY)[0] for text in SENTENCES]
    assert together == alone
    assert len({len(text.split()) for text in together}) > 1, "rows must end at different places"


def test_greedy_text_is_that_of_the_library(inverter: SentenceInverter) -> None:
    mine = inverter.reader.write(soft(inverter, SENTENCES[:1]), GREEDY)[0]
    tokens = inverter.reader.model.generate(
        inputs_embeds=soft(inverter, SENTENCES[:1]).detach(),
        max_new_tokens=6,
        do_sample=False,
        eos_token_id=[0, 1],
        pad_token_id=0,
    )
    assert mine == inverter.reader.weights.tokenizer.decode(tokens[0], skip_special_tokens=True).split("\n")[0].strip()


def test_text_ends_at_a_stop_string_and_is_never_longer_than_asked(inverter: SentenceInverter) -> None:
    words = [text.split() for text in inverter.reader.write(soft(inverter, SENTENCES), GREEDY)]
    row = next(row for row, found in enumerate(words) if len(set(found[:2])) == 2)
    first, second, *_ = words[row]
    point = soft(inverter, SENTENCES[row : row + 1])
    assert inverter.reader.write(point, Sampling(temperature=0, max_tokens=1)) == [first]
    assert inverter.reader.write(point, Sampling(temperature=0, max_tokens=6, stop=(second,))) == [first]


def test_tiny_nucleus_is_greedy_and_draws_decide_otherwise(inverter: SentenceInverter) -> None:
    points = soft(inverter, SENTENCES)
    draws = np.random.default_rng(0).random((len(SENTENCES), 6))
    greedy = inverter.reader.write(points, GREEDY)
    assert inverter.reader.write(points, Sampling(top_p=1e-6, max_tokens=6), draws) == greedy
    assert inverter.reader.write(points, Sampling(temperature=3, max_tokens=6), draws) != greedy


def test_draws_follow_the_probabilities_within_the_nucleus() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.1, 0.3, 0.1]])).expand(1000, -1)
    draws = (np.arange(1000) + 0.5) / 1000
    counts = [
        torch.bincount(soft_tokens._chosen(logits, Sampling(top_p=top_p), draws), minlength=4).tolist()
        for top_p in (1.0, 0.6)
    ]
    assert counts == [[500, 100, 300, 100], [625, 0, 375, 0]]


def test_soft_tokens_begin_at_the_scale_of_real_ones() -> None:
    made = new_adaptor(5, 8, 3, 64, scale=0.25)(torch.randn(7, 5))
    assert made.shape == (7, 3, 64)
    assert made.square().mean(dim=2).sqrt().detach().numpy() == pytest.approx(np.full((7, 3), 0.25), rel=1e-3)


@pytest.mark.parametrize("template", ["no place", "{embedding} twice {embedding}"])
def test_template_without_one_place_is_refused(model: Path, template: str) -> None:
    with pytest.raises(SettingsError, match="once"):
        SoftReader(tiny_inverter(model).reader.weights, template)
