"""Send requests to one HTTP address with a key, and tell what came back; whether to try again is decided in `chat`."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Literal, Self
from urllib.parse import unquote

import certifi
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProxyError,
    SSLError,
    TimeoutError,
)
from urllib3.util import Url, parse_url

from crossfade.errors import SettingsError

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """By name, in any case."""
    body: bytes
    """Whole and unpacked."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there is none."""

    kind: Literal["unreachable", "broken", "late"]
    """'unreachable': nothing was sent, for nobody listens or can be trusted. 'broken': the connection broke off after
    that. 'late': it did not come in time."""
    reason: str


class Endpoint:
    """One HTTP address and its key; may be used by several threads.

    Redirections are answers like others, and are not followed: the key is for this address only.

    Args:
        base_url: Where the API begins, usually ending in '/v1'. A query at its end is sent with every request; a name
            and password in it are not.
        api_key: Sent as a bearer token.
        timeout: Longest wait for a connection, and then for the next bytes, in seconds.
        places: Connections that are kept open, >= 1.
        proxy: The address of an HTTP proxy; straight to the endpoint when None.

    Raises:
        SettingsError: If an address is none, or the key cannot be sent.
    """

    def __init__(
        self, base_url: str, api_key: str, *, timeout: float = 120.0, places: int = 64, proxy: str | None = None
    ) -> None:
        url = _parse(base_url, "The endpoint's address")
        port = f":{url.port}" if url.port and url.port != DEFAULT_PORTS[str(url.scheme)] else ""
        path = (url.path or "").rstrip("/")
        self.address = f"{url.host}{port}{path}"
        """Host, port and path; never a key."""
        self.api_key = api_key.strip()
        if not self.api_key.isascii() or not self.api_key.isprintable():
            raise SettingsError("The key holds characters that keys do not have.", hint="Copy it again, on one line.")
        self._root = f"{url.scheme}://{self.address}"
        self._query = f"?{url.query}" if url.query else ""
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.api_key}",
            "User-Agent": f"crossfade/{version('crossfade')}",
        }
        self._timeout = timeout
        self._manager = _connections(str(url.scheme), places, proxy)

    def __repr__(self) -> str:
        return f"Endpoint({self.address!r})"

    def post(self, path: str, body: Mapping[str, object]) -> Answer | NoAnswer:
        """Send a body as JSON to a path below the base."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return self._send("POST", path, content, self._timeout)

    def get(self, path: str, *, timeout: float) -> Answer | NoAnswer:
        """Fetch a path below the base."""
        return self._send("GET", path, None, timeout)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._manager.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, method: str, path: str, content: bytes | None, timeout: float) -> Answer | NoAnswer:
        url = f"{self._root}{path}{self._query}"
        try:
            response = self._manager.urlopen(
                method, url, redirect=False, retries=False, body=content, headers=self._headers, timeout=timeout
            )
        except HTTPError as error:
            return _no_answer(error)
        return Answer(response.status, response.headers, response.data)


def _parse(address: str, what: str) -> Url:
    """Take an address apart; what is wrong with it is said without repeating it, since it may hold a password."""
    try:
        url = parse_url(address.strip())
    except LocationValueError:
        url = Url()
    if url.scheme not in DEFAULT_PORTS or not url.host:
        raise SettingsError(
            f"{what} must begin with 'http://' or 'https://' and a host.", hint="Example: http://localhost:8000/v1"
        )
    return url


def _connections(scheme: str, places: int, proxy: str | None) -> urllib3.PoolManager:
    """Make the pool of connections; servers are trusted by the system's certificates and those of `certifi`."""
    trusted = None
    if scheme == "https" or proxy:
        trusted = ssl.create_default_context()
        trusted.load_verify_locations(certifi.where())
    if proxy is None:
        return urllib3.PoolManager(maxsize=places, ssl_context=trusted)
    url = _parse(proxy if "://" in proxy else f"http://{proxy}", "The proxy's address")
    headers = urllib3.make_headers(proxy_basic_auth=unquote(url.auth)) if url.auth else None
    address = url._replace(auth=None).url
    return urllib3.ProxyManager(
        address, maxsize=places, ssl_context=trusted, proxy_ssl_context=trusted, proxy_headers=headers
    )


def _no_answer(error: HTTPError) -> NoAnswer:
    """Read what the HTTP library raised; its innermost reason says most in the fewest words."""
    reason = str(error.__cause__ or error.args[-1])
    if isinstance(error, ConnectTimeoutError | NewConnectionError | ProxyError | SSLError):
        return NoAnswer("unreachable", reason)
    return NoAnswer("late" if isinstance(error, TimeoutError) else "broken", reason)
