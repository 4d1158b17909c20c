"""The tool loop: ask, run the function the model asks for, tell it the result, until it answers.

The loop ends, by rounds or by time. Broken arguments are asked for once more, what a function
raises is told to the model, and both stand in the reply's ``tool_results`` and notes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from visionpipe.client.calls import Calls
from visionpipe.client.preparation import Prepared
from visionpipe.errors import AnswerError, ParameterError, UnreadableAnswerError, VisionPipeError
from visionpipe.media import Text
from visionpipe.reply import Reply, ToolResult
from visionpipe.request import Message, ToolCall
from visionpipe.stages.check import check_context
from visionpipe.stages.estimate import estimate
from visionpipe.stages.exchange import Effect, Invoke
from visionpipe.stages.fit import merge_replies
from visionpipe.stages.function_tool import ArgumentsError, FunctionTool, result_text
from visionpipe.values import Note


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """When a tool loop ends without an answer.

    Attributes:
        rounds: how often the model may ask for functions.
        seconds: for the whole loop. Looked at before each request and each function; a function that runs
            is not stopped.
    """

    rounds: int = 8
    seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.seconds <= 0:
            raise ParameterError("below 1 round or 0 seconds", cure="Allow some.", subject="limits")


@dataclass(frozen=True, slots=True)
class Exchange:
    """How one turn went: the reply, everything said after the user's message, and the tokens of the first
    request as the service counted them."""

    reply: Reply
    messages: tuple[Message, ...]
    prompt_tokens: int | None = None


def check_functions(prepared: Prepared, *, awaited: bool) -> None:
    """Raise ParameterError for a function that cannot be run here.

    Args:
        prepared: with the functions.
        awaited: whether asynchronous ones can be run.
    """
    for tool in prepared.functions:
        if tool.function is None:
            raise ParameterError(
                "there is no function behind it", cure="Give one, or use ask and run it.", subject=tool.name
            )
        if tool.asynchronous and not awaited:
            raise ParameterError(
                "the function is asynchronous",
                cure="Use AsyncClient, or a plain function.",
                subject=tool.name,
            )


def tool_loop(calls: Calls, prepared: Prepared, limits: ToolLimits) -> Generator[Effect, Any, Exchange]:
    """Ask what was prepared, and run its functions until there is an answer.

    Raises:
        UnreadableAnswerError: the arguments of one function were broken twice in a row (code
            "tool_arguments"); ``reply`` holds what was done so far.
        AnswerError: the limits were reached (code "tool_limit"), or as for any call.
        VisionPipeError: as for any call; notes tell which functions had been run.
    """
    loop = _Loop(calls, prepared, limits)
    try:
        return (yield from loop.run())
    except AnswerError as error:
        replies = [*loop.replies, *([error.reply] if error.reply else [])]
        error.reply = loop.joined(replies) if replies else None
        raise
    except VisionPipeError as error:
        if loop.results:
            error.add_note(f"Functions run before: {', '.join(result.name for result in loop.results)}.")
        raise


@dataclass(slots=True)
class _Loop:
    calls: Calls
    prepared: Prepared
    limits: ToolLimits
    replies: list[Reply] = field(default_factory=list)
    results: list[ToolResult] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)

    def run(self) -> Generator[Effect, Any, Exchange]:
        request, model = self.prepared.single("tool loop"), self.prepared.model
        said: list[Message] = []
        end = self.calls.clock() + self.limits.seconds
        while True:
            asked = replace(request, messages=(*request.messages, *said))
            if self.replies:
                check_context(asked, estimate(asked, model), model)
            left = self._left(end)
            reply = yield from (self.calls.within(left) if self.prepared.functions else self.calls).whole(
                asked, model
            )
            if not reply.tool_calls or not self.prepared.functions:
                said.append(_assistant(reply))
                self.replies.append(reply)
                first = self.replies[0].usage
                return Exchange(
                    self.joined(self.replies), tuple(said), first.prompt_tokens if first else None
                )
            if len(self.replies) == self.limits.rounds:
                raise _limit(f"the model still asks for functions after {self.limits.rounds} rounds", reply)
            self.replies.append(reply)
            said.append(_assistant(reply))
            for call in reply.tool_calls:
                self._left(end)
                result = yield from self._run(call)
                self.results.append(result)
                said.append(Message("tool", (Text(result.output),), tool_call_id=call.id))

    def joined(self, replies: Sequence[Reply]) -> Reply:
        """The last reply with what all of them cost."""
        merged = merge_replies(replies)
        return replace(
            merged,
            text=replies[-1].text,
            notes=(*self.notes, *merged.notes),
            tool_results=tuple(self.results),
        )

    def _left(self, end: float) -> float:
        left = end - self.calls.clock()
        if left <= 0:
            raise _limit(f"no answer after {self.limits.seconds:g} seconds", None)
        return left

    def _run(self, call: ToolCall) -> Generator[Effect, Any, ToolResult]:
        tool = next((tool for tool in self.prepared.functions if tool.name == call.name), None)
        try:
            if tool is None or tool.function is None:
                known = ", ".join(tool.name for tool in self.prepared.functions)
                raise ArgumentsError(f"there is no function {call.name!r}, only {known}")
            arguments = tool.arguments(call.arguments)
        except ArgumentsError as error:
            return self._asked_again(call, error)
        self.broken.pop(call.name, None)
        return (yield from self._called(tool, call, arguments))

    def _asked_again(self, call: ToolCall, error: ArgumentsError) -> ToolResult:
        reason = str(error)
        self.broken[call.name] = self.broken.get(call.name, 0) + 1
        self.notes.append(Note("tool_arguments", f"{call.name}: {reason}"))
        if self.broken[call.name] > 1:
            self.results.append(ToolResult(call.name, call.arguments, "", reason))
            raise UnreadableAnswerError(
                f"the model asked for it twice with arguments that cannot be used: {reason}",
                cure="Describe the function and its parameters better, or use another model.",
                subject=call.name,
                code="tool_arguments",
            )
        output = f"Not called: {reason}. You wrote: {call.arguments}\nCall it again with correct arguments."
        return ToolResult(call.name, call.arguments, output, reason)

    def _called(
        self, tool: FunctionTool, call: ToolCall, arguments: dict[str, Any]
    ) -> Generator[Effect, Any, ToolResult]:
        assert tool.function is not None, "checked before"
        invoked = yield Invoke(tool.function, arguments)
        raised: Exception | None = invoked.exception
        if raised is None:
            try:
                return ToolResult(call.name, call.arguments, result_text(invoked.value))
            except ValueError as error:
                raised = error
        reason = f"{type(raised).__name__}: {raised}"
        self.notes.append(Note("tool_failed", f"{call.name}: {reason}"))
        return ToolResult(call.name, call.arguments, f"The function failed: {reason}", reason, raised)


def _assistant(reply: Reply) -> Message:
    parts = (Text(reply.text),) if reply.text.strip() else ()
    return Message("assistant", parts, tool_calls=tuple(_echoed(call) for call in reply.tool_calls))


def _echoed(call: ToolCall) -> ToolCall:
    """The call as it is sent back: servers that parse the arguments again fail at broken ones, which the
    function's message quotes instead."""
    try:
        orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return replace(call, arguments="{}")
    return call


def _limit(reason: str, reply: Reply | None) -> AnswerError:
    return AnswerError(
        reason,
        cure="Raise the limits, or ask for less at once.",
        code="tool_limit",
        reply=reply,
    )
