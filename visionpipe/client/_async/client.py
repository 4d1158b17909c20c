"""The client: loads and checks what it is given, asks, and reads what is answered."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, Unpack, overload

from visionpipe.client._async.calls import AsyncCalls, run_tools_async
from visionpipe.client._async.conversation import AsyncConversation
from visionpipe.client._async.stream import AsyncObjectStream, AsyncStream
from visionpipe.client.clips import AsyncClips
from visionpipe.client.conversation_file import begin
from visionpipe.client.options import CallOptions, MediaSources, merged, preset_options
from visionpipe.client.preparation import Fetch, Prepared, Preparer, answered
from visionpipe.client.servers import Servers
from visionpipe.client.settings import (
    Settings,
    announce_local,
    require,
    require_model,
    resolve_settings,
)
from visionpipe.client.threads import in_thread_async
from visionpipe.client.tool_loop import ToolLimits, check_functions_async
from visionpipe.prompts.presets import describe as describe_preset
from visionpipe.reply import Reply, merge_replies
from visionpipe.request import Request
from visionpipe.stages.extraction import EXTRACTION_PROMPT, Extraction, Schema
from visionpipe.stages.retry import RetryPolicy
from visionpipe.transport._async.connect import connect_async
from visionpipe.wire.http import AsyncSender, HttpRequest, Timeouts

if TYPE_CHECKING:
    from visionpipe.client._async.agents import AsyncAgents
    from visionpipe.client._async.batches import AsyncBatches
    from visionpipe.client._async.files import AsyncFiles
    from visionpipe.client._async.tasks import AsyncTasks
    from visionpipe.client._async.tuning import AsyncFineTuning
    from visionpipe.client.cache import AnswerCache
    from visionpipe.client.observing import AttemptMade
    from visionpipe.wire.chat import TokenCount

T = TypeVar("T")


class AsyncClient(AsyncClips):
    """Ask a vision model about images.

    There are two clients, with the same arguments, calls and errors. The blocking one is safe to use from
    several threads at once. The calls of the asyncio one are awaited, within one event loop; its ``sender``
    and ``sleep`` are asynchronous, and files are read and images repaired in a worker thread. Each process
    makes its own client. Close it, or use it as a context manager, to give its connections back.

    Args:
        model: a model id; default the endpoint's own.
        base_url: an endpoint's URL, a registered name such as ``"zai"`` or ``"ollama"``, or both joined by
            a plus sign for a gateway (``"bigmodel+https://gateway.example/v4"``); or a list of servers of one
            kind, of which each question goes to the least busy, and past one that is away to another.
        api_key: default from the environment (``BIGMODEL_API_KEY``, ``ZHIPUAI_API_KEY``, ``ZAI_API_KEY``);
            with no key at all the embedded engine answers, which is said once on stderr.
        catalog: a TOML file with models and endpoints of your own.
        lang: "en" or "zh", for the library's own prompts.
        retry: when to try again.
        timeouts: in seconds.
        defaults: options for every call; see ``CallOptions``.
        headers: HTTP headers of every request, such as a gateway's own key. Their values are handled as the
            key is: no message shows them, and no journal holds them.
        sticky: of several servers, one answers all questions that begin alike (system prompt, and the first
            picture or text), as long as it is up: for servers that cache what they have read.
        on_attempt: told of every try at a request as it ends, in the thread or on the event loop that
            makes it (a job has a loop of its own, which all its requests share). It must not block.
        cache: a file of answers, or an ``AnswerCache``: what was asked before, in the same words about the
            same bytes at the same endpoint, is not sent again, and costs nothing. Asked in calls, streams,
            extractions and conversations alike; a job has its journal instead.
        plan_only: prepare and estimate without a key; sending is an error.
        sender: what carries requests out; default by endpoint.
        fetch: downloads a URL; default with the library's own guards.
        clock: monotonic seconds.
        sleep: waits so many seconds.

    Raises:
        ConfigurationError: unknown names, or no key for an endpoint that needs one.
        ParameterError: a name, key or header that cannot be one, or servers that are not of one kind.
        JournalError: the cache's file cannot be used.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | Sequence[str] | None = None,
        api_key: str | None = None,
        catalog: str | os.PathLike[str] | None = None,
        lang: str | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        defaults: CallOptions | None = None,
        headers: Mapping[str, str] | None = None,
        sticky: bool = False,
        on_attempt: Callable[[AttemptMade], object] | None = None,
        cache: AnswerCache | str | os.PathLike[str] | None = None,
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
            headers=headers,
            sticky=sticky,
            plan_only=plan_only,
        )
        pool = self.settings.pool
        self.servers: Servers | None = None
        if pool:
            self.servers = Servers([each.base_url for each in pool], sticky=sticky, clock=clock)
        self.defaults: CallOptions = defaults or CallOptions()
        self._preparer = Preparer(self.settings, fetch)
        self._cache, self._own_cache = _opened(cache)
        # Another client with the same settings then has the same way to the service.
        self._connects = sender is None and not plan_only
        self._sender = sender or connect_async(
            self.settings.endpoint, self.settings.api_key, plan_only=plan_only, pool=pool
        )
        self._calls = AsyncCalls(
            self.settings,
            self._sender,
            sleep,
            retry or RetryPolicy(),
            timeouts or Timeouts(),
            clock,
            on_attempt=on_attempt,
            servers=self.servers,
            cache=self._cache,
        )
        announce_local(self.settings)

    async def describe(self, *images: MediaSources, **options: Unpack[CallOptions]) -> Reply:
        """Describe one or several images in plain words.

        Args:
            images: as for ``ask``.
            options: as for ``ask``.

        Raises:
            VisionPipeError: as for ``ask``.
        """
        model = self.settings.model_named(options.get("model"))
        own = merged(preset_options(describe_preset, model), merged(self.defaults, options))
        return await self.ask(describe_preset.text(self.settings.lang), *images, **own)

    async def ask(self, prompt: str = "", *images: MediaSources, **options: Unpack[CallOptions]) -> Reply:
        """Ask about images and clips.

        Args:
            prompt: the question or instruction; empty where the last of ``messages`` is it.
            images: paths, bytes, open files, Pillow images, arrays (RGB), URLs, data URIs or base64; clips
                by path, bytes or URL; one by one or in lists.
            options: see ``CallOptions``.

        Raises:
            VisionPipeError: one of its four families, with the cure.
        """
        return await self.send(await self.prepare(prompt, *images, **options))

    async def stream(
        self, prompt: str = "", *images: MediaSources, **options: Unpack[CallOptions]
    ) -> AsyncStream:
        """As ``ask``, giving the text piece by piece; ``.reply`` at the end."""
        return await self._stream(await self.prepare(prompt, *images, **options))

    async def run_tools(
        self,
        prompt: str,
        *images: MediaSources,
        limits: ToolLimits | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """As ``ask``, running the functions among ``tools`` when the model asks for them, until it
        answers. What was run is in the reply's ``tool_results``; usage and cost are those of all requests.

        The asyncio client awaits asynchronous functions, and runs others in a thread.

        Args:
            prompt: as for ``ask``.
            images: as for ``ask``.
            options: as for ``ask``; ``tools`` holds the functions.
            limits: rounds and seconds.

        Raises:
            ParameterError: an asynchronous function, where the client is the blocking one.
            UnreadableAnswerError: the model gave a function broken arguments twice (code "tool_arguments").
            AnswerError: a limit was reached (code "tool_limit").
        """
        prepared = await self.prepare(prompt, *images, **options)
        check_functions_async(prepared)
        turn = await run_tools_async(self._calls, prepared, limits or ToolLimits())
        return turn.reply

    def conversation(
        self,
        *,
        load: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | None = None,
        limits: ToolLimits | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncConversation:
        """A conversation, in which each turn is sent with what was said and shown before. It is begun without
        asking anybody, and so never awaited.

        Args:
            load: go on with the one in this file, written by its ``save``, or behind messages as the platform
                writes them, ``[{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]``.
            limits: for functions among the tools.
            options: for every turn; see ``ask``.
        """
        chosen = merged(self.defaults, options)
        if load is None or isinstance(load, str | os.PathLike):
            transcript, chosen = begin(load, chosen)
        else:
            transcript, chosen = self._preparer.begun(load, chosen)
        return AsyncConversation(self._calls, self._preparer, limits or ToolLimits(), chosen, transcript)

    @overload
    async def extract(
        self,
        schema: type[T],
        *images: MediaSources,
        prompt: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Extraction[T]: ...

    @overload
    async def extract(
        self, schema: Any, *images: MediaSources, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[Any]: ...

    async def extract(
        self, schema: Any, *images: MediaSources, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[Any]:
        """Structured data about images.

        Args:
            schema: a pydantic model, a type pydantic can validate, or a JSON Schema as a mapping.
            images: as for ``ask``.
            prompt: what to extract; the default asks for what the schema names.
            options: as for ``ask``.

        Raises:
            UnreadableAnswerError: the answer did not fit, nor did the second one.
            VisionPipeError: as for ``ask``.
        """
        wanted: Schema[Any] = Schema(schema)
        question = prompt or EXTRACTION_PROMPT[self.settings.lang]
        return await self.send_extraction(await self.prepare(question, *images, **options), wanted)

    @overload
    async def extract_stream(
        self,
        schema: type[T],
        *images: MediaSources,
        prompt: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncObjectStream[T]: ...

    @overload
    async def extract_stream(
        self, schema: Any, *images: MediaSources, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncObjectStream[Any]: ...

    async def extract_stream(
        self, schema: Any, *images: MediaSources, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> AsyncObjectStream[Any]:
        """As ``extract``, giving the document while it is written; ``.value`` at the end.

        What comes on the way is plain JSON data, not held against the schema; nothing is asked again.
        """
        wanted: Schema[Any] = Schema(schema)
        question = prompt or EXTRACTION_PROMPT[self.settings.lang]
        prepared = await self.prepare(question, *images, **options)
        asked = prepared.extracting(wanted, self.settings.lang).single("stream")
        stream = await self._calls.streamed(asked, prepared.model, fits=lambda reply: wanted.fits(reply.text))
        return AsyncObjectStream(stream, wanted)

    async def prepare(
        self, prompt: str = "", *images: MediaSources, **options: Unpack[CallOptions]
    ) -> Prepared:
        """Everything of ``ask`` but the sending: load, repair, build, estimate and check."""
        chosen = merged(self.defaults, options)
        return await in_thread_async(self._preparer.prepare, prompt, images, chosen)

    def preparing(self, **options: Unpack[CallOptions]) -> Callable[[str, Sequence[MediaSources]], Prepared]:
        """``prepare`` for many questions with the same options, which are checked and worked out once.

        Returns:
            A function of a prompt and its images, which reads and repairs these here and now, in any thread.
        """
        return self._preparer.preparing(merged(self.defaults, options))

    async def send(
        self,
        prepared: Prepared,
        *,
        retry_rate_limits: bool = True,
        seconds: float | None = None,
        server: int | None = None,
    ) -> Reply:
        """Send what was prepared; several requests one after the other, merged into one reply.

        Args:
            prepared: from ``prepare``.
            retry_rate_limits: False raises RateLimitError at once, for callers with a limiter.
            seconds: the longest to wait for an answer, and the last moment to try again; None: as the
                client was told.
            server: which of several answers, by its place; one that is away while another is up raises
                ConnectionFailedError or ServerError at once. None: any, the next where one is away.
        """
        calls = self._calls.bounded(retry_rate_limits=retry_rate_limits, seconds=seconds, server=server)
        replies = [await calls.whole(request, prepared.model) for request in prepared.requests]
        return answered(prepared, merge_replies(replies))

    async def send_extraction(
        self,
        prepared: Prepared,
        schema: Schema[T],
        *,
        retry_rate_limits: bool = True,
        seconds: float | None = None,
        on_repeat: Callable[[Reply], bool] | None = None,
        server: int | None = None,
    ) -> Extraction[T]:
        """As ``send``, for structured data.

        Args:
            on_repeat: called with a first reply that does not fit; False: do not ask once more. The asyncio
                client calls it in a thread.
        """
        calls = self._calls.bounded(retry_rate_limits=retry_rate_limits, seconds=seconds, server=server)
        return await calls.extracted(prepared.single("extraction"), prepared.model, schema, on_repeat)

    async def count_tokens(
        self, prompt: str, *images: MediaSources, **options: Unpack[CallOptions]
    ) -> TokenCount:
        """The input tokens of a question as the service counts them; nothing is answered.

        Args:
            prompt: as for ``ask``.
            images: as for ``ask``.
            options: as for ``ask``.

        Raises:
            UnsupportedError: the endpoint or the model has no counting; the cure names what has.
        """
        return await self.count_prepared(await self.prepare(prompt, *images, **options))

    async def count_prepared(self, prepared: Prepared) -> TokenCount:
        """As ``count_tokens``, for what ``prepare`` gave; the sum where it is several requests."""
        from visionpipe.wire.chat import TokenCount

        require(self.settings, "tokenizer")
        require_model(self.settings, prepared.model, "counts_tokens")
        counted = TokenCount(0, 0, 0, 0)
        for request in prepared.requests:
            counted += await self._count(request)
        return counted

    # Each of these is made when it is first looked at, so that a client which only asks loads none of them.

    @property
    def tasks(self) -> AsyncTasks:
        """Asynchronous calls: submit now, take the reply later."""
        from visionpipe.client._async.tasks import AsyncTasks

        return AsyncTasks(self._calls, self.prepare)

    @property
    def files(self) -> AsyncFiles:
        """Files kept at the service."""
        from visionpipe.client._async.files import AsyncFiles

        return AsyncFiles(self._calls)

    @property
    def batches(self) -> AsyncBatches:
        """Many questions in one file, at a lower price."""
        from visionpipe.client._async.batches import AsyncBatches

        return AsyncBatches(self._calls)

    @property
    def agents(self) -> AsyncAgents:
        """The service's agents, and the older applications."""
        from visionpipe.client._async.agents import AsyncAgents

        return AsyncAgents(self._calls)

    @property
    def fine_tuning(self) -> AsyncFineTuning:
        """Fine-tuning jobs, where the account has them."""
        from visionpipe.client._async.tuning import AsyncFineTuning

        return AsyncFineTuning(self._calls)

    async def close(self) -> None:
        """Give the connections back, and the cache's file where the client opened it."""
        await self._sender.close()
        if self._cache is not None and self._own_cache:
            await in_thread_async(self._cache.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: its key would stand in the clear. "
            "Make a client in each process instead."
        )

    def __repr__(self) -> str:
        settings = self.settings
        return f"{type(self).__name__}(model={settings.model.id!r}, endpoint={settings.endpoint.id!r})"

    async def _count(self, request: Request) -> TokenCount:
        from visionpipe.wire.chat import TOKENIZER_PATH, encode_count, read_count

        body = encode_count(request, self.settings.endpoint)
        return await self._calls.service(
            lambda _: HttpRequest("POST", TOKENIZER_PATH, body, timeouts=self._calls.timeouts),
            lambda response, _: read_count(response.body),
        )

    async def _stream(self, prepared: Prepared) -> AsyncStream:
        return await self._calls.streamed(prepared.single("stream"), prepared.model)


def _opened(cache: AnswerCache | str | os.PathLike[str] | None) -> tuple[AnswerCache | None, bool]:
    """The cache that was given or named, and whether it was opened here."""
    if cache is None:
        return None, False
    from visionpipe.client.cache import AnswerCache

    return (cache, False) if isinstance(cache, AnswerCache) else (AnswerCache(cache), True)
