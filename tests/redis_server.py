"""A Redis server on a free loopback port, in a folder that is gone afterwards (Debian's redis-server)."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import redis


@dataclass
class RedisServer:
    """``url`` is its address; it can be stopped and started again there, with what it knew (``keeps``) or
    without."""

    folder: str
    port: int
    keeps: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder]
        command += ["--appendonly", "yes" if self.keeps else "no", "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > until or self._process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


@contextmanager
def serving_redis(*, keeps: bool = False) -> Iterator[RedisServer]:
    """The server, as long as the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(folder, port, keeps)
        server.start()
        try:
            yield server
        finally:
            server.stop()
