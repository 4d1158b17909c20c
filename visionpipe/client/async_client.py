"""The asyncio client: a thin driver of the same preparation and the same calls as the synchronous one.

Files are read and images repaired in a worker thread, so that the event loop never waits for them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from visionpipe.client._async.stream import AsyncObjectStream, AsyncStream
from visionpipe.client.announce import announce_local
from visionpipe.client.calls import Calls
from visionpipe.client.clips import AsyncClips
from visionpipe.client.conversation import AsyncConversation, Means, begin
from visionpipe.client.drive import drive_async
from visionpipe.client.extraction import EXTRACTION_PROMPT, asked_for, extract_call
from visionpipe.client.one_process import OneProcess
from visionpipe.client.options import CallOptions, merged, preset_options
from visionpipe.client.preparation import Fetch, Prepared, Preparer, answered
from visionpipe.client.services import AsyncServices
from visionpipe.client.settings import Settings, resolve_settings
from visionpipe.client.tool_loop import ToolLimits, check_functions, tool_loop
from visionpipe.prompts.presets import describe as describe_preset
from visionpipe.reply import Reply
from visionpipe.stages.extraction import Extraction, Schema
from visionpipe.stages.fit import merge_replies
from visionpipe.stages.retry import RetryPolicy
from visionpipe.transport.connect import connect_async
from visionpipe.transport.sender import AsyncSender
from visionpipe.wire.http import Timeouts

T = TypeVar("T")


class AsyncClient(OneProcess, AsyncServices, AsyncClips):
    """Ask a vision model about images, from an event loop.

    The same arguments, calls and errors as :class:`visionpipe.client.client.Client`; calls are awaited, and
    ``sender`` and ``sleep`` are asynchronous. Use it within one event loop.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        catalog: str | os.PathLike[str] | None = None,
        lang: str | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        defaults: CallOptions | None = None,
        plan_only: bool = False,
        sender: AsyncSender | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings: Settings = resolve_settings(
            model=model,
            base_url=base_url,
            api_key=api_key,
            catalog=catalog,
            lang=lang,
            plan_only=plan_only,
        )
        self.defaults: CallOptions = defaults or CallOptions()
        self._calls = Calls(self.settings, retry or RetryPolicy(), timeouts or Timeouts(), clock)
        self._preparer = Preparer(self.settings, fetch)
        self._sender = sender or connect_async(
            self.settings.endpoint, self.settings.api_key, plan_only=plan_only
        )
        self._sleep = sleep
        announce_local(self.settings)

    async def describe(self, *images: Any, **options: Unpack[CallOptions]) -> Reply:
        """Describe one or several images in plain words."""
        model = self.settings.model_named(options.get("model"))
        own = merged(preset_options(describe_preset, model), merged(self.defaults, options))
        return await self.ask(describe_preset.text(self.settings.lang), *images, **own)

    async def ask(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Reply:
        """Ask about images; arguments and errors as for :meth:`Client.ask`."""
        return await self.send(await self.prepare(prompt, *images, **options))

    async def stream(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> AsyncStream:
        """As :meth:`ask`, giving the text piece by piece; ``.reply`` at the end."""
        return await self._stream(await self.prepare(prompt, *images, **options))

    async def run_tools(
        self, prompt: str, *images: Any, limits: ToolLimits | None = None, **options: Unpack[CallOptions]
    ) -> Reply:
        """As :meth:`Client.run_tools`; asynchronous functions are awaited, others run in a thread."""
        prepared = await self.prepare(prompt, *images, **options)
        check_functions(prepared, awaited=True)
        return (await self._run(tool_loop(self._calls, prepared, limits or ToolLimits()))).reply

    def conversation(
        self,
        *,
        load: str | os.PathLike[str] | None = None,
        limits: ToolLimits | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncConversation:
        """As :meth:`Client.conversation`; not awaited, its turns are."""
        transcript, chosen = begin(load, merged(self.defaults, options))
        means = Means(self._calls, self._preparer.prepare, limits or ToolLimits())
        return AsyncConversation(means, chosen, transcript, self._run, self._stream)

    async def _stream(self, prepared: Prepared, done: Callable[[Reply], None] | None = None) -> AsyncStream:
        call = self._calls.streamed(prepared.single("stream"), prepared.model)
        return AsyncStream(*await self._run(call), done)

    @overload
    async def extract(
        self, schema: type[T], *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[T]: ...

    @overload
    async def extract(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[Any]: ...

    async def extract(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[Any]:
        """Structured data about images.

        Args:
            schema: a pydantic model, a type pydantic can validate, or a JSON Schema as a mapping.
            images: as for :meth:`ask`.
            prompt: what to extract; the default asks for what the schema names.
            options: as for :meth:`ask`.

        Raises:
            UnreadableAnswerError: the answer did not fit, nor did the second one.
            VisionPipeError: as for :meth:`ask`.
        """
        wanted: Schema[Any] = Schema(schema)
        question = prompt or EXTRACTION_PROMPT[self.settings.lang]
        return await self.send_extraction(await self.prepare(question, *images, **options), wanted)

    @overload
    async def extract_stream(
        self, schema: type[T], *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncObjectStream[T]: ...

    @overload
    async def extract_stream(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncObjectStream[Any]: ...

    async def extract_stream(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncObjectStream[Any]:
        """As :meth:`Client.extract_stream`."""
        wanted: Schema[Any] = Schema(schema)
        question = prompt or EXTRACTION_PROMPT[self.settings.lang]
        prepared = asked_for(await self.prepare(question, *images, **options), wanted, self.settings.lang)
        return AsyncObjectStream(await self._stream(prepared), wanted)

    async def send_extraction(
        self,
        prepared: Prepared,
        schema: Schema[T],
        *,
        retry_rate_limits: bool = True,
        seconds: float | None = None,
        on_repeat: Callable[[Reply], bool] | None = None,
    ) -> Extraction[T]:
        """As :meth:`Client.send_extraction`; ``on_repeat`` is called on the event loop."""
        calls = self._calls.bounded(retry_rate_limits=retry_rate_limits, seconds=seconds)
        call = extract_call(calls, prepared.single("extraction"), prepared.model, schema, on_repeat)
        return await drive_async(call, self._sender, self._sleep)

    async def prepare(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Prepared:
        """Everything of :meth:`ask` but the sending: load, repair, build, estimate and check."""
        chosen = merged(self.defaults, options)
        return await asyncio.to_thread(self._preparer.prepare, prompt, images, chosen)

    async def send(
        self, prepared: Prepared, *, retry_rate_limits: bool = True, seconds: float | None = None
    ) -> Reply:
        """Send what was prepared; several requests one after the other, merged into one reply."""
        calls = self._calls.bounded(retry_rate_limits=retry_rate_limits, seconds=seconds)
        replies = [
            await drive_async(calls.whole(request, prepared.model), self._sender, self._sleep)
            for request in prepared.requests
        ]
        return answered(prepared, merge_replies(replies))

    async def close(self) -> None:
        """Give the connections back."""
        await self._sender.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient(model={self.settings.model.id!r}, endpoint={self.settings.endpoint.id!r})"
