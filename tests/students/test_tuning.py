from typing import Any

import pytest
import torch

from crossfade.students.token_classifier import TokenClassifierSettings
from crossfade.students.tuning import minimise, start_head


class Line(torch.nn.Linear):
    @property
    def device(self) -> torch.device:
        return self.weight.device


@pytest.mark.parametrize("fast", [False, True])
def test_a_step_multiplies_in_bfloat16_where_that_is_faster(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("crossfade.libraries.reads_bfloat16", lambda device: fast)
    torch.manual_seed(0)
    line: Any = Line(4, 1)
    inputs = torch.randn(32, 4)
    goals = inputs.sum(dim=1)
    seen = list[tuple[torch.dtype, float]]()

    def loss(batch: list[int]) -> torch.Tensor:
        said = line(inputs[batch])
        mean: torch.Tensor = (said.float()[:, 0] - goals[batch]).square().mean()
        seen.append((said.dtype, mean.item()))
        return mean

    minimise(line, TokenClassifierSettings(epochs=60, batch_size=8, learning_rate=0.05), loss, len(inputs))
    assert {dtype for dtype, _ in seen} == {torch.bfloat16 if fast else torch.float32}
    assert seen[-1][1] < 0.01 * seen[0][1]
    assert line.weight.dtype == torch.float32


def test_a_training_of_one_step_learns() -> None:
    torch.manual_seed(0)
    line: Any = Line(4, 1)
    before = line.weight.detach().clone()
    inputs = torch.randn(8, 4)
    minimise(
        line, TokenClassifierSettings(epochs=1, batch_size=8), lambda batch: line(inputs[batch]).square().mean(), 8
    )
    assert not torch.equal(line.weight, before)


def test_a_head_without_a_bias_is_left_and_so_are_the_layers_below_it() -> None:
    model: Any = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2, bias=False))
    before = model[0].bias.clone()
    start_head(model, torch.tensor([1.0, 2.0]))
    assert torch.equal(model[0].bias, before)
    deep: Any = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    before = deep[0].bias.clone()
    start_head(deep, torch.tensor([1.0, 2.0]))
    assert torch.equal(deep[0].bias, before)
    assert deep[1].bias.tolist() == [1.0, 2.0]
