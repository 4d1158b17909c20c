"""Serving on this machine alone: a socket on loopback, and who may reach what listens there.

A browser sends ``Origin`` with what a page asks for across sites, and a page that has its own name resolved
to 127.0.0.1 (DNS rebinding) sends that name as ``Host``. Both are refused at every address, before anything
is read. A sandbox that is bound to other addresses asks for keys of its own everywhere, so there any name is
taken. What serves a page of its own takes just the names and origins of its own address.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = ("localhost",)


class Guard:
    """An application behind its check of Host and Origin: an ASGI application.

    Args:
        app: what is guarded.
        any_name: take every Host.
        own: ``host:port`` of the application's own pages: the only Hosts and Origins that are taken. None:
            no page has any business here, and every local name is taken.
    """

    def __init__(self, app: ASGIApp, *, any_name: bool = False, own: Collection[str] | None = None) -> None:
        self._app = app
        self._any_name = any_name
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reason = self._objection(dict(scope["headers"]))
            if reason is not None:
                body = {"error": {"code": "403", "message": reason}}
                await JSONResponse(body, 403, {"connection": "close"})(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _objection(self, headers: dict[bytes, bytes]) -> str | None:
        origin, host = headers.get(b"origin"), headers.get(b"host")
        if self._own is not None:
            if origin is not None and origin.decode("latin-1") not in {
                f"http://{name}" for name in self._own
            }:
                return "not from another page"
            if host is None or host.decode("latin-1") not in self._own:
                return "the Host is not this page's address: not by another name"
            return None
        if origin is not None:
            return "not from a web page"
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


def bind(host: str = LOOPBACK, port: int = 0) -> socket.socket:
    """A listening socket; port 0 takes a free one. OSError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off for what is accepted; else the second part
    # of every answer waits 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def address(listener: socket.socket) -> str:
    """``http://host:port`` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class LocalServer(uvicorn.Server):
    """uvicorn, ended at once."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End every connection at once, so that no endless answer holds up the end."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)
