import math
from pathlib import Path

import pytest
import torch

from crossfade.errors import DataError
from crossfade.models.perplexity import perplexity
from crossfade.models.weights import CausalWeights

pytestmark = pytest.mark.usefixtures("one_thread")


def test_perplexity_is_that_of_the_tokens_whatever_is_padded(llama: Path, tmp_path: Path) -> None:
    weights = CausalWeights(llama, cache=tmp_path)
    texts = ["w1 w2 w3", "w4 w5 w6 w7 w8"]
    losses = []
    for text in texts:
        tokens = torch.tensor([[0, *weights.tokenizer(text)["input_ids"]]])
        with torch.no_grad():
            shares = weights.model(tokens.to(weights.model.device)).logits.float().log_softmax(dim=2)
        losses += [-shares[0, place, token].item() for place, token in enumerate(tokens[0, 1:].tolist())]
    found = perplexity(weights, texts)
    assert found.true == pytest.approx(math.exp(sum(losses) / len(losses)), rel=0.02)
    assert 1 < found.as_released < found.true
    assert perplexity(weights, texts, batch_size=1).true == pytest.approx(found.true, rel=0.02)


def test_no_text_has_no_perplexity(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 texts"):
        perplexity(CausalWeights(llama, cache=tmp_path), [])
