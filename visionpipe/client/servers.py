"""Several servers of one kind: which are up, and which one a request goes to.

Health is told by requests themselves: a server that refuses connections, answers 502, 503 or 504, or lets
several requests in a row run out of time is left alone. Once its wait is over, whoever asks next looks
whether it is back by a request that costs nothing; the wait doubles until it has answered again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from inspect import ismethod
from weakref import WeakMethod

from visionpipe.errors import ConnectionFailedError, ReplyTimeoutError, ServerError, VisionPipeError
from visionpipe.logs import logger, tell
from visionpipe.media import FileContent, Image, LinkedFile, LinkedImage, LinkedVideo, Part, Text, Video
from visionpipe.request import Request
from visionpipe.wire.http import Timeouts

_LOG = logger("client")

AWAY_STATUSES = frozenset({502, 503, 504})
"""What a proxy or a server that is starting says for one that cannot be asked."""

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 5.0
"""Seconds until a server that was left is looked at, at first and at most."""

LOOKING = Timeouts(connect=1.0, write=1.0, first_byte=2.0, idle=1.0, total=2.0)
"""For a look at a server that was left; whoever asks next waits for it."""

TIMEOUTS_IN_A_ROW = 3
"""Requests without an answer in time, and none answered between, after which a server counts as away."""

MOST_MOVES = 8
"""Servers that one request may find away, one after the other: it may be what brings them down."""

BOUNDS_KEPT = 64
"""Sets of bounds that a client keeps at the most: a job has one, or one a server."""

Watch = Callable[[str, "str | None", float], object]
"""Told a base URL, why it was left (None: it is back), and the seconds it was away."""


@dataclass(slots=True)
class _Server:
    url: str
    busy: int = 0
    timeouts: int = 0
    away_since: float | None = None
    back_at: float = float("-inf")
    wait_s: float = 0.0
    look_at: float = 0.0
    looking: bool = False


class Servers:
    """The health of several servers, and the choice among them; safe to use from several threads.

    Args:
        urls: their base URLs; a server is named by its place among them.
        sticky: requests that begin alike go to one server, as long as it is up.
        clock: monotonic seconds.
    """

    def __init__(
        self, urls: Sequence[str], *, sticky: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.urls = tuple(urls)
        self.sticky = sticky
        self._clock = clock
        self._lock = threading.Lock()
        self._servers = [_Server(url) for url in urls]
        self._turn = 0
        self._watch: list[Callable[[], Watch | None]] = []

    def watch(self, told: Watch) -> None:
        """Has ``told`` called whenever a server is left or back, as long as the object lives whose method it
        is: a client outlives its jobs. It must not block."""
        with self._lock:
            self._watch = [watch for watch in self._watch if watch() is not None]
            self._watch.append(WeakMethod(told) if ismethod(told) else lambda: told)

    def is_up(self, server: int) -> bool:
        """Whether requests should go there."""
        return self._servers[server].away_since is None

    def any_up(self) -> bool:
        """Whether there is a server that requests should go to."""
        return any(server.away_since is None for server in self._servers)

    def up(self) -> list[int]:
        """Those that are up; all of them where none is, since then any may be tried."""
        found = [number for number in range(len(self.urls)) if self.is_up(number)]
        return found or list(range(len(self.urls)))

    def choose(self, prefix: bytes | None = None) -> int:
        """The server for a request: by its ``prefix``, or the one with the fewest under way."""
        with self._lock:
            up = self.up()
            if prefix is not None:
                return next(server for server in self.ranked(prefix) if server in up)
            self._turn += 1
            count = len(self.urls)
            return min(up, key=lambda server: (self._servers[server].busy, (server - self._turn) % count))

    def ranked(self, prefix: bytes) -> list[int]:
        """All servers in the order in which requests with this prefix want them (rendezvous hashing): a
        server that goes moves nobody else's requests."""

        def weight(server: int) -> bytes:
            return blake2b(prefix, digest_size=8, key=self.urls[server].encode()[:64]).digest()

        return sorted(range(len(self.urls)), key=weight)

    def begun(self, server: int) -> None:
        """A request is being sent there."""
        with self._lock:
            self._servers[server].busy += 1

    def ended(self, server: int) -> None:
        """A request to it is over."""
        with self._lock:
            self._servers[server].busy -= 1

    def answered(self, server: int, sent: float) -> None:
        """It has answered a request sent at ``sent`` (clock seconds), be it with a refusal."""
        with self._lock:
            found = self._servers[server]
            found.timeouts, found.wait_s = 0, 0.0
            # One that is going down may finish what it has, so an older request says nothing.
            back = found.away_since is not None and sent > found.away_since
            seconds = self._back(found) if back else 0.0
        if back:
            self._tell(found.url, None, seconds)

    def failed(self, server: int, error: VisionPipeError, sent: float) -> bool:
        """A request sent to it at ``sent`` ended with ``error``.

        Returns:
            Whether it should go to another server: this one is away, another is up, and nothing was billed.
        """
        if not isinstance(error, ReplyTimeoutError) and not is_away(error):
            if getattr(error, "status", None) is not None:
                self.answered(server, sent)
            return False
        with self._lock:
            found = self._servers[server]
            left = False
            if sent >= found.back_at and found.away_since is None:
                found.timeouts += isinstance(error, ReplyTimeoutError)
                left = is_away(error) or found.timeouts >= TIMEOUTS_IN_A_ROW
            if left:
                found.away_since = self._clock()
                self._wait_longer(found, getattr(error, "retry_after", None) or 0.0)
            moves = is_away(error) and found.away_since is not None and self.any_up()
        if left:
            self._tell(found.url, error.reason, 0.0)
        return moves

    def due(self) -> int | None:
        """A server that was left and should be looked at now, by the caller alone, who then tells
        ``looked``."""
        with self._lock:
            now = self._clock()
            for number, found in enumerate(self._servers):
                if found.away_since is not None and not found.looking and now >= found.look_at:
                    found.looking = True
                    return number
            return None

    def looked(self, server: int, *, there: bool) -> None:
        """What looking at a server that was left has shown."""
        with self._lock:
            found = self._servers[server]
            found.looking = False
            if found.away_since is None:
                return
            if not there:
                self._wait_longer(found)
                return
            seconds = self._back(found)
        self._tell(found.url, None, seconds)

    def _wait_longer(self, found: _Server, at_least: float = 0.0) -> None:
        found.wait_s = min(LONGEST_WAIT_S, max(FIRST_WAIT_S, 2 * found.wait_s))
        found.look_at = self._clock() + max(found.wait_s, at_least)

    def _back(self, found: _Server) -> float:
        assert found.away_since is not None, "it was left"
        found.back_at = self._clock()
        seconds, found.away_since, found.timeouts = found.back_at - found.away_since, None, 0
        return seconds

    def _tell(self, url: str, reason: str | None, seconds: float) -> None:
        if reason is None:
            tell(_LOG, logging.INFO, "server_back", server=url, seconds=round(seconds, 3))
        else:
            tell(_LOG, logging.WARNING, "server_lost", server=url, reason=reason)
        for watch in self._watch:
            told = watch()
            if told is not None:
                told(url, reason, seconds)


def is_away(error: VisionPipeError) -> bool:
    """Whether ``error`` says that a server cannot be asked at all, and that nothing was billed."""
    if isinstance(error, ServerError):
        return error.retryable and error.status in AWAY_STATUSES
    return isinstance(error, ConnectionFailedError)


def prefix_of(request: Request) -> bytes:
    """What tells requests that begin alike: the system prompt, and the first part of what is asked first."""
    digest = blake2b(digest_size=16)
    for message in request.messages:
        for part in message.parts[: None if message.role == "system" else 1]:
            digest.update(_told(part))
        if message.role != "system":
            break
    return digest.digest()


def _told(part: Part) -> bytes:
    match part:
        case Text():
            return b"text:" + part.text.encode("utf-8", "surrogatepass")
        case LinkedImage() | LinkedVideo() | LinkedFile():
            return b"link:" + part.url.encode()
        case Image() | Video():
            content = part.content
            if isinstance(content, FileContent):
                return f"file:{content.path}:{content.size}:{content.modified_ns}".encode(
                    "utf-8", "surrogateescape"
                )
            return b"data:" + blake2b(content.data, digest_size=16).digest()
