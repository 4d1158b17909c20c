"""The tool loop's decisions: ask, run the function the model asks for, tell it the result, until it answers.

The loop ends, by rounds or by time. Broken arguments are asked for once more, what a function
raises is told to the model, and both stand in the reply's ``tool_results`` and notes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from visionpipe.client.preparation import Prepared
from visionpipe.client.threads import Called
from visionpipe.errors import AnswerError, ParameterError, UnreadableAnswerError, VisionPipeError
from visionpipe.media import Text
from visionpipe.registry.estimates import estimate
from visionpipe.reply import Reply, ToolResult, merge_replies
from visionpipe.request import Message, Request, ToolCall
from visionpipe.stages.check import check_context
from visionpipe.stages.tools import ArgumentsError, read_arguments, result_text
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
class ToolTurn:
    """How one turn went: the reply, everything said after the user's message, and the tokens of the first
    request as the service counted them."""

    reply: Reply
    messages: tuple[Message, ...]
    prompt_tokens: int | None = None


def check_functions(prepared: Prepared) -> None:
    """Raise ParameterError for a function that the blocking client cannot run."""
    _check_functions(prepared, awaited=False)


def check_functions_async(prepared: Prepared) -> None:
    """Raise ParameterError for a function that the asyncio client cannot run."""
    _check_functions(prepared, awaited=True)


def _check_functions(prepared: Prepared, *, awaited: bool) -> None:
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


class ToolLoop:
    """Where a tool loop stands: what was said, run and noted, and what comes next.

    Args:
        prepared: the question, with the functions.
        limits: rounds and seconds.
        clock: monotonic seconds.
    """

    def __init__(self, prepared: Prepared, limits: ToolLimits, clock: Callable[[], float]) -> None:
        self._prepared = prepared
        self._request = prepared.single("tool loop")
        self._limits = limits
        self._clock = clock
        self._end = clock() + limits.seconds
        self._said: list[Message] = []
        self._replies: list[Reply] = []
        self._results: list[ToolResult] = []
        self._notes: list[Note] = []
        self._broken: dict[str, int] = {}
        # What one answer calls with broken arguments was written before the model was told, and counts once.
        self._broken_now: set[str] = set()

    def next_request(self) -> Request:
        """The question with all that was said since.

        Raises:
            ContextLimitError: it has become more than the model can read.
        """
        asked = replace(self._request, messages=(*self._request.messages, *self._said))
        if self._replies:
            model = self._prepared.model
            check_context(asked, estimate(asked, model), model)
        return asked

    def left(self) -> float:
        """Seconds that are left. Raises AnswerError (code "tool_limit") where there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise _limit(f"no answer after {self._limits.seconds:g} seconds", None)
        return left

    def take(self, reply: Reply) -> tuple[ToolCall, ...]:
        """Keep a reply; the functions that it asks for, none where it is the answer.

        Raises:
            AnswerError: the model has asked for functions too often (code "tool_limit").
        """
        calls = reply.tool_calls if self._prepared.functions else ()
        if calls and len(self._replies) == self._limits.rounds:
            raise _limit(f"the model still asks for functions after {self._limits.rounds} rounds", reply)
        self._replies.append(reply)
        self._said.append(_assistant(reply))
        self._broken_now.clear()
        return calls

    def turn(self) -> ToolTurn:
        """How the turn went, once there is an answer."""
        first = self._replies[0].usage
        prompt_tokens = first.prompt_tokens if first else None
        return ToolTurn(self._joined(self._replies), tuple(self._said), prompt_tokens)

    def chosen(self, call: ToolCall) -> tuple[Callable[..., Any], dict[str, Any]] | None:
        """The function and the arguments that ``call`` means; None where they are asked for once more.

        Raises:
            UnreadableAnswerError: they were broken twice in a row (code "tool_arguments").
        """
        tool = next((tool for tool in self._prepared.functions if tool.name == call.name), None)
        try:
            if tool is None or tool.function is None:
                known = ", ".join(tool.name for tool in self._prepared.functions)
                raise ArgumentsError(f"there is no function {call.name!r}, only {known}")
            arguments = tool.arguments(call.arguments)
        except ArgumentsError as error:
            self._tell(call, self._asked_again(call, error))
            return None
        if call.name not in self._broken_now:
            self._broken.pop(call.name, None)
        return tool.function, arguments

    def run(self, call: ToolCall, called: Called) -> None:
        """The function of ``call`` was run; the model will be told what came of it."""
        self._tell(call, self._result(call, called))

    def complete_error(self, error: VisionPipeError) -> None:
        """Tell an error that ends the loop what had been done."""
        if isinstance(error, AnswerError):
            replies = [*self._replies, *([error.reply] if error.reply else [])]
            error.reply = self._joined(replies) if replies else None
        elif self._results:
            error.add_note(f"Functions run before: {', '.join(result.name for result in self._results)}.")

    def _joined(self, replies: Sequence[Reply]) -> Reply:
        """The last reply with what all of them cost."""
        merged = merge_replies(replies)
        return replace(
            merged,
            text=replies[-1].text,
            notes=(*self._notes, *merged.notes),
            tool_results=tuple(self._results),
        )

    def _tell(self, call: ToolCall, result: ToolResult) -> None:
        self._results.append(result)
        self._said.append(Message("tool", (Text(result.output),), tool_call_id=call.id))

    def _asked_again(self, call: ToolCall, error: ArgumentsError) -> ToolResult:
        reason = str(error)
        if call.name not in self._broken_now:
            self._broken_now.add(call.name)
            self._broken[call.name] = self._broken.get(call.name, 0) + 1
        self._notes.append(Note("tool_arguments", f"{call.name}: {reason}"))
        if self._broken[call.name] > 1:
            self._results.append(ToolResult(call.name, call.arguments, "", reason))
            raise UnreadableAnswerError(
                f"the model asked for it twice with arguments that cannot be used: {reason}",
                cure="Describe the function and its parameters better, or use another model.",
                subject=call.name,
                code="tool_arguments",
            )
        output = f"Not called: {reason}. You wrote: {call.arguments}\nCall it again with correct arguments."
        return ToolResult(call.name, call.arguments, output, reason)

    def _result(self, call: ToolCall, called: Called) -> ToolResult:
        raised: Exception | None = called.exception
        if raised is None:
            try:
                return ToolResult(call.name, call.arguments, result_text(called.value))
            except ValueError as error:
                raised = error
        reason = f"{type(raised).__name__}: {raised}"
        self._notes.append(Note("tool_failed", f"{call.name}: {reason}"))
        return ToolResult(call.name, call.arguments, f"The function failed: {reason}", reason, raised)


def _assistant(reply: Reply) -> Message:
    parts = (Text(reply.text),) if reply.text.strip() else ()
    return Message("assistant", parts, tool_calls=tuple(_echoed(call) for call in reply.tool_calls))


def _echoed(call: ToolCall) -> ToolCall:
    """The call as it is sent back: servers that parse the arguments again fail at broken ones, which the
    function's message quotes instead."""
    try:
        given = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        given = None
    if isinstance(given, dict):
        return call
    try:
        return replace(call, arguments=json.dumps(read_arguments(call.arguments), default=str))
    except ArgumentsError:
        return replace(call, arguments="{}")


def _limit(reason: str, reply: Reply | None) -> AnswerError:
    return AnswerError(
        reason,
        cure="Raise the limits, or ask for less at once.",
        code="tool_limit",
        reply=reply,
    )
