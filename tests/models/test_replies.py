import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crossfade.errors import ModelError, ParsingError
from crossfade.models.replies import VERSION, ReplyStore
from crossfade.roles import Reply, Request, Sampling, Usage

USAGE = Usage(prompt_tokens=5, cached_tokens=2, answer_tokens=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplyStore]:
    with ReplyStore(tmp_path / "replies.sqlite") as opened:
        yield opened


def test_reply_comes_back_whole_after_reopening(tmp_path: Path) -> None:
    request = Request(prefix="ü ", prompt="b", choices=("x", "y"), sampling=Sampling(stop=("\n",)), sample=3)
    given = Reply(
        request=request,
        text="x\n'\0",
        finish="stop",
        usage=USAGE,
        seconds=0.25,
        status=200,
        provider_id="req-1",
        choice_logprobs=(-0.125, -2.5),
        token_logprobs=(("x\n", -0.1), ("'\0", -2.5)),
    )
    with ReplyStore(tmp_path / "s") as store:
        store.keep(given, "m")
    with ReplyStore(tmp_path / "s") as store:
        found = store.find(request, "m")
        assert store.find(request, "another model") is None
    assert found == replace(given, from_store=True)


def test_second_store_on_the_same_file_is_refused(tmp_path: Path, store: ReplyStore) -> None:
    with pytest.raises(ModelError, match="in use by another run"):
        ReplyStore(tmp_path / "replies.sqlite")
    store.keep(Reply(request=Request(prompt="a"), text="still works"), "m")


def test_store_is_free_again_after_closing(tmp_path: Path) -> None:
    for _ in range(2):
        ReplyStore(tmp_path / "s").close()


def test_other_versions_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s")) as file:
        file.execute("CREATE TABLE replies (x)")
        file.execute("PRAGMA user_version = 7")
    before = (tmp_path / "s").read_bytes()
    with pytest.raises(ParsingError, match=f"version 7; expected a reply store of version {VERSION}"):
        ReplyStore(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == before


def test_foreign_sqlite_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s")) as file:
        file.execute("CREATE TABLE songs (x)")
    with pytest.raises(ParsingError, match="version 0; expected"):
        ReplyStore(tmp_path / "s")


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("label,text\n" * 200)
    with pytest.raises(ParsingError, match="is not a reply store"):
        ReplyStore(tmp_path / "s")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere.*cannot be used.*folder exists"):
        ReplyStore(tmp_path / "nowhere" / "s")


def test_failure_is_never_found(store: ReplyStore) -> None:
    request = Request(prompt="a")
    store.keep(Reply(request=request, error="HTTP 400: too long"), "m")
    assert store.find(request, "m") is None


def test_failure_keeps_its_status_and_the_providers_id(tmp_path: Path) -> None:
    failure = Reply(request=Request(prompt="a"), error="cut short", ask_again=True, status=200, provider_id="req-2")
    with ReplyStore(tmp_path / "s") as store:
        store.keep(failure, "m")
    with closing(sqlite3.connect(tmp_path / "s")) as file:
        rows = file.execute("SELECT prompt, error, ask_again, status, provider_id FROM failures").fetchall()
    assert rows == [("a", "cut short", 1, 200, "req-2")]


def test_calls_are_all_that_was_paid_for_in_every_process(tmp_path: Path) -> None:
    long = Request(prefix="Say: ", prompt="b", sampling=Sampling(max_tokens=77))
    given = [
        Reply(request=Request(prompt="a"), text="x", usage=USAGE),
        Reply(request=long, error="No HTTP status", ask_again=True),
        Reply(request=long, error="HTTP 200: cut short", ask_again=True, usage=USAGE),
        Reply(request=long, error="HTTP 400: too long"),
    ]
    for reply, model in zip(given, ("m", "m", "n", "m"), strict=True):
        with ReplyStore(tmp_path / "s") as store:
            store.keep(reply, model)
    with ReplyStore(tmp_path / "s") as store:
        calls = list(store.calls())
    assert [model for model, _ in calls] == ["m", "m", "n", "m"]
    told = [(reply.error, reply.ask_again, reply.usage) for _, reply in calls]
    assert told == [(reply.error, reply.ask_again, reply.usage) for reply in given]
    # What a broken call may have cost follows from its prompt and its longest answer.
    for _, reply in calls[1:]:
        assert (reply.request.full_prompt, reply.request.sampling.max_tokens) == ("Say: b", 77)


def test_many_calls_are_read_while_others_are_kept(store: ReplyStore) -> None:
    store.keep_all([Reply(request=Request(prompt=str(row)), text="x") for row in range(2500)], "m")
    calls = store.calls()
    next(calls)
    store.keep(Reply(request=Request(prompt="0"), text="y"), "n")
    assert sum(1 for _ in calls) >= 2499


def test_replies_are_kept_together_or_not_at_all(store: ReplyStore) -> None:
    good = Reply(request=Request(prompt="a"), text="x")
    impossible = replace(good, request=Request(prompt="b"), seconds=None)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="cannot be used"):
        store.keep_all([good, impossible], "m")
    assert store.find(good.request, "m") is None
    store.keep(good, "m")
    assert store.find(good.request, "m") == replace(good, from_store=True)
