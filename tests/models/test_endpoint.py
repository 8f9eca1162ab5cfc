import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler

import pytest

from crossfade.errors import SettingsError
from crossfade.models.endpoint import Answer, Endpoint, NoAnswer
from tests.doubles import LocalServer

CUT_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
KEY = "sk-very-secret-123456"


def http(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """Write a whole HTTP answer; underscores in header names become hyphens."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines])
    return f"{head}\r\n\r\n".encode() + body


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[LocalServer, list[str]]]:
    """Serve these bytes, one after the other, each on a connection of its own; collect what was asked."""
    left = list(answers)
    asked: list[str] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            head = ""
            while not head.endswith("\r\n\r\n"):
                head += self.rfile.readline().decode()
            length = next((line.split(":")[1] for line in head.splitlines() if line.startswith("Content-Length")), "0")
            asked.append(head + self.rfile.read(int(length)).decode())
            self.wfile.write(left.pop(0))

    with LocalServer(Handler) as server:
        yield server, asked


def post(answer: bytes) -> Answer | NoAnswer:
    with answering(answer) as (server, _), Endpoint(server.url, KEY) as endpoint:
        return endpoint.post("/completions", {"prompt": "a"})


def test_request_is_json_with_few_headers_and_the_key_in_one_of_them() -> None:
    with answering(http()) as (server, asked), Endpoint(server.url, f"{KEY}\n") as endpoint:
        answer = endpoint.post("/completions", {"prompt": "naïve"})
    head, _, body = asked[0].partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ") for line in lines)
    assert first == "POST /v1/completions HTTP/1.1"
    assert json.loads(body) == {"prompt": "naïve"}
    assert headers.pop("User-Agent").startswith("crossfade/")
    assert headers == {
        "Host": server.host,
        "Accept-Encoding": "identity",
        "Content-Length": str(len(body.encode())),
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {KEY}",
    }
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, b"{}")


def test_key_and_password_are_never_shown() -> None:
    endpoint = Endpoint("https://user:pw@api.example.com:443/v1/", KEY)
    assert repr(endpoint) == "Endpoint('api.example.com/v1')"


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("HTTP://API.Example.com:80/v1", "api.example.com/v1"),
        ("https://api.example.com:80/V1//", "api.example.com:80/V1"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_address_is_the_same_however_it_is_written(base_url: str, address: str) -> None:
    assert Endpoint(base_url, KEY).address == address


@pytest.mark.parametrize("base_url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1", ""])
def test_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(SettingsError, match="must begin with 'http://' or 'https://' and a host"):
        Endpoint(base_url, KEY)


def test_key_that_no_header_can_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="characters that keys do not have") as caught:
        Endpoint("http://localhost", "sk-secret\nsecond line")
    assert "secret" not in str(caught.value)


def test_query_of_the_address_goes_with_every_request() -> None:
    # Unsaid, the client might send its second request into the connection that the server is closing.
    last = http(Connection="close")
    with answering(last, last) as (server, asked), Endpoint(f"{server.url}?version=2", KEY) as endpoint:
        endpoint.post("/completions", {})
        endpoint.get("/models", timeout=5)
    assert [line.split(" HTTP")[0] for line in asked] == ["POST /v1/completions?version=2", "GET /v1/models?version=2"]


def test_packed_answer_is_unpacked() -> None:
    answer = post(http(gzip.compress(b'{"id": "1"}'), Content_Encoding="gzip"))
    assert isinstance(answer, Answer)
    assert answer.body == b'{"id": "1"}'


def test_answer_that_cannot_be_unpacked_is_broken() -> None:
    answer = post(http(b"no gzip at all", Content_Encoding="gzip"))
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "broken"


def test_headers_are_found_in_any_case() -> None:
    answer = post(http(status="429 Too Many Requests", RETRY_AFTER="3"))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirection_is_not_followed_so_that_the_key_stays_here(status: str) -> None:
    with (
        answering(http()) as (other, asked_there),
        answering(http(status=status, Location=f"{other.url}/completions")) as (server, asked),
        Endpoint(server.url, KEY) as endpoint,
    ):
        answer = endpoint.post("/completions", {})
    assert isinstance(answer, Answer)
    assert str(answer.status) == status[:3]
    assert (len(asked), asked_there) == (1, [])


def test_nothing_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        answer = Endpoint(url, KEY).post("/completions", {})
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "unreachable"
    assert "refused" in answer.reason.lower()


def test_server_without_a_certificate_is_unreachable_over_https() -> None:
    with answering() as (server, _), Endpoint(f"https://{server.host}", KEY, timeout=5) as endpoint:
        answer = endpoint.post("/completions", {})
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "unreachable"


@pytest.mark.parametrize("sent", [b"", http(b"x" * 99)[:-50], CUT_CHUNK])
def test_connection_that_closes_early_is_broken(sent: bytes) -> None:
    answer = post(sent)
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "broken"


def test_answer_that_does_not_come_in_time_is_late() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}", KEY, timeout=0.05) as endpoint,
    ):
        answers = [endpoint.post("/completions", {}), endpoint.get("/models", timeout=0.05)]
    assert [answer.kind for answer in answers if isinstance(answer, NoAnswer)] == ["late", "late"]


@pytest.mark.parametrize("written", ["http://user:p%40ss@{}", "user:p%40ss@{}"])
def test_proxy_gets_the_whole_address_and_its_own_password(written: str) -> None:
    with (
        answering(http(b'{"far": 1}')) as (proxy, asked),
        Endpoint("http://far.example/v1", KEY, proxy=written.format(proxy.host)) as endpoint,
    ):
        answer = endpoint.post("/completions", {})
    assert isinstance(answer, Answer)
    assert answer.body == b'{"far": 1}'
    assert asked[0].startswith("POST http://far.example/v1/completions HTTP/1.1\r\n")
    assert "proxy-authorization: basic dxnlcjpwqhnz" in asked[0].lower()


def test_https_goes_through_a_tunnel_and_the_proxy_never_sees_the_key() -> None:
    with (
        answering(http(status="403 Forbidden")) as (proxy, asked),
        Endpoint("https://far.example/v1", KEY, proxy=f"http://{proxy.host}") as endpoint,
    ):
        answer = endpoint.post("/completions", {})
    assert asked[0].startswith("CONNECT far.example:443 HTTP/1.")
    assert KEY not in asked[0]
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "unreachable"
    assert "403" in answer.reason


def test_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError, match="The proxy's address") as caught:
        Endpoint("http://far.example", KEY, proxy="socks5://user:pw@proxy")
    assert "pw" not in str(caught.value)


def test_many_threads_keep_their_connections() -> None:
    connections: set[object] = set()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while line.strip():
                    if line.lower().startswith(b"content-length"):
                        length = int(line.split(b":")[1])
                    line = self.rfile.readline()
                self.rfile.read(length)
                connections.add(self.client_address)
                self.wfile.write(http())

    def ask() -> None:
        for _ in range(20):
            statuses.append(getattr(endpoint.post("/completions", {}), "status", 0))

    statuses: list[int] = []
    with LocalServer(Handler) as server, Endpoint(server.url, KEY, places=4) as endpoint:
        run_all([ask] * 4)
        endpoint.close()
    assert statuses == [200] * 80
    assert len(connections) <= 4


def run_all(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
