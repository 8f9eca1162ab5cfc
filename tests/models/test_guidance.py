import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import ModelError, SettingsError
from crossfade.models import guidance, shared_cache
from crossfade.models.guidance import draw, guided
from crossfade.models.replies import ReplyStore
from crossfade.models.steerable import OpenWeights
from crossfade.models.stored import StoredModel
from crossfade.roles import Guidance, Reply, Request, Sampling
from tests.causal_doubles import WORDS

PROMPTS = ("w1 w2 w3 w4", "w5 w6", "w7 w8 w9 w10 w11 w12 w13")
SAMPLING = Sampling(temperature=1.0, max_tokens=9, stop=("w3",))
pytestmark = pytest.mark.usefixtures("one_thread")


def ask(
    *shares: float, sample: int = 0, prompts: tuple[str, ...] = PROMPTS, sampling: Sampling = SAMPLING, **how: float
) -> Request:
    settings = {"cut": 50.0, **how}
    guide = Guidance(names=tuple("abc"[: len(prompts)]), prompts=prompts, shares=shares, **settings)  # type: ignore[arg-type]
    return Request(prompt="", form="continue", sampling=sampling, sample=sample, guidance=guide)


def mixture(count: int) -> list[Request]:
    """Requests with several shares, strengths and sets of prompts, neighbours alike."""
    first = [ask(0.7, 0.3, 0.0, sample=number, strength=number % 3) for number in range(count)]
    second = [ask(0.0, 1.0, sample=number, prompts=PROMPTS[1:], strength=0.5) for number in range(count)]
    return first + second


def by_request(replies: list[Reply]) -> dict[Request, tuple[str, str]]:
    return {reply.request: (reply.text, reply.finish) for reply in replies}


def tokens_of(reply: Reply) -> list[int]:
    """Return the tokens of a text that no stop word ends, with the token for the end."""
    words = [WORDS.index(word) for word in reply.text.split()]
    return words if reply.finish == "length" else [*words, 0]


def plain_logprob(weights: OpenWeights, prompt: str, answer: list[int]) -> float:
    """Score an answer by reading the whole sequence anew."""
    start = weights._tokenizer(prompt)["input_ids"]
    with torch.inference_mode():
        logprobs = (
            weights._model(input_ids=torch.tensor([start + answer], device=weights._model.device))
            .logits[0]
            .log_softmax(dim=1)
        )
    return sum(float(logprobs[len(start) - 1 + step, token]) for step, token in enumerate(answer))


def test_any_special_token_ends_a_text(weights: OpenWeights) -> None:
    endless = [replace(request, sampling=Sampling(max_tokens=9)) for request in mixture(8)]
    plain = by_request(list(weights.answer(endless)))
    weights._tokenizer.add_special_tokens({"additional_special_tokens": ["w5"]})
    ended = by_request(list(weights.answer(endless)))

    assert any("w5" in text for text, _ in plain.values()), "the token must come for the test to mean anything"
    for request, (text, finish) in plain.items():
        before, met, _ = text.partition("w5")
        assert ended[request] == ((before.strip(), "stop") if met else (text, finish))


def test_attention_that_adds_its_mask_writes_the_same(weights: OpenWeights) -> None:
    fused = by_request(list(weights.answer(mixture(8))))
    weights._model.set_attn_implementation("eager")

    assert by_request(list(weights.answer(mixture(8)))) == fused


def test_gradients_stay_as_the_caller_has_them(weights: OpenWeights) -> None:
    def asked() -> Iterator[Request]:
        for request in mixture(3):
            assert not torch.is_inference_mode_enabled()
            yield request

    for _ in weights.answer(asked()):
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("lanes", [1, 7, 192])
def test_texts_do_not_depend_on_their_company(
    weights: OpenWeights, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [reply for request in mixture(8) for reply in weights.answer([request])]

    monkeypatch.setattr(guidance, "LANES", lanes)
    together = list(weights.answer(mixture(8)))

    assert by_request(together) == by_request(alone)
    assert len({reply.text for reply in together}) > 8, "the texts must differ for the test to mean anything"


def test_log_probabilities_are_those_of_plain_reading(weights: OpenWeights) -> None:
    endless = Sampling(temperature=1.0, max_tokens=9)
    replies = list(weights.answer([replace(request, sampling=endless) for request in mixture(6)]))

    assert {reply.finish for reply in replies} == {"stop", "length"}
    for reply in replies:
        assert reply.request.guidance is not None
        assert reply.choice_logprobs is not None
        plain = [plain_logprob(weights, prompt, tokens_of(reply)) for prompt in reply.request.guidance.prompts]
        assert list(reply.choice_logprobs) == pytest.approx(plain, abs=1e-3)


def test_squeezing_the_cache_changes_nothing(weights: OpenWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = by_request(list(weights.answer(mixture(12))))

    monkeypatch.setattr(shared_cache, "STEPS", 1)
    monkeypatch.setattr(guidance, "LANES", 12)

    assert by_request(list(weights.answer(mixture(12)))) == roomy


def test_sets_of_prompts_may_end_in_any_order(weights: OpenWeights) -> None:
    long, short = Sampling(max_tokens=9), Sampling(max_tokens=2)
    first = ask(1.0, 0.0, prompts=("w1 w2", "w3"), sampling=long)
    second = ask(1.0, 0.0, prompts=("w4 w5", "w6"), sampling=short)

    assert {reply.request for reply in weights.answer([first, second])} == {first, second}


def test_one_prompt_without_strength_is_plain_greedy_decoding(weights: OpenWeights) -> None:
    greedy = Sampling(temperature=0.0, max_tokens=9)
    (reply,) = weights.answer([ask(1.0, prompts=PROMPTS[:1], sampling=greedy)])

    start = torch.tensor([weights._tokenizer(PROMPTS[0])["input_ids"]])
    plain = weights._model.generate(start, max_new_tokens=9, do_sample=False, pad_token_id=0)[0, start.shape[1] :]

    assert reply.text == weights._tokenizer.decode(plain, skip_special_tokens=True)


def test_each_prompt_is_read_once_for_all_its_texts(weights: OpenWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    opening = shared_cache.SharedCache.open

    def counting(self: shared_cache.SharedCache, prompts: list[list[int]]) -> torch.Tensor:
        read.append(len(prompts))
        return opening(self, prompts)

    monkeypatch.setattr(shared_cache.SharedCache, "open", counting)
    replies = list(weights.answer(mixture(5)))

    assert sum(read) == 5, "three prompts and two, for ten texts"
    lengths = sum(len(prompt.split()) for prompt in PROMPTS)
    first = [reply for reply in replies if len(reply.request.guidance.prompts) == 3]  # type: ignore[union-attr]
    assert sorted(reply.usage.prompt_tokens - reply.usage.cached_tokens for reply in first) == [0, 0, 0, 0, lengths]


def test_closed_choices_and_guided_texts_may_come_in_one_stream(weights: OpenWeights) -> None:
    closed = Request(prefix="w1 ", prompt="w2", form="continue", choices=(" w3", " w4"))
    replies = list(weights.answer([closed, ask(1.0, 0.0, 0.0), replace(closed, prompt="w5")]))

    assert [reply.error for reply in replies] == [None] * 3
    assert replies[0].chosen in closed.choices


def test_stored_texts_are_not_written_again(weights: OpenWeights, tmp_path: Path) -> None:
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        first = list(StoredModel(weights, store).answer(mixture(3)))
        again = list(StoredModel(weights, store).answer(mixture(3)))

    assert by_request(again) == by_request(first)
    assert all(reply.from_store for reply in again)
    logprobs = {reply.request: reply.choice_logprobs for reply in first}
    assert all(reply.choice_logprobs == logprobs[reply.request] for reply in again)


def test_model_with_sliding_windows_is_refused(tmp_path: Path) -> None:
    class Config:
        layer_types = ("full_attention", "sliding_attention")

    class Model:
        config = Config()

    with pytest.raises(ModelError, match="sliding_attention"):
        shared_cache.SharedCache(Model())


def test_chat_template_goes_around_each_prompt(weights: OpenWeights) -> None:
    weights._tokenizer.chat_template = "w20 {{ messages[0].content }} w21"
    plain = ask(0.5, 0.5, 0.0)
    tokens = weights._read_prompt("w1 w2", replace(plain, form="instruct"))

    assert [WORDS[token] for token in tokens] == ["w20", "w1", "w2", "w21"]
    assert [WORDS[token] for token in weights._read_prompt("w1 w2", plain)] == ["w1", "w2"]


def test_begin_token_stands_before_each_prompt_where_the_tokenizer_puts_one(beginning: OpenWeights) -> None:
    plain = ask(0.5, 0.5, 0.0)
    assert [WORDS[token] for token in beginning._read_prompt("w1 w2", plain)] == ["<s>", "w1", "w2"]

    beginning._tokenizer.chat_template = "<s> w20 {{ messages[0].content }} w21"
    chat = beginning._read_prompt("w1 w2", replace(plain, form="instruct"))
    assert [WORDS[token] for token in chat] == ["<s>", "w20", "w1", "w2", "w21"], "a template has its own"


def test_tokenizer_without_a_chat_template_is_refused_where_one_is_needed(weights: OpenWeights) -> None:
    with pytest.raises(ModelError, match=r'no chat template.*writer\.form = "continue"'):
        list(weights.answer([replace(ask(0.5, 0.5, 0.0), form="instruct")]))


def distributions(prompts: int, seed: int = 0) -> torch.Tensor:
    """Random log-probabilities of one text, [1, prompts, 6 words]."""
    return torch.tensor(np.random.default_rng(seed).normal(size=(1, prompts, 6)) * 2).float().log_softmax(dim=2)


def scores_of(logprobs: torch.Tensor, *guides: Guidance, written: Sequence[int] = (0,)) -> torch.Tensor:
    """Score every token, in the order of the vocabulary; the logits have an offset that must not matter."""
    found = guided(logprobs + torch.arange(logprobs.shape[1])[None, :, None], guides, written)
    scores = torch.full((len(guides), logprobs.shape[2]), -math.inf)
    return scores.scatter(1, found.tokens, found.scores)


def guide(*shares: float, **how: object) -> Guidance:
    names = tuple(str(number) for number in range(len(shares)))
    return Guidance(names=names, prompts=names, shares=shares, **({"cut": 1e9} | how))  # type: ignore[arg-type]


@given(st.floats(0, 1))
def test_mixture_is_the_weighted_geometric_mean(ratio: float) -> None:
    logprobs = distributions(2)
    scores = scores_of(logprobs, guide(ratio, 1 - ratio))

    assert torch.allclose(scores, ratio * logprobs[:, 0] + (1 - ratio) * logprobs[:, 1], atol=1e-5)


def test_whole_share_is_the_first_parent_alone() -> None:
    logprobs = distributions(3)
    scores = scores_of(logprobs, guide(1.0, 0.0, 0.0))

    assert torch.allclose(scores, logprobs[:, 0], atol=1e-5)


def test_guidance_adds_the_log_odds_against_the_mean_of_the_others() -> None:
    logprobs = distributions(3)
    scores = scores_of(logprobs, guide(1.0, 0.0, 0.0, strength=0.5))

    mean = logprobs[:, 1:].exp().mean(dim=1).log()
    assert torch.allclose(scores, logprobs[:, 0] + 0.5 * (logprobs[:, 0] - mean), atol=1e-5)


def test_strength_without_others_only_mixes() -> None:
    logprobs = distributions(2)

    mixed = scores_of(logprobs, guide(0.4, 0.6))
    assert torch.allclose(scores_of(logprobs, guide(0.4, 0.6, strength=3.0)), mixed, atol=1e-5)


@pytest.mark.parametrize("rule", ["contrast", "self_debiasing"])
def test_silent_prompt_is_neither_mixed_in_nor_kept_away_from(rule: str) -> None:
    logprobs = distributions(3)
    how = {"strength": 3.0, "rule": rule}
    silenced = scores_of(logprobs, guide(1.0, 0.0, 0.0, silent=(1,), **how))

    assert torch.allclose(silenced, scores_of(logprobs[:, [0, 2]], guide(1.0, 0.0, **how)), atol=1e-5)
    assert not torch.allclose(silenced, scores_of(logprobs, guide(1.0, 0.0, 0.0, **how)), atol=1e-2)
    whole = scores_of(logprobs, guide(1.0, 0.0, 0.0, silent=(1, 2), **how))
    assert torch.allclose(whole, logprobs[:, 0], atol=1e-5), "nobody is left to keep away from"


def test_cut_keeps_implausible_tokens_out_however_much_guidance_likes_them() -> None:
    logprobs = torch.tensor([[[0.6, 0.39, 0.01], [0.5, 0.5 - 1e-9, 1e-9]]]).log()

    free = scores_of(logprobs, guide(1.0, 0.0, strength=2.0))
    cut = scores_of(logprobs, guide(1.0, 0.0, strength=2.0, cut=2.0))

    assert int(free.argmax()) == 2
    assert int(cut.argmax()) == 0
    assert torch.isneginf(cut).tolist() == [[False, False, True]]


def test_self_debiasing_lowers_only_tokens_that_another_class_finds_likelier() -> None:
    logprobs = torch.tensor([[[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3]]]).log()
    scores = scores_of(logprobs, guide(1.0, 0.0, 0.0, strength=10.0, rule="self_debiasing"))

    assert (scores - logprobs[:, 0])[0].tolist() == pytest.approx([0.0, -2.0, -2.0], abs=1e-5)


def test_annealed_strength_falls_to_nothing() -> None:
    settings = guide(1.0, 0.0, strength=2.0, anneal=4)

    assert [settings.strength_at(tokens) for tokens in (0, 1, 2, 4, 9)] == [2.0, 1.5, 1.0, 0.0, 0.0]
    logprobs = distributions(2).expand(2, -1, -1)
    scores = scores_of(logprobs, settings, settings, written=[0, 4])
    assert torch.allclose(scores[1], logprobs[1, 0], atol=1e-5)
    assert not torch.allclose(scores[0], logprobs[0, 0])


def test_draws_follow_the_probabilities() -> None:
    scores = torch.tensor([0.5, 0.3, 0.2]).log().expand(1000, -1)
    uniforms = (np.arange(1000) + 0.5) / 1000
    drawn = draw(scores, [Sampling(temperature=1.0)] * 1000, uniforms.tolist())

    assert np.bincount(drawn.tolist()).tolist() == [500, 300, 200]


def test_nucleus_takes_the_fewest_tokens_that_reach_it() -> None:
    scores = torch.tensor([0.5, 0.3, 0.2]).log().expand(100, -1)
    uniforms = ((np.arange(100) + 0.5) / 100).tolist()

    assert set(draw(scores, [Sampling(temperature=1.0, top_p=0.5)] * 100, uniforms).tolist()) == {0}
    assert set(draw(scores, [Sampling(temperature=1.0, top_p=0.6)] * 100, uniforms).tolist()) == {0, 1}


def test_temperature_zero_takes_the_best_and_a_low_one_sharpens() -> None:
    scores = torch.tensor([0.2, 0.5, 0.3]).log().expand(1000, -1)
    uniforms = ((np.arange(1000) + 0.5) / 1000).tolist()

    assert set(draw(scores, [Sampling(temperature=0.0)] * 1000, uniforms).tolist()) == {1}
    sharp = np.bincount(draw(scores, [Sampling(temperature=0.5)] * 1000, uniforms).tolist())
    assert (sharp / 1000).tolist() == pytest.approx([0.04 / 0.38, 0.25 / 0.38, 0.09 / 0.38], abs=2e-3)


def test_tokens_that_are_cut_off_are_never_drawn() -> None:
    scores = torch.tensor([[-math.inf, -1.0, -math.inf], [-3.0, -2.0, -1.0]])

    assert draw(scores, [Sampling(temperature=1.0)] * 2, [0.999999, 0.0]).tolist() == [1, 2]


@pytest.mark.parametrize("shares", [(0.5,), (0.5, 0.4), (1.5, -0.5)])
def test_shares_that_do_not_fit_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="shares"):
        Guidance(names=("a", "b"), prompts=("x", "y"), shares=shares)


def test_digest_tells_guidance_apart() -> None:
    one = ask(1.0, 0.0, 0.0)
    others = [ask(0.9, 0.1, 0.0), ask(1.0, 0.0, 0.0, strength=0.5), Request(prompt="", form="continue")]

    assert len({request.digest("m") for request in [one, *others]}) == 4
    assert one.full_prompt == "\n\n".join(PROMPTS)
