import pytest
import torch

from crossfade.attribute_roles import MixerName
from crossfade.models.mixers import MIXERS, Attention

PLACES, WIDTH, MOST = 4, 6, 4
PROMPTS = torch.randn(3, PLACES, WIDTH, generator=torch.Generator().manual_seed(0))
WORDS = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))


def mixer(name: MixerName) -> torch.nn.Module:
    torch.manual_seed(0)
    return MIXERS[name](WIDTH, MOST, 1.0)


def test_concat_puts_prompts_one_after_the_other() -> None:
    mixed = mixer("concat")(PROMPTS, WORDS)
    assert mixed.shape == (3 * PLACES, WIDTH)
    assert torch.equal(mixed[PLACES : 2 * PLACES], PROMPTS[1])


@pytest.mark.parametrize("name", ["pooling", "attention", "bottleneck", "cnn", "sum"])
def test_the_others_make_one_block_whatever_the_number_of_attributes(name: MixerName) -> None:
    for count in (1, 3):
        assert mixer(name)(PROMPTS[:count], WORDS).shape == (PLACES, WIDTH)


def test_pooling_is_the_sum_over_the_number_of_attributes() -> None:
    assert torch.allclose(mixer("pooling")(PROMPTS, WORDS) * 3, mixer("sum")(PROMPTS, WORDS))


@pytest.mark.parametrize("name", ["pooling", "attention", "bottleneck"])
def test_one_attribute_alone_stays_as_it_is(name: MixerName) -> None:
    assert torch.allclose(mixer(name)(PROMPTS[:1], WORDS), PROMPTS[0])


@pytest.mark.parametrize("name", ["attention", "bottleneck"])
def test_weights_sum_to_one_and_go_by_the_words_unlike_those_of_the_released_code(name: MixerName) -> None:
    attention = mixer(name)
    assert isinstance(attention, Attention)
    weights = attention.weights(PROMPTS, WORDS)
    assert weights.shape == (3,)
    assert weights.sum().item() == pytest.approx(1)
    assert not torch.allclose(weights, attention.weights(PROMPTS, -WORDS))
    assert not torch.allclose(attention(PROMPTS, WORDS), PROMPTS.sum(dim=0))
    attention(PROMPTS, WORDS).square().sum().backward()
    # The released attention cancels, so that its projection never learns.
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in attention.project.parameters())


def test_a_high_temperature_pools() -> None:
    torch.manual_seed(0)
    pooled = Attention(WIDTH, temperature=1e6)(PROMPTS, WORDS)
    assert torch.allclose(pooled, PROMPTS.mean(dim=0), atol=1e-4)


def test_the_convolution_leaves_out_what_is_beyond_its_channels_and_may_be_negative() -> None:
    convolution = mixer("cnn")
    many = torch.cat([PROMPTS, PROMPTS])
    assert torch.equal(convolution(many, WORDS), convolution(many[:MOST], WORDS))
    assert convolution(PROMPTS, WORDS).min() < 0


@pytest.mark.parametrize("name", ["pooling", "attention", "bottleneck", "sum"])
def test_the_order_of_attributes_does_not_matter(name: MixerName) -> None:
    mixing = mixer(name)
    assert torch.allclose(mixing(PROMPTS, WORDS), mixing(PROMPTS.flip(0), WORDS), atol=1e-5)
