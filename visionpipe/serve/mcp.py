"""Tools for agents over the Model Context Protocol: what an asyncio client can do, asked for by a program.

A tool looks only at files under the folders that were allowed, whatever links lead where, and at addresses
that the guarded download reaches. What a client's error says, its cure included, is the tool's error result.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import inspect
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import orjson
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from visionpipe.client import AsyncClient
from visionpipe.client.clips import fetch_clip
from visionpipe.client.options import CallOptions, preset_options
from visionpipe.client.preparation import Prepared
from visionpipe.errors import AnswerError, ConfigurationError, UnreadableSourceError, VisionPipeError
from visionpipe.pipeline.budget import Amount, Budget
from visionpipe.pipeline.plan import PlanItem
from visionpipe.prompts import presets
from visionpipe.registry.table import model_rows
from visionpipe.reply import Reply
from visionpipe.results import Failure
from visionpipe.sandbox.loopback import Guard
from visionpipe.stages.extraction import Extraction, Schema
from visionpipe.values import JSON
from visionpipe.video.spans import WatchOptions
from visionpipe.video.timeline import Span

P = ParamSpec("P")
S = TypeVar("S", bound="Tools")

AT_ONCE = 4
"""Images that one call asks about at once; more would take the service's slots from other callers."""

INSTRUCTIONS = (
    "Looks at photos and video clips by path or URL. check tells what would be sent and what it costs, and "
    "sends nothing. Results tell what was changed before sending (adjustments), what is worth knowing "
    "(notes), tokens and cost."
)
COMPARE = {
    "en": "Compare these images in their order: what is the same, what differs, and what has changed?",
    "zh": "请按顺序比较这些图片：哪些相同，哪些不同，发生了什么变化？",
}
_LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=True)
_STAYS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

Images = Annotated[
    list[str], Field(min_length=1, description="Paths, http(s) URLs or data URIs of images or clips.")
]
Model = Annotated[str | None, Field(description="Another model than the server's; see the models tool.")]
MaxTokens = Annotated[int | None, Field(ge=1, description="Most tokens of an answer.")]


class Roots:
    """The folders that files may be read from.

    Args:
        folders: each as it was named; links in them are followed once, now.

    Raises:
        ConfigurationError: one is no folder.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        self._folders: list[Path] = []
        self._spelled: list[Path] = []
        for folder in folders:
            try:
                real = Path(folder).resolve(strict=True)
            except (OSError, RuntimeError) as cause:
                raise ConfigurationError(
                    "there is no such folder", cure="Give --root a folder.", subject=str(folder)
                ) from cause
            if not real.is_dir():
                raise ConfigurationError("it is no folder", cure="Give --root a folder.", subject=str(folder))
            self._folders.append(real)
            self._spelled += [real, Path(os.path.normpath(Path(folder).absolute()))]

    def source(self, text: str) -> str | Path:
        """What a client is given for ``text``: an address or data URI as it is, a path as found on disk.

        Raises:
            UnreadableSourceError: it lies outside of every root (``code`` "outside_roots"), said alike
                whether or not anything is there.
        """
        if text[:8].lower().startswith(("http://", "https://", "data:")):
            return text
        path = url2pathname(urlsplit(text).path) if text[:7].lower() == "file://" else text
        found = [
            real
            for folder in self._folders
            if (real := self._within(Path(os.path.normpath(folder / path)))) is not None
        ]
        if not found:
            names = ", ".join(map(str, self._folders))
            raise UnreadableSourceError(
                "it is outside of the folders that this server may read",
                cure=f"Use a path under {names}, or start the server with --root FOLDER.",
                subject=text,
                code="outside_roots",
                retryable=False,
            )
        return next((path for path in found if path.exists()), found[0])

    def _within(self, path: Path) -> Path | None:
        # By its spelling first, so that nothing outside is as much as looked at (on Windows, another host).
        if not any(path.is_relative_to(root) for root in self._spelled):
            return None
        try:
            real = path.resolve()
        except (OSError, RuntimeError, ValueError):
            return None
        return real if any(real.is_relative_to(root) for root in self._folders) else None


class BudgetedClient(AsyncClient):
    """An asyncio client that sends nothing beyond a budget; the questions of ``watch`` count as well.

    Args:
        budget: what may be used up while the client lives; None: no cap.
        arguments: as for ``AsyncClient``.
    """

    def __init__(self, *arguments: Any, budget: Budget | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._budget = budget

    async def send(self, prepared: Prepared, **how: Any) -> Reply:
        """As ``AsyncClient.send``.

        Raises:
            ConfigurationError: the budget has no room for it (``code`` "budget").
            VisionPipeError: as there.
        """
        reply: Reply = await self._within_budget(prepared, super().send, lambda sent: sent, prepared, **how)
        return reply

    async def send_extraction(self, prepared: Prepared, schema: Schema[Any], **how: Any) -> Extraction[Any]:
        """As ``AsyncClient.send_extraction``; errors as ``send``."""
        call = super().send_extraction
        found: Extraction[Any] = await self._within_budget(
            prepared, call, lambda extraction: extraction.reply, prepared, schema, **how
        )
        return found

    async def _within_budget(
        self,
        prepared: Prepared,
        call: Callable[..., Awaitable[Any]],
        reply_of: Callable[[Any], Reply],
        *arguments: Any,
        **how: Any,
    ) -> Any:
        if self._budget is None:
            return await call(*arguments, **how)
        reserved = await self._reserve(self._budget, prepared)
        bill: Reply | None = None
        billed = True  # cancelled or broken off, it may have been
        try:
            result = await call(*arguments, **how)
            bill = reply_of(result)
            return result
        except VisionPipeError as error:
            bill = error.reply if isinstance(error, AnswerError) else None
            billed = isinstance(error, AnswerError) or error.code == "timeout"
            raise
        finally:
            if billed:
                tokens = bill.usage.total_tokens if bill is not None and bill.usage else None
                answers = sum(attempt.failed_with is None for attempt in bill.attempts) if bill else 1
                self._budget.settle(reserved, tokens, bill.cost if bill else None, max(1, answers))
            else:
                self._budget.release(reserved)

    async def _reserve(self, budget: Budget, prepared: Prepared) -> Amount:
        estimate = prepared.estimate
        tokens = estimate.prompt_tokens + estimate.output_tokens if estimate.complete else None
        # It waits for the settlements of others; cancelled meanwhile, nothing stays set aside.
        reserving = asyncio.ensure_future(asyncio.to_thread(budget.reserve, tokens, estimate.cost))
        try:
            reserved = await asyncio.shield(reserving)
        except asyncio.CancelledError:
            reserving.add_done_callback(lambda done: _give_back(budget, done))
            raise
        if reserved is None:
            raise ConfigurationError(
                "the next request would go over the server's budget",
                cure="Ask a smaller question, or start the server with a larger --budget.",
                subject="budget",
                code="budget",
                scope="job",
            )
        return reserved


def _give_back(budget: Budget, done: asyncio.Future[Amount | None]) -> None:
    if not done.cancelled() and done.exception() is None and (reserved := done.result()) is not None:
        budget.release(reserved)


def _told(
    tool: Callable[Concatenate[S, P], Awaitable[CallToolResult]],
) -> Callable[Concatenate[S, P], Awaitable[CallToolResult]]:
    """The tool, with the client's errors as results that say what to do."""

    @functools.wraps(tool)
    async def wrapped(self: S, /, *arguments: P.args, **named: P.kwargs) -> CallToolResult:
        try:
            return await tool(self, *arguments, **named)
        except VisionPipeError as error:
            return _result(str(error), _error(error), is_error=True)

    return wrapped


class Tools:
    """What the server offers, over one client.

    Args:
        client: asked by every tool, and closed by whoever made it.
        roots: where files may be read.
        allow_private: reach private and loopback addresses, too.
    """

    def __init__(self, client: AsyncClient, roots: Roots, *, allow_private: bool = False) -> None:
        self._client = client
        self._roots = roots
        self._allow_private = allow_private

    @_told
    async def describe(
        self,
        images: Images,
        context: Context[Any, Any],
        each: Annotated[
            bool, Field(description="One description an image, instead of one of them all together.")
        ] = False,
        model: Model = None,
        max_tokens: MaxTokens = None,
    ) -> CallToolResult:
        """Describe images or clips in plain words."""
        options = self._options(model, max_tokens)
        if not each:
            return _answered(await self._client.describe(*self._sources(images), **options))
        return await self._each(images, lambda source: self._client.describe(source, **options), context)

    @_told
    async def ask(
        self,
        question: Annotated[str, Field(min_length=1)],
        images: Images,
        model: Model = None,
        max_tokens: MaxTokens = None,
    ) -> CallToolResult:
        """Ask a question about images or clips."""
        options = self._options(model, max_tokens)
        return _answered(await self._client.ask(question, *self._sources(images), **options))

    @_told
    async def read_text(
        self, images: Images, context: Context[Any, Any], model: Model = None
    ) -> CallToolResult:
        """Read the text in images, word for word, each image on its own."""
        preset, settings = presets.ocr, self._client.settings
        own = preset_options(preset, settings.model_named(model))
        options: CallOptions = {**own, **self._options(model, None)}
        question = preset.text(settings.lang)
        return await self._each(images, lambda source: self._client.ask(question, source, **options), context)

    @_told
    async def extract(
        self,
        schema: Annotated[
            dict[str, Any], Field(description="A JSON Schema with the properties that are wanted.")
        ],
        images: Images,
        prompt: Annotated[str | None, Field(description="What to extract, in words.")] = None,
        model: Model = None,
    ) -> CallToolResult:
        """Structured data about images, held against a JSON Schema; asked once more where it does not fit."""
        options = self._options(model, None)
        found = await self._client.extract(schema, *self._sources(images), prompt=prompt, **options)
        text = orjson.dumps(found.value, option=orjson.OPT_INDENT_2).decode()
        return _result(text, {"value": found.value, **found.reply.to_json()})

    @_told
    async def compare(
        self,
        images: Annotated[list[str], Field(min_length=2, description="Two or more, in order.")],
        question: Annotated[str | None, Field(description="What to look for.")] = None,
        model: Model = None,
        max_tokens: MaxTokens = None,
    ) -> CallToolResult:
        """Compare images: what is the same, what differs."""
        asked = question or COMPARE[self._client.settings.lang]
        options = self._options(model, max_tokens)
        return _answered(await self._client.ask(asked, *self._sources(images), **options))

    @_told
    async def watch(
        self,
        clip: Annotated[str, Field(description="Path or http(s) URL of a clip.")],
        context: Context[Any, Any],
        longest: Annotated[float | None, Field(gt=0, description="Seconds of the longest span.")] = None,
        frames_per_span: Annotated[int, Field(ge=1)] = 4,
        summary: bool = True,
        model: Model = None,
    ) -> CallToolResult:
        """Tell a video clip scene by scene with times, and sum it up; progress comes with every span."""
        loop = asyncio.get_running_loop()
        told: list[Future[None]] = []

        def on_span(span: Span) -> None:
            words = f"{span.start} to {span.end}"
            report = context.report_progress(len(told) + 1, message=words)
            told.append(asyncio.run_coroutine_threadsafe(report, loop))

        how = WatchOptions(longest=longest, frames_per_span=frames_per_span, summary=summary)
        source, options = self._roots.source(clip), self._options(model, None)
        with tempfile.TemporaryDirectory(prefix="visionpipe-") as folder:
            if isinstance(source, str) and source[:5].lower() != "data:":
                # Its frames are looked at here, wherever they go then.
                name = PurePosixPath(urlsplit(source).path).name[-100:].replace("\0", "") or "clip"
                link, source = source, Path(folder) / name
                allowed = options.get("allow_private", False)
                await asyncio.to_thread(fetch_clip, link, source, allow_private=allowed)
            timeline = await self._client.watch(source, how, on_span=on_span, **options)
        for report in told:
            with suppress(Exception):
                await asyncio.wrap_future(report)
        lines = [f"{span.start} to {span.end}: {span.text}" for span in timeline.spans]
        return _result("\n".join([*lines, timeline.summary or ""]).strip(), timeline.to_json())

    @_told
    async def check(
        self,
        images: Images,
        context: Context[Any, Any],
        question: str | None = None,
        model: Model = None,
    ) -> CallToolResult:
        """What would be sent for each image, what would be changed or refused, and what it would cost. No
        model is asked."""
        asked = question or presets.describe.text(self._client.settings.lang)
        options = self._options(model, None)
        items: list[JSON] = []
        for number, image in enumerate(images, 1):
            try:
                prepared = await self._client.prepare(asked, self._roots.source(image), **options)
                estimate = prepared.estimate
                item = PlanItem(
                    image,
                    "send",
                    prepared.adjustments,
                    sum(getattr(part, "size", 0) for part in prepared.media),
                    estimate.prompt_tokens + estimate.output_tokens if estimate.complete else None,
                    estimate.cost,
                )
            except VisionPipeError as error:
                item = PlanItem(image, "refuse", failure=Failure.of(error))
            items.append(item.to_json())
            await context.report_progress(number, len(images))
        return _result(orjson.dumps(items, option=orjson.OPT_INDENT_2).decode(), {"items": items})

    @_told
    async def models(
        self, model: Annotated[str | None, Field(description="Only this one, with all of its record.")] = None
    ) -> CallToolResult:
        """The known models: limits, abilities, prices; and which one this server asks."""
        settings = self._client.settings
        own: dict[str, JSON] = {"model": settings.model.id, "endpoint": settings.endpoint.id}
        if model is None:
            rows: list[JSON] = [asdict(row) for row in model_rows(settings.registry)]
            found: dict[str, JSON] = {"asked": own, "models": rows}
        else:
            record = settings.registry.model(model, settings.endpoint.id)
            found = {"asked": own, "record": record.model_dump(mode="json")}
        return _result(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode(), found)

    def _sources(self, images: Sequence[str]) -> list[str | Path]:
        return [self._roots.source(image) for image in images]

    def _options(self, model: str | None, max_tokens: int | None) -> CallOptions:
        options = CallOptions(fetch=True, allow_private=self._allow_private)
        if model is not None:
            options["model"] = model
        if max_tokens is not None:
            options["max_tokens"] = max_tokens
        return options

    async def _each(
        self, images: Sequence[str], ask: Callable[[str | Path], Awaitable[Reply]], context: Context[Any, Any]
    ) -> CallToolResult:
        """Asks about each image on its own; one that fails costs the others nothing."""
        room, done = asyncio.Semaphore(AT_ONCE), 0

        async def one(image: str) -> tuple[str, dict[str, JSON], bool]:
            nonlocal done
            try:
                async with room:
                    reply = await ask(self._roots.source(image))
                ended = (reply.text, reply.to_json(), False)
            except VisionPipeError as error:
                ended = (f"error: {error}", _error(error), True)
            done += 1
            await context.report_progress(done, len(images), image)
            return ended

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(image)) for image in images]
        ends = [task.result() for task in asked]
        items: list[JSON] = [{"image": image, **end[1]} for image, end in zip(images, ends, strict=True)]
        texts = [end[0] for end in ends]
        if len(images) > 1:
            texts = [f"{image}\n{text}" for image, text in zip(images, texts, strict=True)]
        return _result("\n\n".join(texts), {"items": items}, is_error=all(end[2] for end in ends))


def _answered(reply: Reply) -> CallToolResult:
    return _result(reply.text, reply.to_json())


def _error(error: VisionPipeError) -> dict[str, JSON]:
    """What went wrong and what to do; what an answer that was no use cost as well."""
    found: dict[str, JSON] = {"error": Failure.of(error).to_json()}
    reply = error.reply if isinstance(error, AnswerError) else None
    if reply is not None:
        usage, cost = reply.usage, reply.cost
        found |= {"usage": usage.to_json() if usage else None, "cost": cost.to_json() if cost else None}
    return found


def _result(text: str, structured: dict[str, JSON], *, is_error: bool = False) -> CallToolResult:
    """Half a surrogate pair, which a name on disk may hold and JSON cannot carry, becomes an escape."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    content = [TextContent(type="text", text=shown)]
    return CallToolResult(content=list(content), structured_content=structured, is_error=is_error)


def build_server(client: AsyncClient, roots: Roots, *, allow_private: bool = False) -> MCPServer[Any]:
    """The server with its tools, to be run over stdio or to be served with ``serve_http``; arguments as for
    ``Tools``."""
    from visionpipe import __version__

    tools = Tools(client, roots, allow_private=allow_private)
    # At "INFO" the protocol's library logs a line a request.
    server: MCPServer[Any] = MCPServer(
        "visionpipe", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING"
    )
    looking: tuple[Callable[..., Any], ...] = (
        *(tools.describe, tools.ask, tools.read_text, tools.extract, tools.compare, tools.watch),
    )
    staying: tuple[Callable[..., Any], ...] = (tools.check, tools.models)
    for tool in (*looking, *staying):
        annotations = _LOOKS if tool in looking else _STAYS
        server.add_tool(tool, description=inspect.getdoc(tool), annotations=annotations)
    return server


class _TokenCheck:
    """An ASGI application behind a bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "http" and not hmac.compare_digest(given, self._wanted):
            body = {"error": "a bearer token is needed: Authorization: Bearer TOKEN"}
            headers = {"www-authenticate": "Bearer", "connection": "close"}
            await JSONResponse(body, 401, headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def serve_http(
    server: MCPServer[Any], listener: socket.socket, *, token: str | None = None, any_name: bool = False
) -> None:
    """Serve over streamable HTTP at ``/mcp`` until interrupted.

    Args:
        listener: a bound socket.
        token: asked of every request.
        any_name: take every Host, where the address is another than loopback.
    """
    # The check of Host and Origin is the one that everything served here has.
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app: ASGIApp = server.streamable_http_app(transport_security=unchecked)
    if token is not None:
        app = _TokenCheck(app, token)
    config = uvicorn.Config(
        Guard(app, any_name=any_name),
        ws="none",
        lifespan="on",
        log_config=None,
        timeout_graceful_shutdown=5,
        server_header=False,
        proxy_headers=False,
    )
    await uvicorn.Server(config).serve(sockets=[listener])
