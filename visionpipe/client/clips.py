"""What a client offers for clips: timelines, and questions answered from frames.

The work is that of ``visionpipe.video``, which knows no client and is given this one to ask; the
asyncio client does it in a thread of its own and asks from its event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from visionpipe.client.options import CallOptions, merged
from visionpipe.client.settings import Settings

if TYPE_CHECKING:
    from visionpipe.clips.frames import Sampling
    from visionpipe.reply import Reply
    from visionpipe.video.question import ClipAnswer
    from visionpipe.video.spans import ClipSource, SpanJournal, WatchOptions
    from visionpipe.video.timeline import Span, Timeline

T = TypeVar("T")


LARGEST_LINKED = 2 << 30
"""Bytes of a clip that is downloaded to be looked at."""

_LONGEST_FETCH_S = 1800.0


def fetch_clip(url: str, path: Path, *, allow_private: bool = False) -> None:
    """Downloads a linked clip, to be looked at from disk.

    Args:
        url: of the clip.
        path: where it is put.
        allow_private: reach private and loopback addresses, too.

    Raises:
        FetchError: it cannot be had, is larger than ``LARGEST_LINKED``, or its address is not public.
    """
    from visionpipe.transport.fetch import fetch_file

    fetch_file(url, path, max_bytes=LARGEST_LINKED, timeout_s=_LONGEST_FETCH_S, allow_private=allow_private)


class Clips:
    """The synchronous client's."""

    settings: Settings
    defaults: CallOptions
    ask: Callable[..., Any]

    def watch(
        self,
        clip: ClipSource,
        how: WatchOptions | None = None,
        *,
        journal: SpanJournal | str | os.PathLike[str] | None = None,
        on_span: Callable[[Span], None] | None = None,
        **options: Unpack[CallOptions],
    ) -> Timeline:
        """Tell a clip scene by scene, in the container's own time.

        A model that takes video is shown the clip whole where there is a way (``publisher``, or
        ``inline_video``); any other is shown frames.

        Args:
            clip: a path, a whole clip's bytes, or a loaded clip.
            how: scenes, spans, frames and summary.
            journal: keeps finished spans, so that a second run goes on where the first one ended; a path,
                or a journal.
            on_span: told of every span as it is finished.
            options: of every request; see ``ask``. ``over_limit`` holds for a clip shown whole.

        Returns:
            Spans from 0 to the clip's duration, without gap or overlap, and a summary.

        Raises:
            VisionPipeError: the clip cannot be read, or not one span was answered.
        """
        from visionpipe.video.for_client import watch_clip

        call = merged(self.defaults, options)
        return watch_clip(self, clip, how, journal=journal, on_span=on_span, call=dict(call))

    def ask_clip(
        self,
        question: str,
        clip: ClipSource,
        *,
        sampling: Sampling | None = None,
        **options: Unpack[CallOptions],
    ) -> ClipAnswer:
        """Ask about a clip by its frames, and learn which of them the answer rests on.

        Args:
            question: in your own words.
            clip: a path, a whole clip's bytes, or a loaded clip.
            sampling: which frames; None: evenly spread, as many as the model's limits allow.
            options: as for ``ask``.

        Raises:
            VisionPipeError: the clip cannot be read, or as for ``ask``.
        """
        from visionpipe.video.for_client import ask_clip_with

        call = merged(self.defaults, options)
        return ask_clip_with(self, question, clip, sampling=sampling, call=dict(call))


class AsyncClips:
    """The asyncio client's."""

    settings: Settings
    defaults: CallOptions
    ask: Callable[..., Any]

    async def watch(
        self,
        clip: ClipSource,
        how: WatchOptions | None = None,
        *,
        journal: SpanJournal | str | os.PathLike[str] | None = None,
        on_span: Callable[[Span], None] | None = None,
        **options: Unpack[CallOptions],
    ) -> Timeline:
        """As ``Client.watch``; ``on_span`` is called in another thread."""
        from visionpipe.video.for_client import watch_clip

        call = dict(merged(self.defaults, options))
        return await self._in_thread(
            lambda asking: watch_clip(asking, clip, how, journal=journal, on_span=on_span, call=call)
        )

    async def ask_clip(
        self,
        question: str,
        clip: ClipSource,
        *,
        sampling: Sampling | None = None,
        **options: Unpack[CallOptions],
    ) -> ClipAnswer:
        """As ``Client.ask_clip``."""
        from visionpipe.video.for_client import ask_clip_with

        call = dict(merged(self.defaults, options))
        return await self._in_thread(
            lambda asking: ask_clip_with(asking, question, clip, sampling=sampling, call=call)
        )

    async def _in_thread(self, work: Callable[[_FromThread], T]) -> T:
        # A thread of its own: those that asyncio lends out are needed to prepare the questions.
        loop = asyncio.get_running_loop()
        asking = _FromThread(self.settings, self.ask, loop)
        pool = ThreadPoolExecutor(1)
        try:
            return await loop.run_in_executor(pool, work, asking)
        finally:
            asking.stop()
            pool.shutdown(wait=False)


class _FromThread:
    """An asyncio client as one that is asked from other threads, until it is stopped."""

    def __init__(self, settings: Settings, ask: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self._ask = ask
        self._loop = loop
        self._lock = threading.Lock()
        self._open: set[Future[Any]] | None = set()

    def ask(self, prompt: str, *images: Any, **options: Any) -> Reply:
        """Blocks until the answer is there; CancelledError once stopped."""
        with self._lock:
            if self._open is None:
                raise CancelledError
            future = asyncio.run_coroutine_threadsafe(self._ask(prompt, *images, **options), self._loop)
            self._open.add(future)
        try:
            reply: Reply = future.result()
            return reply
        finally:
            with self._lock:
                if self._open is not None:
                    self._open.discard(future)

    def stop(self) -> None:
        """Ends what is still being asked."""
        with self._lock:
            left, self._open = self._open, None
        for future in left or ():
            future.cancel()
