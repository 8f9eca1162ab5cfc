from pathlib import Path

import pytest
import torch

from crossfade.errors import ModelError
from crossfade.models import steerable
from crossfade.models.steerable import OpenWeights
from crossfade.models.weights import CausalWeights
from crossfade.packaged import packaged_writer
from crossfade.roles import Reply, Request

PREFIX = "w1 w2 w3 w4 w5 "
CHOICES = (" w7", " w8 w9", " w9 w10 w11", " w8 w12")
pytestmark = pytest.mark.usefixtures("one_thread")


def question(prompt: str, prefix: str = PREFIX, choices: tuple[str, ...] = CHOICES) -> Request:
    return Request(prefix=prefix, prompt=prompt, form="continue", choices=choices)


def plain_scores(weights: OpenWeights, request: Request) -> list[float]:
    """Score each choice by reading the whole sequence anew."""
    scores = []
    for choice in request.choices:
        prompt = weights._tokenizer(request.full_prompt)["input_ids"] or [0]
        answer = weights._tokenizer(choice, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = weights._model(input_ids=torch.tensor([prompt + answer], device=weights._model.device)).logits[0]
        logprobs = logits.log_softmax(dim=1)
        scores.append(sum(float(logprobs[len(prompt) - 1 + step, token]) for step, token in enumerate(answer)))
    return scores


def assert_scores_are_plain(weights: OpenWeights, replies: list[Reply]) -> None:
    for reply in replies:
        assert reply.choice_logprobs is not None
        plain = plain_scores(weights, reply.request)
        assert max(plain) - min(plain) > 0.1, "the choices must differ for the test to mean anything"
        assert list(reply.choice_logprobs) == pytest.approx(plain, abs=1e-3)
        assert reply.text == reply.request.choices[plain.index(max(plain))]
        assert reply.chosen == reply.text


def test_packed_questions_score_as_if_read_alone(weights: OpenWeights) -> None:
    requests = [question("w20 w21"), question("w22"), question("w23 w24 w25 w26", choices=CHOICES[:2])]
    replies = list(weights.answer(requests))
    assert [reply.request for reply in replies] == requests
    assert_scores_are_plain(weights, replies)


def test_begin_token_is_read_where_the_tokenizer_puts_one(weights: OpenWeights, beginning: OpenWeights) -> None:
    requests = [question("w20 w21"), question("w20", prefix="w6 ")]
    replies = list(beginning.answer(requests))
    assert_scores_are_plain(beginning, replies)
    assert replies[0].choice_logprobs != pytest.approx(next(weights.answer(requests)).choice_logprobs, abs=0.1)
    (bare,) = beginning.answer([question("w20", prefix="")])
    assert bare.usage.cached_tokens == 1, "the begin token alone, and once"


def test_prefixes_are_told_apart(weights: OpenWeights) -> None:
    requests = [question("w20"), question("w20", prefix="w6 w6 "), question("w20", prefix=""), question("w21")]
    replies = list(weights.answer(requests))
    assert [reply.request for reply in replies] == requests
    assert_scores_are_plain(weights, [reply for reply in replies if reply.request.prefix])
    assert len({reply.choice_logprobs for reply in replies}) == 4


def test_first_token_stands_in_for_an_empty_prefix(weights: OpenWeights) -> None:
    (bare, started) = weights.answer([question("w20", prefix=""), question("w20", prefix="<s> ")])
    assert bare.choice_logprobs == pytest.approx(started.choice_logprobs, abs=1e-5)


@pytest.mark.parametrize("pack", [1, 15, 40])
def test_size_of_packs_changes_no_score(weights: OpenWeights, pack: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steerable, "PACK", pack)
    replies = list(weights.answer([question(f"w{number} w20") for number in range(20, 28)]))
    assert_scores_are_plain(weights, replies)


def test_replies_come_in_order_over_several_blocks(weights: OpenWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steerable, "READ_AHEAD", 3)
    requests = [question(f"w{number}", prefix=PREFIX if number < 27 else "w6 ") for number in range(20, 30)]
    assert [reply.request for reply in weights.answer(iter(requests))] == requests


def test_asking_again_gives_the_same_scores(weights: OpenWeights) -> None:
    first, second = (next(weights.answer([question("w20 w21")])) for _ in range(2))
    assert first.choice_logprobs == pytest.approx(second.choice_logprobs, abs=1e-6)


def test_bfloat16_comes_close(
    llama: Path, tmp_path: Path, weights: OpenWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfade.models.weights.reads_bfloat16", lambda device: True)
    coarse = OpenWeights(llama, cache=tmp_path)
    (reply,) = coarse.answer([question("w20 w21")])
    # Weights this large and random are rounded coarsely; the scores spread over more than ten.
    plain = plain_scores(weights, reply.request)
    assert max(plain) - min(plain) > 10
    assert list(reply.choice_logprobs or ()) == pytest.approx(plain, abs=0.75)


def test_prefix_counts_as_reused(weights: OpenWeights) -> None:
    first, second = weights.answer([question("w20 w21", choices=(" w7",)), question("w22", choices=(" w7", " w8"))])
    assert [reply.usage.cached_tokens for reply in (first, second)] == [5, 5]
    assert [reply.usage.prompt_tokens for reply in (first, second)] == [5 + 2 + 1, 5 + 1 + 2]
    assert first.usage.answer_tokens == 0


def test_prefix_is_read_once_for_all_its_questions(weights: OpenWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steerable, "PACK", 1)
    lengths: list[int] = []
    weights._model.model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    list(weights.answer([question(f"w{number}", choices=(" w7",)) for number in range(20, 24)]))
    assert lengths == [5, 2, 2, 2, 2]


@pytest.mark.parametrize("request_", [question("w20", choices=()), question("")])
def test_request_without_choices_or_question_is_a_failed_reply(weights: OpenWeights, request_: Request) -> None:
    replies = {reply.request: reply for reply in weights.answer([request_, question("w21")])}
    failed = replies[request_]
    assert failed.error is not None
    assert (failed.text, failed.choice_logprobs) == ("", None)
    assert replies[question("w21")].error is None


def test_name_and_form_are_those_of_the_weights(tmp_path: Path) -> None:
    weights = OpenWeights(packaged_writer(), cache=tmp_path)
    assert weights.name == f"transformers#{packaged_writer().name}"
    assert OpenWeights("someone/model", cache=tmp_path).name == "transformers#someone/model"
    assert weights.preferred_form == "continue"


@pytest.mark.parametrize("name", ["", "missing.gguf"])
def test_path_without_weights_is_a_model_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        list(OpenWeights(tmp_path / name, cache=tmp_path).answer([question("w20")]))


@pytest.mark.parametrize(("fast", "dtype"), [(True, "torch.bfloat16"), (False, "torch.float32")])
def test_weights_are_bfloat16_only_where_that_is_fast(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool, dtype: str
) -> None:
    monkeypatch.setattr("crossfade.models.weights.reads_bfloat16", lambda device: fast)
    assert str(CausalWeights(llama, cache=tmp_path).model.dtype) == dtype
