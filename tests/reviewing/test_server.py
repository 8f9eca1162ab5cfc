import json
import socket
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crossfade.errors import DataError
from crossfade.reviewing import ReviewSession, row_key
from crossfade.reviewing.server import ReviewServer, review_app
from tests.reviewing.rows import LABELS, made, written

EVIL = "<script>alert(1)</script>"
ROW = written(f"a cat {EVIL}", label="dog", wanted="cat", confidence=0.4, votes={"judge": "dog"})
KEY = row_key(ROW.example)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    session = ReviewSession(tmp_path, made([ROW, written("another")]), LABELS)
    return TestClient(review_app(session, "token"), base_url="http://127.0.0.1:8123/token/")


def on_disk(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "reviews.jsonl").read_text().splitlines()]


def test_the_page_brings_everything_and_allows_nothing_else(client: TestClient) -> None:
    page = client.get("")
    assert page.status_code == 200
    assert "://" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


def test_rows_come_as_data_with_all_that_is_shown(client: TestClient) -> None:
    said = client.get("rows")
    assert said.headers["content-type"] == "application/json"
    first, second = said.json()["rows"]
    assert said.json()["labels"] == ["cat", "dog"]
    assert (first["texts"], first["label"], first["written_label"]) == ([ROW.example.text], "dog", "cat")
    assert first["kinds"] == ["relabelled by the check", "judge disagrees", "less than half sure"]
    assert (first["kept"], first["decision"], second["texts"]) == (True, None, ["another"])


def test_a_decision_is_on_disk_when_the_page_hears_of_it(client: TestClient, tmp_path: Path) -> None:
    said = client.post("decisions", json={"key": KEY, "label": "cat"})
    decision = {"verdict": "relabel", "label": "cat", "texts": [ROW.example.text]}
    assert said.json() == {"key": KEY, "decision": decision}
    (line,) = on_disk(tmp_path)
    assert line.items() >= decision.items()
    assert client.get("rows").json()["rows"][0]["decision"] == decision


def test_undo_says_which_row_and_what_holds_again(client: TestClient) -> None:
    client.post("decisions", json={"key": KEY, "label": "cat"})
    client.post("decisions", json={"key": KEY, "drop": True})
    assert client.post("undo").json()["decision"]["verdict"] == "relabel"
    assert client.post("undo").json() == {"key": KEY, "decision": None}
    assert client.post("undo").json() == {"key": None, "decision": None}


@pytest.mark.parametrize(
    "wish",
    [
        {"key": KEY, "label": "wolf"},
        {"key": "0" * 16},
        {"key": KEY, "texts": ["  "]},
        {"key": KEY, "drop": "yes"},
        {"key": KEY, "colour": "red"},
        {},
        [],
        b"\xff",
    ],
)
def test_what_is_no_decision_is_refused_in_words(client: TestClient, tmp_path: Path, wish: object) -> None:
    content = wish if isinstance(wish, bytes) else json.dumps(wish)
    said = client.post("decisions", content=content)
    assert said.status_code == 400
    assert said.json()["error"]
    assert not (tmp_path / "reviews.jsonl").exists()


@pytest.mark.parametrize("path", ["/", "/rows", "/wrong/", "/wrong/rows", "/tokens/rows"])
def test_without_the_token_there_is_nothing(client: TestClient, path: str) -> None:
    assert client.get(f"http://127.0.0.1:8123{path}").status_code == 404


def test_another_host_name_is_refused(client: TestClient) -> None:
    assert client.get("rows", headers={"host": "attacker.example:8123"}).status_code == 400
    assert client.get("rows", headers={"host": "localhost:9999"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://attacker.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:8123"])
def test_what_another_page_sends_is_refused(client: TestClient, tmp_path: Path, origin: str) -> None:
    said = client.post("decisions", json={"key": KEY, "drop": True}, headers={"origin": origin})
    assert said.status_code == 403
    assert not (tmp_path / "reviews.jsonl").exists()


def test_its_own_page_may_send(client: TestClient) -> None:
    origin = {"origin": "http://127.0.0.1:8123"}
    assert client.post("decisions", json={"key": KEY, "drop": True}, headers=origin).status_code == 200


def test_the_server_listens_on_loopback_only_with_a_token_of_its_own(tmp_path: Path) -> None:
    session = ReviewSession(tmp_path, made([ROW]), LABELS)
    servers = [ReviewServer(session), ReviewServer(session)]
    tokens = {server.url.split("/")[3] for server in servers}
    assert len(tokens) == 2
    assert all(len(token) == 32 for token in tokens)
    assert all(server.url.startswith("http://127.0.0.1:") for server in servers)
    for server in servers:
        server.close()


def test_a_taken_port_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DataError, match="cannot be used"):
            ReviewServer(ReviewSession(tmp_path, made([ROW]), LABELS), taken.getsockname()[1])
