"""The synchronous client: a thin driver of the same preparation and the same calls as the asyncio one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from visionpipe.client._sync.stream import ObjectStream, Stream
from visionpipe.client.announce import announce_local
from visionpipe.client.calls import Calls
from visionpipe.client.clips import Clips
from visionpipe.client.conversation import Conversation, Means, begin
from visionpipe.client.drive import drive
from visionpipe.client.extraction import EXTRACTION_PROMPT, asked_for, extract_call
from visionpipe.client.one_process import OneProcess
from visionpipe.client.options import CallOptions, merged, preset_options
from visionpipe.client.preparation import Fetch, Prepared, Preparer, answered
from visionpipe.client.services import Services
from visionpipe.client.settings import Settings, resolve_settings
from visionpipe.client.tool_loop import ToolLimits, check_functions, tool_loop
from visionpipe.prompts.presets import describe as describe_preset
from visionpipe.reply import Reply
from visionpipe.stages.extraction import Extraction, Schema
from visionpipe.stages.fit import merge_replies
from visionpipe.stages.retry import RetryPolicy
from visionpipe.transport.connect import connect
from visionpipe.transport.sender import Sender
from visionpipe.wire.http import Timeouts

T = TypeVar("T")


class Client(OneProcess, Services, Clips):
    """Ask a vision model about images.

    Safe to use from several threads at once; each process makes its own. Close it, or use it as a context
    manager, to give its connections back.

    Args:
        model: a model id; default the endpoint's own.
        base_url: an endpoint's URL, a registered name such as ``"zai"`` or ``"ollama"``, or both joined by
            a plus sign for a gateway (``"bigmodel+https://gateway.example/v4"``).
        api_key: default from the environment (``BIGMODEL_API_KEY``, ``ZHIPUAI_API_KEY``, ``ZAI_API_KEY``);
            with no key at all the embedded engine answers, which is said once on stderr.
        catalog: a TOML file with models and endpoints of your own.
        lang: "en" or "zh", for the library's own prompts.
        retry: when to try again.
        timeouts: in seconds.
        defaults: options for every call; see :class:`visionpipe.client.options.CallOptions`.
        plan_only: prepare and estimate without a key; sending is an error.
        sender: what carries requests out; default by endpoint.
        fetch: downloads a URL; default with the library's own guards.
        clock, sleep: monotonic seconds, and waiting.

    Raises:
        ConfigurationError: unknown names, or no key for an endpoint that needs one.
        ParameterError: a name or key that is no text.
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
        sender: Sender | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
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
        self._sender = sender or connect(self.settings.endpoint, self.settings.api_key, plan_only=plan_only)
        self._sleep = sleep
        announce_local(self.settings)

    def describe(self, *images: Any, **options: Unpack[CallOptions]) -> Reply:
        """Describe one or several images in plain words."""
        model = self.settings.model_named(options.get("model"))
        own = merged(preset_options(describe_preset, model), merged(self.defaults, options))
        return self.ask(describe_preset.text(self.settings.lang), *images, **own)

    def ask(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Reply:
        """Ask about images and clips.

        Args:
            prompt: the question or instruction.
            images: paths, bytes, open files, Pillow images, arrays (RGB), URLs, data URIs or base64; clips
                by path, bytes or URL.
            options: see :class:`visionpipe.client.options.CallOptions`.

        Raises:
            VisionPipeError: one of its four families, with the cure.
        """
        return self.send(self.prepare(prompt, *images, **options))

    def stream(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Stream:
        """As :meth:`ask`, giving the text piece by piece; ``.reply`` at the end."""
        return self._stream(self.prepare(prompt, *images, **options))

    def run_tools(
        self, prompt: str, *images: Any, limits: ToolLimits | None = None, **options: Unpack[CallOptions]
    ) -> Reply:
        """As :meth:`ask`, running the functions among ``tools`` when the model asks for them, until it
        answers. What was run is in the reply's ``tool_results``; usage and cost are those of all requests.

        Args:
            prompt, images, options: as for :meth:`ask`; ``tools`` holds the functions.
            limits: rounds and seconds.

        Raises:
            ParameterError: an asynchronous function (those are for AsyncClient).
            UnreadableAnswerError: the model gave a function broken arguments twice (code "tool_arguments").
            AnswerError: a limit was reached (code "tool_limit").
        """
        prepared = self.prepare(prompt, *images, **options)
        check_functions(prepared, awaited=False)
        return self._run(tool_loop(self._calls, prepared, limits or ToolLimits())).reply

    def conversation(
        self,
        *,
        load: str | os.PathLike[str] | None = None,
        limits: ToolLimits | None = None,
        **options: Unpack[CallOptions],
    ) -> Conversation:
        """A conversation, in which each turn is sent with what was said and shown before.

        Args:
            load: go on with the one in this file, written by its ``save``.
            limits: for functions among the tools.
            options: for every turn; see :meth:`ask`.
        """
        transcript, chosen = begin(load, merged(self.defaults, options))
        means = Means(self._calls, self._preparer.prepare, limits or ToolLimits())
        return Conversation(means, chosen, transcript, self._run, self._stream)

    def _stream(self, prepared: Prepared, done: Callable[[Reply], None] | None = None) -> Stream:
        call = self._calls.streamed(prepared.single("stream"), prepared.model)
        return Stream(*self._run(call), done)

    @overload
    def extract(
        self, schema: type[T], *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[T]: ...

    @overload
    def extract(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> Extraction[Any]: ...

    def extract(
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
        return self.send_extraction(self.prepare(question, *images, **options), wanted)

    @overload
    def extract_stream(
        self, schema: type[T], *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> ObjectStream[T]: ...

    @overload
    def extract_stream(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> ObjectStream[Any]: ...

    def extract_stream(
        self, schema: Any, *images: Any, prompt: str | None = None, **options: Unpack[CallOptions]
    ) -> ObjectStream[Any]:
        """As :meth:`extract`, giving the document while it is written; ``.value`` at the end.

        What comes on the way is plain JSON data, not held against the schema; nothing is asked again.
        """
        wanted: Schema[Any] = Schema(schema)
        question = prompt or EXTRACTION_PROMPT[self.settings.lang]
        prepared = asked_for(self.prepare(question, *images, **options), wanted, self.settings.lang)
        return ObjectStream(self._stream(prepared), wanted)

    def send_extraction(
        self,
        prepared: Prepared,
        schema: Schema[T],
        *,
        retry_rate_limits: bool = True,
        seconds: float | None = None,
        on_repeat: Callable[[Reply], bool] | None = None,
    ) -> Extraction[T]:
        """As :meth:`send`, for structured data.

        Args:
            on_repeat: called with a first reply that does not fit; False: do not ask once more.
        """
        calls = self._calls.bounded(retry_rate_limits=retry_rate_limits, seconds=seconds)
        call = extract_call(calls, prepared.single("extraction"), prepared.model, schema, on_repeat)
        return drive(call, self._sender, self._sleep)

    def prepare(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Prepared:
        """Everything of :meth:`ask` but the sending: load, repair, build, estimate and check."""
        return self._preparer.prepare(prompt, images, merged(self.defaults, options))

    def send(
        self, prepared: Prepared, *, retry_rate_limits: bool = True, seconds: float | None = None
    ) -> Reply:
        """Send what was prepared; several requests one after the other, merged into one reply.

        Args:
            prepared: from :meth:`prepare`.
            retry_rate_limits: False raises RateLimitError at once, for callers with a limiter.
            seconds: the longest to wait for an answer, and the last moment to try again; None: as the
                client was told.
        """
        calls = self._calls.bounded(retry_rate_limits=retry_rate_limits, seconds=seconds)
        replies = [
            drive(calls.whole(request, prepared.model), self._sender, self._sleep)
            for request in prepared.requests
        ]
        return answered(prepared, merge_replies(replies))

    def close(self) -> None:
        """Give the connections back."""
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(model={self.settings.model.id!r}, endpoint={self.settings.endpoint.id!r})"
