"""Serve the review page on this machine alone.

Only who has the address can use it: every path begins with a random token, other hosts' names are refused (a page on
the web may point its own name here), and so is what another page sends.
"""

import base64
import hashlib
import re
import secrets
import socket
from collections.abc import Mapping
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, ValidationError

from crossfade.errors import CrossfadeError, DataError, missing_extra
from crossfade.reviewing.decisions import Decision
from crossfade.reviewing.session import ReviewRow, ReviewSession

try:
    from starlette.applications import Starlette
    from starlette.datastructures import Headers
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn import Config, Server
except ImportError as error:
    raise missing_extra("starlette", "review") from error

HOST = "127.0.0.1"
PAGE = files("crossfade.reviewing").joinpath("page.html").read_text(encoding="utf-8")


class _Wish(BaseModel):
    """What the page asks to be decided."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: str
    drop: bool = False
    label: str | None = None
    texts: list[str] | None = None


def review_app(session: ReviewSession, token: str) -> Starlette:
    """Make the web application of a review.

    Args:
        session: The rows and where decisions go.
        token: What every path must begin with.
    """

    def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    def rows(request: Request) -> Response:
        decisions = session.decisions
        return JSONResponse(
            {
                "run": session.folder.name,
                "labels": session.labels,
                "rows": [_shown(row, decisions.get(row.key)) for row in session.rows.values()],
            }
        )

    async def decide(request: Request) -> Response:
        wish = _Wish.model_validate_json(await request.body())
        decision = session.decide(wish.key, drop=wish.drop, label=wish.label, texts=wish.texts)
        return JSONResponse({"key": decision.key, "decision": _said(decision)})

    def undo(request: Request) -> Response:
        undone = session.undo()
        if undone is None:
            return JSONResponse({"key": None, "decision": None})
        return JSONResponse({"key": undone.key, "decision": _said(session.decisions.get(undone.key))})

    routes = [
        Route("/", page),
        Route("/rows", rows),
        Route("/decisions", decide, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
    ]
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False),
            Middleware(_OwnPagesOnly),
        ],
        exception_handlers={CrossfadeError: _refused, ValidationError: _not_understood},
    )


class _OwnPagesOnly:
    """Refuse what a page of another origin sends, and let no answer be stored, framed or told to others."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has no origin, as the first visit, or the page's own."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *GUARDS]
            await send(message)

        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{headers.get('host')}":
            await Response("Another page may not do this.", status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send_guarded)


def _guards() -> list[tuple[bytes, bytes]]:
    """Build the headers that keep a page to what it brings: only the very script and style in it may be used."""
    allowed = {
        name: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
            for part in re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, flags=re.DOTALL)
        )
        for name, tag in (("script-src", "script"), ("style-src", "style"))
    }
    policy = "; ".join(
        [
            "default-src 'none'; connect-src 'self'; img-src data:",
            *(f"{name} {hashes}" for name, hashes in allowed.items()),
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ]
    )
    return [
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]


GUARDS = _guards()


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def _not_understood(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "The page sent something that is no decision. Load it again."}, status_code=400)


def _shown(row: ReviewRow, decision: Decision | None) -> dict[str, object]:
    """Write a row as the page reads it."""
    origin = row.row.origin
    return {
        "key": row.key,
        "texts": row.row.example.texts,
        "label": row.row.example.label,
        "answer": getattr(row.row.example, "answer", None),
        "written_label": origin.written_label,
        "suggested": row.suggested,
        "reasons": row.reasons,
        "kinds": row.kinds,
        "kept": origin.reason is None,
        "confidence": origin.confidence,
        "votes": dict(origin.votes),
        "method": origin.method,
        "parents": origin.parents,
        "ratio": origin.ratio,
        "decision": _said(decision),
    }


def _said(decision: Decision | None) -> Mapping[str, object] | None:
    if decision is None:
        return None
    return {"verdict": decision.verdict, "label": decision.label, "texts": decision.texts}


class ReviewServer:
    """The page on a port of its own; `url` is the address to open.

    Args:
        session: The rows and where decisions go.
        port: Port on the loopback interface; 0 is any that is free.

    Raises:
        DataError: The port is taken.
    """

    def __init__(self, session: ReviewSession, port: int = 0) -> None:
        token = secrets.token_urlsafe(24)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
        except OSError as error:
            self._socket.close()
            raise DataError(f"Port {port} cannot be used: {error}.", hint="Leave --port out.") from error
        # From here on a browser that comes early waits.
        self._socket.listen()
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}/{token}/"
        self.server = Server(Config(review_app(session, token), log_level="warning", lifespan="off"))

    def serve(self) -> None:
        """Serve until interrupted, then let go of the port."""
        try:
            self.server.run(sockets=[self._socket])
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()
