"""Sockets and threads: the sandbox served by uvicorn, in the foreground or in a thread of its own.

It binds to loopback unless another host is named, and stopping ends every open connection, however
long its answer still meant to be.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from visionpipe.logs import logger as log_of
from visionpipe.sandbox.app import build_app
from visionpipe.sandbox.loopback import LocalServer
from visionpipe.sandbox.service import Service

logger = log_of("sandbox")


class SandboxProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which hands its transport to the application, so that faults can break it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = logger
        self.access_log = False

    def connection_made(  # type: ignore[override]  # narrower, as in uvicorn's own
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # After a reset uvicorn leaves the timer, which would hold this object until it fires.
        self._unset_keepalive_if_required()


def _server(service: Service, listener: socket.socket) -> LocalServer:
    local = ip_address(listener.getsockname()[0]).is_loopback
    return LocalServer(
        uvicorn.Config(
            build_app(service, keyed_control=not local),
            http=SandboxProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            server_header=False,
            proxy_headers=False,
        )
    )


def serve(service: Service, listener: socket.socket) -> None:
    """Serve in this thread until interrupted (SIGINT or SIGTERM)."""
    try:
        with suppress(KeyboardInterrupt):
            _server(service, listener).run(sockets=[listener])
    finally:
        service.close()


class ServerThread:
    """A sandbox that runs beside the caller's code.

    Args:
        service: what to serve; closed together with the server.
        listener: a bound socket.
    """

    def __init__(self, service: Service, listener: socket.socket) -> None:
        self._service = service
        self._listener = listener
        self._server = _server(service, listener)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visionpipe-sandbox", daemon=True)

    def _run(self) -> None:
        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._running.set()
            await self._server.serve(sockets=[self._listener])

        asyncio.run(run())

    def start(self) -> None:
        """Start; connections are taken from now on, the listener's queue holds the first."""
        self._thread.start()
        self._running.wait()

    def call(self, function: Any, *args: Any) -> Any:
        """Run a plain function in the server's event loop, and return what it returns."""
        assert self._loop is not None, "the server has not been started"

        async def run() -> Any:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)

    def stop(self) -> None:
        """Stop, and wait until the thread has ended. A second call does nothing."""
        self._server.should_exit = True
        if self._loop is not None:
            self._thread.join(timeout=10)
        self._listener.close()
        self._service.close()
