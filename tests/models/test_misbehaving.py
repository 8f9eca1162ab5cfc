from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.models import chat
from crossfade.models.chat import ChatModel
from crossfade.models.endpoint import Endpoint
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.stored import StoredModel
from crossfade.roles import Request, Sampling
from tests.misbehaving import SHARES, MisbehavingEndpoint, answer_to

REQUESTS = 500
TIMEOUT = 3.0


@pytest.fixture
def endpoint() -> Iterator[MisbehavingEndpoint]:
    with MisbehavingEndpoint(seed=5) as server:
        yield server


@pytest.mark.parametrize("pace", [Pace(32, adaptive=False), pytest.param(Pace(64), marks=pytest.mark.slow)])
def test_every_request_to_a_misbehaving_endpoint_is_answered_once_and_for_its_own_prompt(
    endpoint: MisbehavingEndpoint, pace: Pace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "LONGEST_REST", 0.05)
    prompts = [f"Question {row}" for row in range(REQUESTS)]
    requests = (Request(prompt=prompt, sampling=Sampling(max_tokens=8)) for prompt in prompts)
    with (
        Endpoint(endpoint.url, "any", timeout=TIMEOUT) as address,
        ReplyStore(tmp_path / "s") as store,
    ):
        model = StoredModel(ChatModel(address, model="small", pace=pace), store)
        replies = list(model.answer(requests))
        stored = [store.find(reply.request, model.name) for reply in replies]

    assert Counter(reply.request.prompt for reply in replies) == Counter(prompts)
    good = {reply.request.prompt for reply in replies if reply.error is None}
    assert all(reply.text == answer_to(reply.request.prompt) for reply in replies if reply.error is None)
    assert endpoint.answered == Counter(good)
    assert all((reply.error is None) == (found is not None) for reply, found in zip(replies, stored, strict=True))

    too_long = [prompt for prompt in prompts if endpoint.is_too_long(prompt)]
    assert {endpoint.asked[prompt] for prompt in too_long} == {1}
    # Whoever else has no answer was failed three times after it was paid for.
    lost = set(prompts) - good - set(too_long)
    assert len(lost) <= REQUESTS // 100
    assert all(endpoint.asked[prompt] >= 3 for prompt in lost)
    assert endpoint.failed.keys() == SHARES.keys() | {"too long"}
    assert endpoint.requests - endpoint.failed.total() - len(good) <= 0.02 * REQUESTS
