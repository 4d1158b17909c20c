"""Who may reach the sandbox at all: no page of a browser, and no name that was bent to this machine.

A browser sends ``Origin`` with what a page asks for across sites, and a page that has its own name resolved
to 127.0.0.1 (DNS rebinding) sends that name as ``Host``. Both are refused at every address, before anything
is read. A sandbox that is bound to other addresses asks for keys of its own everywhere, so there any name is
taken.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_NAMES = ("localhost",)


class Guard:
    """The sandbox behind its check of Host and Origin: an ASGI application.

    Args:
        app: what is guarded.
        any_name: take every Host.
    """

    def __init__(self, app: ASGIApp, *, any_name: bool) -> None:
        self._app = app
        self._any_name = any_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reason = self._objection(dict(scope["headers"]))
            if reason is not None:
                body = {"error": {"code": "403", "message": reason}}
                await JSONResponse(body, 403, {"connection": "close"})(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _objection(self, headers: dict[bytes, bytes]) -> str | None:
        if b"origin" in headers:
            return "not from a web page"
        host = headers.get(b"host")
        # No browser leaves it out.
        if self._any_name or host is None or is_local(host.decode("latin-1")):
            return None
        return "the Host is no address and not localhost: not by another name"


def is_local(host: str) -> bool:
    """Whether a Host is an IP address or this machine's own name, with a port or without."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in LOCAL_NAMES or name.endswith(".localhost"):
            return True
        ip_address(name)
    except ValueError:
        return False
    return True
