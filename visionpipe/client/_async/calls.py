"""The calls a client can make: a request is sent, tried again where that may help, and its answer read.

What to send, how an answer is read, and whether and when to try again are decided by pure functions
of ``visionpipe.stages`` and ``visionpipe.wire``; here it is done.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from visionpipe.client._async.stream import AsyncStream
from visionpipe.client.observing import AttemptMade, Observed
from visionpipe.client.preparation import Prepared
from visionpipe.client.servers import AWAY_STATUSES, BOUNDS_KEPT, LOOKING, MOST_MOVES, Servers, prefix_of
from visionpipe.client.settings import Settings
from visionpipe.client.threads import call_function_async, in_thread_async
from visionpipe.client.tool_loop import ToolLimits, ToolLoop, ToolTurn
from visionpipe.errors import AnswerError, ServiceError, VisionPipeError
from visionpipe.files import output_errors, whole_file
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Answered, Reply
from visionpipe.request import Request
from visionpipe.stages.extraction import (
    Extraction,
    Schema,
    after_the_first,
    ask_again,
    does_not_fit,
    together,
    was_cut_off,
    with_schema,
)
from visionpipe.stages.retry import Attempts, Looked, Polling, PollPolicy, RetryPolicy, new_request_id
from visionpipe.stages.schema import MisfitError
from visionpipe.values import Note
from visionpipe.wire.chat import AskedChat, ChatForm, chat_path, encode_chat
from visionpipe.wire.errors import MAX_REFUSAL_BYTES, read_error
from visionpipe.wire.http import AsyncByteStream, AsyncSender, HttpRequest, HttpResponse, Timeouts
from visionpipe.wire.reply import ReadingContext, read_reply
from visionpipe.wire.stream import KeptReader, StreamReader

if TYPE_CHECKING:
    from visionpipe.client.cache import AnswerCache, CachedQuestion

K = TypeVar("K")
T = TypeVar("T")


class AsyncNoBytes:
    """The bytes of an answer that nobody was asked for: there are none."""

    status = 200
    headers: Mapping[str, str] = MappingProxyType({})
    oddities: tuple[str, ...] = ()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    async def close(self) -> None:
        """There is nothing to be closed."""


@dataclass(frozen=True, slots=True)
class AsyncCalls:
    """Calls one endpoint.

    Attributes:
        settings: endpoint, model and registry.
        sender: carries a request out.
        sleep: waits for so many seconds.
        policy: when to try again.
        timeouts: seconds.
        clock: monotonic seconds.
        request_id: gives a new id per attempt.
        forms: what servers have asked for in their refusals, by model.
        on_attempt: told of every try.
        servers: where there are several; questions go to any of them, all else to the first.
        server: the one that questions go to, where that is decided.
        cache: of answers to chat calls; None: every call is sent.
    """

    settings: Settings
    sender: AsyncSender
    sleep: Callable[[float], Awaitable[None]]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    clock: Callable[[], float] = time.monotonic
    request_id: Callable[[], str] = new_request_id
    forms: dict[str, ChatForm] = field(default_factory=dict, repr=False, compare=False)
    on_attempt: Callable[[AttemptMade], object] | None = field(default=None, repr=False, compare=False)
    servers: Servers | None = field(default=None, repr=False, compare=False)
    server: int | None = None
    cache: AnswerCache | None = field(default=None, repr=False, compare=False)
    _bounded: dict[tuple[bool, float | None, int | None], AsyncCalls] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def bounded(
        self, *, retry_rate_limits: bool, seconds: float | None, server: int | None = None
    ) -> AsyncCalls:
        """The same calls for a job that has a limiter of its own, a deadline for each item, or has chosen
        the server. A job asks for few such sets of bounds, so they are kept."""
        bounds = (retry_rate_limits, seconds, server)
        calls = self._bounded.get(bounds)
        if calls is None:
            if len(self._bounded) >= BOUNDS_KEPT:
                self._bounded.clear()
            calls = self._bounded[bounds] = self._with_bounds(*bounds)
        return calls

    def _with_bounds(self, retry_rate_limits: bool, seconds: float | None, server: int | None) -> AsyncCalls:
        calls = self if server is None else replace(self, server=server)
        if not retry_rate_limits:
            calls = replace(calls, policy=replace(calls.policy, rate_limits=False))
        return calls if seconds is None else calls.within(seconds)

    def within(self, seconds: float) -> AsyncCalls:
        """The same calls with less time: no answer is awaited, and no further try begun, beyond
        ``seconds``."""
        timeouts = replace(self.timeouts, total=min(self.timeouts.total, max(seconds, 0.001)))
        own = self.policy.begin_within
        within = max(seconds if own is None else min(seconds, own), 0.0)
        policy = replace(self.policy, begin_within=within)
        return replace(self, timeouts=timeouts, policy=policy)

    async def whole(self, request: Request, model: ModelRecord) -> Reply:
        """Ask and read the whole answer, or take it from the cache."""
        if self.cache is None:
            return await self._whole(request, model)
        question = self._question(request)
        kept = await self._recalled(question)
        if kept is not None:
            return kept
        reply = await self._whole(request, model)
        if question is not None:
            await in_thread_async(question.keep, reply)
        return reply

    async def _whole(self, request: Request, model: ModelRecord) -> Reply:
        asked = AskedChat(request, self.settings.endpoint, self.forms)

        def read(response: HttpResponse, answered: Answered) -> Reply:
            return read_reply(response.body, self._context(asked.request, model), answered, response.oddities)

        return await self._tried(
            partial(self._http, asked, stream=False), self.sender.send, read, asked=asked
        )

    async def streamed(
        self,
        request: Request,
        model: ModelRecord,
        done: Callable[[Reply], None] | None = None,
        fits: Callable[[Reply], bool] = lambda reply: True,
    ) -> AsyncStream:
        """Ask and open the answer as a stream; ``done`` is told its reply. One from the cache comes in one
        piece, and only what ``fits`` is kept there or taken from there."""
        question = self._question(request)
        kept = await self._recalled(question)
        if kept is not None and fits(kept):
            return AsyncStream(AsyncNoBytes(), KeptReader(kept, self._context(request, model)), done)

        def keep(reply: Reply) -> None:
            if question is not None and fits(reply):
                question.keep(reply)

        asked = AskedChat(request, self.settings.endpoint, self.forms)

        observed = self._observed(request)

        def read(stream: Any, answered: Answered) -> AsyncStream:
            reader = StreamReader(self._context(asked.request, model), answered, oddities=stream.oddities)
            return AsyncStream(stream, reader, done, observed.close, None if question is None else keep)

        make = partial(self._http, asked, stream=True)
        return await self._tried(make, self._open, read, asked=asked, observed=observed)

    async def extracted(
        self,
        request: Request,
        model: ModelRecord,
        schema: Schema[T],
        on_repeat: Callable[[Reply], bool] | None = None,
    ) -> Extraction[T]:
        """Ask for ``schema`` about the media of ``request``, once more where the answer does not fit.

        Args:
            on_repeat: called with a first reply that does not fit; False: it is not asked for once more.

        Raises:
            UnreadableAnswerError: the second answer does not fit either, or there is none; ``reply`` holds
                it.
            VisionPipeError: as for any call.
        """
        lang = self.settings.lang
        asked = with_schema(request, schema, model, lang)
        question = self._question(asked)
        kept = await self._recalled(question)
        if kept is not None and schema.fits(kept.text):
            return Extraction(*schema.read(kept.text), kept)
        found = await self._extracted(asked, model, schema, on_repeat)
        if question is not None:
            # Under the first question, also where the second one brought it.
            await in_thread_async(question.keep, found.reply)
        return found

    async def _extracted(
        self,
        asked: Request,
        model: ModelRecord,
        schema: Schema[T],
        on_repeat: Callable[[Reply], bool] | None,
    ) -> Extraction[T]:
        lang = self.settings.lang
        first = await self._whole(asked, model)
        try:
            return Extraction(*schema.read(first.text, cut_off=was_cut_off(first)), first)
        except MisfitError as misfit:
            if on_repeat is not None and not await in_thread_async(on_repeat, first):
                raise does_not_fit(misfit, first, answers=1) from misfit
            again = ask_again(asked, first.text, misfit, lang)
            note = Note("reasked", f"the first answer did not fit the schema: {misfit}")
        try:
            second = await self._whole(again, model)
        except AnswerError as error:
            raise after_the_first(error, first, note) from error.__cause__
        both = together(first, second, note)
        try:
            return Extraction(*schema.read(second.text, cut_off=was_cut_off(second)), both)
        except MisfitError as misfit:
            raise does_not_fit(misfit, both) from misfit

    def _question(self, request: Request) -> CachedQuestion | None:
        if self.cache is None:
            return None
        from visionpipe.client.cache import question_for

        return question_for(self.cache, request, self.settings)

    async def _recalled(self, question: CachedQuestion | None) -> Reply | None:
        return None if question is None else await in_thread_async(question.recall)

    async def service(
        self,
        make: Callable[[str], HttpRequest],
        read: Callable[[HttpResponse, Answered], T],
        *,
        policy: RetryPolicy | None = None,
    ) -> T:
        """Any other call of the service: ``make`` gives the request for a request id, ``read`` its value."""
        return await self._tried(make, self.sender.send, read, policy)

    async def saved(self, make: Callable[[str], HttpRequest], path: str) -> None:
        """Any call whose answer goes into a file, whole or not at all; begun anew where it breaks off."""

        async def save(request: HttpRequest) -> HttpResponse:
            stream = await self.sender.open(request)
            return await _save(stream, path)

        await self._tried(make, save, lambda response, answered: None)

    async def opened(self, make: Callable[[str], HttpRequest], read: Callable[[Any, Answered], T]) -> T:
        """Any call whose answer is a stream of events; ``read`` is given the stream."""
        return await self._tried(make, self._open, read)

    async def _tried(
        self,
        make: Callable[[str], HttpRequest],
        carry_out: Callable[[HttpRequest], Awaitable[Any]],
        read: Callable[[Any, Answered], T],
        policy: RetryPolicy | None = None,
        *,
        asked: AskedChat | None = None,
        observed: Observed | None = None,
    ) -> T:
        """Try until there is an answer or no sense in trying.

        Args:
            make: a request id -> the request.
            carry_out: a request -> an HttpResponse, or an open stream of status 2xx.
            read: what ``carry_out`` gave -> the value to return; may raise an AnswerError.
            policy: when to try again; default that of all calls.
            asked: the chat call that is made; where a refusal asks for another form, it is asked so at once.
            observed: who watches it, where it goes on after this; else it ends with this.

        Raises:
            VisionPipeError: the last attempt's error, with ``request_id`` and ``attempts`` set.
        """
        clock = self.clock
        servers = self.servers if asked is not None else None
        attempts = Attempts(policy or self.policy, clock())
        goes_on = observed is not None
        observed = observed or self._observed(asked.request if asked is not None else None)
        try:
            while True:
                server, url = 0, None
                if servers is not None and asked is not None:
                    server = await self._chosen(servers, asked.request)
                    url = servers.urls[server]
                this_id, sent = self.request_id(), clock()
                request = make(this_id)
                if servers is not None:
                    request = replace(request, server=server)
                    servers.begun(server)
                observed.begin(request.method, url)
                try:
                    result = await carry_out(request)
                    if isinstance(result, HttpResponse) and not 200 <= result.status < 300:
                        raise self._refusal(result, this_id, asked)
                    now = clock()
                    answer = read(result, attempts.answered(this_id, sent, now, url))
                except VisionPipeError as error:
                    billable, now = request.method == "POST", clock()
                    moves = servers is not None and servers.failed(server, error, sent)
                    moves = moves and attempts.moves < MOST_MOVES
                    wait = attempts.failed(
                        error, this_id, sent, now, billable=billable, server=url, moves=moves
                    )
                    if moves and self.server is not None:
                        # Whoever has chosen the server chooses the next one, too.
                        wait = None
                    mended = wait is None and asked is not None and asked.mend(error)
                    observed.ended(this_id, now - sent, error, 0.0 if mended else wait)
                    if mended or (moves and wait is not None):
                        continue
                    if wait is None:
                        raise
                else:
                    if servers is not None:
                        servers.answered(server, sent)
                    observed.ended(this_id, now - sent, None, None)
                    if not goes_on:
                        observed.close(answer if isinstance(answer, Reply) else None)
                    return answer
                finally:
                    if servers is not None:
                        servers.ended(server)
                await self.sleep(wait)
        except BaseException as error:
            observed.close(None, error)
            raise

    async def _chosen(self, servers: Servers, request: Request) -> int:
        """The server that is asked next; one that was left is looked at first, when it is time."""
        left = servers.due()
        if left is not None:
            there = False
            look = HttpRequest("GET", "/models", timeouts=LOOKING, server=left)
            try:
                there = (await self.sender.send(look)).status not in AWAY_STATUSES
            except VisionPipeError:
                pass  # still away
            finally:
                servers.looked(left, there=there)
        if self.server is not None:
            return self.server
        return servers.choose(prefix_of(request) if servers.sticky else None)

    def _observed(self, request: Request | None) -> Observed:
        return Observed(self.settings, request, self.on_attempt, self.clock)

    async def _open(self, request: HttpRequest) -> AsyncByteStream | HttpResponse:
        stream = await self.sender.open(request)
        return stream if 200 <= stream.status < 300 else await _read_refusal(stream)

    def _http(self, asked: AskedChat, request_id: str, *, stream: bool) -> HttpRequest:
        body = encode_chat(asked.request, asked.endpoint, request_id=request_id, stream=stream)
        address, headers = chat_path(asked.endpoint), asked.request.headers
        return HttpRequest("POST", address, body, headers, timeouts=self.timeouts)

    def _refusal(self, response: HttpResponse, request_id: str, asked: AskedChat | None) -> ServiceError:
        settings, endpoint = self.settings, self.settings.endpoint
        if asked is not None:
            endpoint = endpoint.with_headers(asked.request.headers)
        model = settings.model_named(asked.request.model if asked is not None else None)
        return read_error(response, endpoint, request_id=request_id, key=settings.api_key, model=model)

    def _context(self, request: Request, model: ModelRecord) -> ReadingContext:
        endpoint = self.settings.endpoint.with_headers(request.headers)
        return ReadingContext(request, model, endpoint, self.settings.api_key)


async def _read_refusal(stream: AsyncByteStream) -> HttpResponse:
    """The response outside 2xx that ``stream`` is, with as much of its words as there is; closes it."""
    body = bytearray()
    try:
        async for chunk in stream:
            body += chunk
            if len(body) >= MAX_REFUSAL_BYTES:
                break
    except AnswerError:
        pass  # what came is what there is; the status counts
    finally:
        await stream.close()
    return HttpResponse(stream.status, stream.headers, bytes(body))


async def _save(stream: AsyncByteStream, path: str) -> HttpResponse:
    """Write ``stream`` to ``path`` as it arrives, in constant memory, and close it; an answer outside 2xx is
    read and given back instead.

    Raises:
        OutputError: the file cannot be written.
        VisionPipeError: as reading the stream raises.
    """
    try:
        if not 200 <= stream.status < 300:
            return await _read_refusal(stream)
        target = Path(path)
        with whole_file(target, make_folder=False) as draft, output_errors(target), draft.open("wb") as file:
            async for chunk in stream:
                await in_thread_async(file.write, chunk)
        return HttpResponse(stream.status, stream.headers, b"")
    finally:
        await stream.close()


async def run_tools_async(calls: AsyncCalls, prepared: Prepared, limits: ToolLimits) -> ToolTurn:
    """Ask what was prepared, and run its functions until there is an answer.

    Raises:
        UnreadableAnswerError: the arguments of one function were broken twice in a row (code
            "tool_arguments"); ``reply`` holds what was done so far.
        AnswerError: the limits were reached (code "tool_limit"), or as for any call.
        VisionPipeError: as for any call; notes tell which functions had been run.
    """
    loop = ToolLoop(prepared, limits, calls.clock)
    try:
        while True:
            asked = loop.next_request()
            left = loop.left()
            bounded = calls.within(left) if prepared.functions else calls
            reply = await bounded.whole(asked, prepared.model)
            wanted = loop.take(reply)
            if not wanted:
                return loop.turn()
            for call in wanted:
                loop.left()
                chosen = loop.chosen(call)
                if chosen is not None:
                    called = await call_function_async(*chosen)
                    loop.run(call, called)
    except VisionPipeError as error:
        loop.complete_error(error)
        raise


async def poll_async(
    look: Callable[[], Awaitable[Looked[T]]],
    *,
    policy: PollPolicy,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
    deadline: float | None,
    late: Callable[[], VisionPipeError],
) -> T:
    """Ask until it is the end.

    Args:
        look: asks once.
        policy: how long to wait between.
        sleep, clock: waiting, and monotonic seconds.
        deadline: seconds from now after which ``late()`` is raised; None waits as long as it takes.
        late: the error for a deadline that has passed.
    """
    ends = await poll_all_async({None: look}, policy=policy, sleep=sleep, clock=clock, deadline=deadline)
    end = ends.get(None)
    if isinstance(end, VisionPipeError):
        raise end
    if end is None:
        raise late()
    return end.value


async def poll_all_async(
    looks: Mapping[K, Callable[[], Awaitable[Looked[T]]]],
    *,
    policy: PollPolicy,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
    deadline: float | None,
) -> dict[K, Looked[T] | VisionPipeError]:
    """Ask after several things in turn until all are at their end; arguments as for ``poll_async``.

    Returns:
        What became of each; those that were not at their end by the ``deadline`` are missing.

    Raises:
        VisionPipeError: of scope "job", at once; any other stands in the place of its thing's end.
    """
    polling: Polling[K, T] = Polling(looks, policy, clock(), deadline)
    while True:
        for key in polling.next_round():
            if not polling.is_due(key, clock()):
                continue
            looked: Looked[T] | VisionPipeError
            try:
                looked = await looks[key]()
            except VisionPipeError as error:
                looked = error
            polling.told(key, looked, clock())
        wait = polling.wait(clock())
        if wait is None:
            return polling.ends
        await sleep(wait)
