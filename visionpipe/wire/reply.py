"""An answer's JSON -> Reply. What the model wrote is kept; what is not part of it is told apart.

An answer that cannot be used is an AnswerError with what there is of it, never an empty caption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from visionpipe.errors import (
    AnswerError,
    EmptyAnswerError,
    FilteredAnswerError,
    InterruptedAnswerError,
    UnreadableAnswerError,
)
from visionpipe.media import Image
from visionpipe.registry.dialects import Ending, dialects
from visionpipe.registry.estimates import estimate_cost
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.reply import Answered, Reply, Source
from visionpipe.request import Request, ToolCall
from visionpipe.values import ABSTAINED, Note, Usage
from visionpipe.wire.answers import UnreadableError, mended, read_beginning, read_json
from visionpipe.wire.errors import error_in, service_error
from visionpipe.wire.markup import strip_markup
from visionpipe.wire.secrets import masked
from visionpipe.wire.tool_calls import read_tool_calls

_LONGEST_SAYING = 500
_CUT_OFF = "it is cut off behind the answer's text, so how it ended is not known"
_MOST_TOKENS = 2**53
"""A number from here on, or below 0, is no count; a journal could not hold it."""


@dataclass(frozen=True, slots=True)
class ReadingContext:
    """What a reply needs to know beyond the answer itself."""

    request: Request
    model: ModelRecord
    endpoint: EndpointRecord
    key: str | None = field(default=None, repr=False)
    """The key that was sent, masked where an error quotes it."""


def read_reply(
    body: bytes, context: ReadingContext, answered: Answered, oddities: tuple[str, ...] = ()
) -> Reply:
    """Read a whole answer.

    Args:
        body: JSON. Of one that was cut off behind the answer's text, what is there is read, with a note.
        context: what was asked.
        answered: how.
        oddities: of the exchange; each becomes a note.

    Raises:
        UnreadableAnswerError: no JSON, or not the protocol's shape.
        InterruptedAnswerError: it was cut off inside the answer's text; ``reply`` holds what came.
        EmptyAnswerError, FilteredAnswerError: an answer without use.
        ServiceError: an error inside a response with status 200.
    """
    try:
        answer, damage = read_json(body)
    except UnreadableError as cause:
        answer, damage = (
            _beginning(body, context, answered, oddities),
            _CUT_OFF,
        )
        if answer is None:
            raise unreadable(_not_json(body, context), answered) from cause
    if damage:
        answer = mended(answer)
    if not isinstance(answer, dict):
        raise unreadable("the answer is no JSON object", answered)
    told = error_in(answer)
    if told is not None:
        raise service_error(
            *told,
            status=None,
            endpoint=context.endpoint,
            request_id=answered.request_id,
            key=context.key,
            model=context.model,
        )
    choice = first_choice(answer, answered)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise unreadable("the answer's first choice has no message", answered)
    calls, notes = read_tool_calls(message)
    found = (*oddities, damage) if damage else oddities
    notes = (*notes, *(Note("damaged", f"read as well as it can be: {what}") for what in found))
    return finish_reply(
        text=content_text(message.get("content")),
        reasoning=reasoning_text(message),
        refusal=content_text(message.get("refusal")),
        tool_calls=calls,
        notes=notes,
        finish_reason=str(choice.get("finish_reason") or ""),
        answer=answer,
        context=context,
        answered=answered,
    )


def _beginning(
    body: bytes, context: ReadingContext, answered: Answered, oddities: tuple[str, ...]
) -> Mapping[str, Any] | None:
    """The answer that was cut off behind its text; None where it is none.

    Raises:
        InterruptedAnswerError: it was cut off inside its text.
    """
    begun = read_beginning(body)
    if begun is None:
        return None
    whole, so_far = begun
    if content_text(_message(whole).get("content")):
        return whole
    text = content_text(_message(so_far).get("content"))
    if "choices" not in so_far:
        return None
    raise InterruptedAnswerError(
        f"the answer was cut off after {len(text)} characters of its text",
        cure="Try again; the service may have billed this request.",
        request_id=answered.request_id,
        reply=Reply(
            text=strip_markup(text).text,
            model=str(so_far.get("model") or context.model.id),
            request_id=answered.request_id,
            adjustments=context.request.adjustments,
            notes=tuple(Note("damaged", f"read as well as it can be: {what}") for what in oddities),
            attempts=answered.attempts,
            raw=so_far,
        ),
    )


def _message(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else {}


def _not_json(body: bytes, context: ReadingContext) -> str:
    """What came in place of JSON."""
    if not body.strip():
        return "the answer is empty"
    begins = body[:80].decode("utf-8", "replace")
    if context.key is not None:
        begins = masked(begins, [context.key])
    return f"the answer is no JSON (it begins with {begins!r})"


def finish_reply(
    *,
    text: str,
    reasoning: str,
    tool_calls: tuple[ToolCall, ...],
    finish_reason: str,
    answer: Mapping[str, Any],
    context: ReadingContext,
    answered: Answered,
    refusal: str = "",
    broken: str = "",
    notes: tuple[Note, ...] = (),
) -> Reply:
    """The last step of reading, alike for whole and streamed answers: tell markup from text, count the
    cost, and judge whether there is an answer at all. ``refusal``: the model's words in place of an answer,
    where the service tells them apart; ``broken``: how the connection ended behind a stream that was
    complete; ``notes``: what was found in reading before."""
    stripped = strip_markup(text)
    thought = "\n".join(filter(None, (reasoning, stripped.reasoning)))
    ending = dialects().ending(finish_reason)
    usage = read_usage(answer.get("usage"))
    local = context.endpoint.local
    reply = Reply(
        text=stripped.text,
        model=str(answer.get("model") or context.model.id),
        usage=usage,
        cost=None
        if usage is None
        else estimate_cost(
            usage.prompt_tokens, usage.completion_tokens, context.model.prices, usage.cached_tokens
        ),
        request_id=answered.request_id,
        finish_reason=finish_reason,
        reasoning=thought,
        tool_calls=tool_calls,
        adjustments=context.request.adjustments,
        notes=(
            *_notes(answer, stripped.removed, finish_reason if ending == "cut" else "", broken, local=local),
            *_without_sources(answer, context.request),
            *notes,
        ),
        attempts=answered.attempts,
        local=local,
        raw=answer,
        sources=read_sources(answer.get("web_search")),
        images=image_names(context.request),
    )
    problem = _problem(reply, ending, refusal)
    if problem is not None:
        raise problem
    return reply


def image_names(request: Request) -> tuple[str, ...]:
    """What the caller knows the images of the question by, each once."""
    parts = request.messages[-1].parts if request.messages else ()
    return tuple(dict.fromkeys([part.name for part in parts if isinstance(part, Image)]))


def _problem(reply: Reply, ending: Ending, refusal: str) -> AnswerError | None:
    """Why there is no answer; None where there is one."""
    if refusal.strip() or ending == "filtered":
        said = f"the model refused to answer (it says: {refusal.strip()[:_LONGEST_SAYING]})"
        return FilteredAnswerError(
            said
            if refusal.strip()
            else f"the service filtered the answer (finish_reason {reply.finish_reason})",
            cure="Leave this item out, or change the prompt.",
            request_id=reply.request_id,
            reply=reply,
        )
    if ending == "broken":
        why = _said_in_choice(reply.raw)
        return InterruptedAnswerError(
            f"the service broke off its answer (finish_reason {reply.finish_reason}{why})",
            cure="Try again.",
            request_id=reply.request_id,
            reply=reply,
        )
    if reply.text.strip() or reply.tool_calls:
        return None
    cut, thought = ending == "cut", len(reply.reasoning.strip())
    reason = "the model used up its output without writing an answer" if cut else "the model wrote no answer"
    if thought:
        only = f"the model wrote only its thinking ({thought:,} characters) and no answer"
        reason = f"{only}, and used up its output" if cut else only
    return EmptyAnswerError(
        reason,
        cure="Raise max_tokens, or turn thinking off."
        if cut or thought
        else "Try again, or change the prompt.",
        request_id=reply.request_id,
        retryable=not cut,
        reply=reply,
    )


def _said_in_choice(answer: Mapping[str, Any]) -> str:
    """What a gateway says beside a choice that its provider broke off."""
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    told = error_in(choice) if isinstance(choice, dict) and choice.get("error") else None
    return f"; the service says: {told.message[:_LONGEST_SAYING]}" if told and told.message else ""


def _notes(
    answer: Mapping[str, Any], removed: tuple[str, ...], cut: str, broken: str, *, local: bool
) -> list[Note]:
    """``cut``: the finish_reason of an answer that was cut off."""
    notes = []
    if local:
        notes.append(Note("local", "local analysis by the embedded engine; nothing left this machine"))
        own = answer.get("local")
        if isinstance(own, Mapping) and own.get("abstained"):
            notes.append(Note(ABSTAINED, str(own["abstained"])))
    if cut:
        notes.append(Note("truncated", f"cut off by the service (finish_reason {cut})"))
    if broken:
        notes.append(Note("stream_end", f"the answer is complete, but its stream was not closed: {broken}"))
    if removed:
        notes.append(Note("markup_removed", ", ".join(removed)))
    filtered = answer.get("content_filter")
    if isinstance(filtered, list):
        notes.extend(
            Note("content_filter", f"{entry.get('role')} at level {entry.get('level')} (0 is most severe)")
            for entry in filtered
            if isinstance(entry, dict)
        )
    return notes


def _without_sources(answer: Mapping[str, Any], request: Request) -> list[Note]:
    """An empty account, or a search that is down, answers all the same, without having searched."""
    if not request.tools:
        return []
    searches = [tool.get("web_search") for tool in request.tools if tool.get("type") == "web_search"]
    wanted = any(isinstance(search, dict) and search.get("search_result") for search in searches)
    if not wanted or read_sources(answer.get("web_search")):
        return []
    said = (
        "the web search gave no sources: nothing may have been searched (an empty account searches nothing)"
    )
    return [Note("no_sources", said)]


def content_text(content: Any) -> str:
    """Content as the service may give it: a string, null, or a list of text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def reasoning_text(message: Mapping[str, Any]) -> str:
    """A message's thinking, or that of a streamed piece of one: ``reasoning_content``, or ``reasoning`` as
    vLLM, Ollama and OpenRouter say. Where both stand there they hold the same."""
    first = message.get("reasoning_content")
    return (content_text(first) if first else "") or content_text(message.get("reasoning"))


def read_sources(found: Any) -> tuple[Source, ...]:
    """The pages of a web search, where the service returned them."""
    if not isinstance(found, list):
        return ()
    names = ("title", "link", "content", "media", "refer", "publish_date")
    return tuple(
        Source(**{name: str(entry.get(name) or "") for name in names})
        for entry in found
        if isinstance(entry, dict)
    )


def read_usage(usage: Any) -> Usage | None:
    """Token counts, where the service gave them."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        cached_tokens=_count(prompt, "cached_tokens") if prompt else 0,
        reasoning_tokens=_count(completion, "reasoning_tokens") if completion else 0,
    )


def _count(source: Any, name: str) -> int:
    value = source.get(name) if isinstance(source, dict) else None
    if type(value) is int:
        return value if 0 <= value < _MOST_TOKENS else 0
    if isinstance(value, bool) or not isinstance(value, float | str):
        return 0
    try:
        # Some servers count in floats, or in texts.
        number = float(value)
    except ValueError:
        return 0
    return round(number) if 0 <= number < _MOST_TOKENS else 0


def first_choice(answer: Mapping[str, Any], answered: Answered) -> Mapping[str, Any]:
    """The answer's one choice; UnreadableAnswerError where it has none."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise unreadable("the answer holds no choices", answered)
    return choices[0]


def unreadable(reason: str, answered: Answered) -> UnreadableAnswerError:
    """The error for an answer that is not the protocol's. A proxy or the sign-in page of a network gives such
    answers too, and goes away again, hence retryable."""
    return UnreadableAnswerError(
        reason,
        cure="Check that the base URL is that of a chat-completions API, not a web page or a proxy.",
        request_id=answered.request_id,
        retryable=True,
    )
