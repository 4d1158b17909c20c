"""The review page's addresses: the page and its files, pages of items, pictures, and what a reviewer does.

Only this machine's own browser gets in: the socket is on loopback, Host and Origin have to be the page's own,
and the address that was printed holds a token, which is taken once and becomes a cookie.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from html import escape
from importlib.resources import files
from typing import Any, TypeAlias
from urllib.parse import urlencode

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from visionpipe.errors import JournalError, ParameterError, VisionPipeError
from visionpipe.logs import logger as log_of
from visionpipe.sandbox.loopback import Guard, LocalServer, address
from visionpipe.serve.review import SIDES, Reviewer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MOST_BODY = 8 << 20
PAGE_FILES = {
    "look.css": ("visionpipe.sinks", "text/css"),
    "review.css": ("visionpipe.serve", "text/css"),
    "review.js": ("visionpipe.serve", "text/javascript"),
    "words.json": ("visionpipe.serve", "application/json"),
}
ASKED_BY = ("text", "path", "outcome", "reviewed", "note", "job", "prompt", "model", "tag", "sort")
"""The filters in a page's address, in the order in which its script asks by them."""
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

logger = log_of("serve")

Work: TypeAlias = Callable[[Request], Awaitable[Response]]
Post: TypeAlias = Callable[[Reviewer, Mapping[str, Any]], Any]


class ReviewApp:
    """The page.

    Args:
        reviewer: whose review it is.
        listener: where it is served, which tells Host, Origin and the cookie's name.
        posts: what may be asked for besides editing, by its name in the address.
        more: what the page is told of these every few seconds.
    """

    def __init__(
        self,
        reviewer: Reviewer,
        listener: socket.socket,
        posts: Mapping[str, Post] | None = None,
        more: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._reviewer = reviewer
        self._token: str | None = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(32)
        port = listener.getsockname()[1]
        self._cookie = f"visionpipe_{port}"
        self._own = {address(listener).removeprefix("http://"), f"localhost:{port}"}
        self._posts: dict[str, Post] = {**_POSTS, **(posts or {})}
        self._more = more
        self._taking = threading.Lock()
        self.url = f"{address(listener)}/?token={self._token}"

    def application(self) -> ASGIApp:
        """As ASGI."""
        routes = [
            Route("/", self._front),
            Route("/page/{name}", self._behind(self._file)),
            Route("/items", self._behind(self._items)),
            Route("/count", self._behind(self._count)),
            Route("/job", self._behind(self._job)),
            Route("/item", self._behind(self._item)),
            Route("/state", self._behind(self._state)),
            Route("/picture", self._behind(self._picture)),
            Route("/do/{name}", self._behind(self._post), methods=["POST"]),
        ]
        return Guard(Router(routes), own=self._own)

    def _behind(self, work: Work) -> Work:
        async def answered(request: Request) -> Response:
            if not self._knows(request):
                return _error("unknown", "open the address that was printed at the start", 403)
            try:
                response = await work(request)
            except JournalError as error:
                response = _error(error.code, str(error), 409 if error.code == "locked" else 500)
            except VisionPipeError as error:
                response = _error(error.code, str(error), 400)
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return answered

    def _knows(self, request: Request) -> bool:
        return hmac.compare_digest(request.cookies.get(self._cookie, ""), self._session)

    async def _front(self, request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None:
            with self._taking:
                taken = self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())
                if taken:
                    self._token = None
            if taken or self._knows(request):
                response: Response = RedirectResponse("/", 303, _HEADERS)
                response.set_cookie(self._cookie, self._session, httponly=True, samesite="strict", path="/")
                return response
        if not self._knows(request):
            words = (
                "This page opens by the address that visionpipe review printed, once. "
                "Start it again for a new one.\n"
            )
            return Response(words, 403, _HEADERS, "text/plain")
        page = _page_file("visionpipe.serve", "review.html")
        # The first items are on their way while the page's own files are.
        asked = {name: request.query_params[name] for name in ASKED_BY if request.query_params.get(name)}
        first = escape(f"/items?{urlencode({**asked, 'most': '60'})}")
        return Response(page.replace(b"{{ first }}", first.encode()), 200, _HEADERS, "text/html")

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in PAGE_FILES:
            return _error("missing", "there is no such file", 404)
        package, kind = PAGE_FILES[name]
        return Response(_page_file(package, name), media_type=kind)

    async def _items(self, request: Request) -> Response:
        values = request.query_params
        wanted = self._reviewer.filter(values)
        most = int(values.get("most", "60")) if values.get("most", "60").isdecimal() else 60
        return await _json(self._reviewer.page, wanted, values.get("after"), most)

    async def _count(self, request: Request) -> Response:
        return await _json(
            lambda: {"count": self._reviewer.count(self._reviewer.filter(request.query_params))}
        )

    async def _job(self, request: Request) -> Response:
        def found() -> dict[str, Any]:
            job = self._reviewer.filter(request.query_params).job
            kinds = self._reviewer.kinds(job)
            return {
                "job": job,
                "jobs": self._reviewer.jobs(),
                "kinds": {
                    kind.job: {
                        "schema": self._reviewer.schema(kind.job),
                        "tags": kind.tags,
                        "listed": kind.listed,
                    }
                    for kind in kinds
                },
                "facets": self._reviewer.facets(job),
                "journal": self._reviewer.title,
                "who": self._reviewer.who,
            }

        return await _json(found)

    async def _item(self, request: Request) -> Response:
        job = self._reviewer.filter(request.query_params).job
        return await _json(self._reviewer.item, request.query_params.get("source", ""), job)

    async def _state(self, request: Request) -> Response:
        return await _json(lambda: {"held": self._reviewer.edits.is_held, **self._more()})

    async def _picture(self, request: Request) -> Response:
        source = request.query_params.get("source", "")
        side = SIDES[request.query_params.get("size") == "large"]

        def found() -> Response:
            if not self._reviewer.knows(source):
                return Response(status_code=404)
            etag = self._reviewer.pictures.etag(source, side)
            if etag is None:
                return Response(status_code=404)
            headers = {"etag": f'"{etag}"', "cache-control": "private, max-age=60"}
            if request.headers.get("if-none-match") == f'"{etag}"':
                return Response(status_code=304, headers=headers)
            picture = self._reviewer.pictures.get(source, side)
            if picture is None:
                return Response(status_code=404)
            return Response(picture.data, headers=headers, media_type="image/webp")

        return await run_in_threadpool(found)

    async def _post(self, request: Request) -> Response:
        work = self._posts.get(request.path_params["name"])
        if work is None:
            return _error("missing", "there is no such thing to do", 404)
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return _error("no_json", "the body has to be JSON", 415)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BODY:
                return _error("too_large", "the body is too large", 413)
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            return _error("no_json", f"the body is no JSON: {error}", 400)
        try:
            return await _json(work, self._reviewer, asked)
        except (KeyError, TypeError, AttributeError) as error:
            return _error("malformed", f"something is missing in the body: {error!r}", 400)


def _edit(reviewer: Reviewer, asked: Mapping[str, Any]) -> Any:
    return {"action": reviewer.write(asked["job"], asked["source"], asked["value"])}


def _judge(reviewer: Reviewer, asked: Mapping[str, Any]) -> Any:
    return reviewer.judge(
        reviewer.filter(asked["filter"]), asked["sources"], asked["verdict"], dry=bool(asked.get("dry"))
    )


def _choose(reviewer: Reviewer, asked: Mapping[str, Any]) -> Any:
    return {"action": reviewer.choose(asked["job"], asked["source"], int(asked["result"]))}


def _bulk(reviewer: Reviewer, asked: Mapping[str, Any]) -> Any:
    words = ("find", "replacement", "prefix", "suffix")
    return reviewer.bulk(
        reviewer.filter(asked["filter"]),
        asked.get("sources"),
        **{name: str(asked.get(name, "")) for name in words},
        dry=bool(asked.get("dry", True)),
    )


def _undo(reviewer: Reviewer, asked: Mapping[str, Any]) -> Any:
    action, sources = reviewer.edits.undo()
    return {"action": action, "sources": list(sources[:500]), "changes": len(sources)}


_POSTS: dict[str, Post] = {"edit": _edit, "judge": _judge, "choose": _choose, "bulk": _bulk, "undo": _undo}


async def _json(work: Callable[..., Any], *arguments: Any) -> Response:
    return JSONResponse(await run_in_threadpool(work, *arguments))


def _error(code: str, words: str, status: int) -> Response:
    return JSONResponse({"error": {"code": code, "message": words}}, status, _HEADERS)


def _page_file(package: str, name: str) -> bytes:
    return files(package).joinpath("page" if package == "visionpipe.serve" else "", name).read_bytes()


def serve(app: ReviewApp, listener: socket.socket) -> None:
    """Serve in this thread until interrupted (SIGINT or SIGTERM)."""
    config = uvicorn.Config(
        app.application(),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    with suppress(KeyboardInterrupt):
        LocalServer(config).run(sockets=[listener])


def refused_name(who: str) -> ParameterError | None:
    """Why a reviewer's name cannot be one; None where it can."""
    if who.strip() and who.isprintable() and len(who) <= 80:
        return None
    return ParameterError("it is no name", cure="Give up to 80 printable characters.", subject="--who")
