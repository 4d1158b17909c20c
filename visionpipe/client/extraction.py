"""Structured data as a call: ask, read, ask once more with what was wrong, or fail with the reason."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, TypeVar

from visionpipe.client.calls import Calls
from visionpipe.client.preparation import Prepared
from visionpipe.errors import AnswerError
from visionpipe.prompts.presets import Language
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply
from visionpipe.request import Request
from visionpipe.stages.exchange import Effect
from visionpipe.stages.extraction import (
    Extraction,
    Schema,
    ask_again,
    does_not_fit,
    was_cut_off,
    with_schema,
)
from visionpipe.stages.schema import MisfitError
from visionpipe.values import Note

T = TypeVar("T")

EXTRACTION_PROMPT = {
    "en": "Extract from what you see exactly the data asked for.",
    "zh": "请从画面中准确提取所要求的数据。",
}


def asked_for(prepared: Prepared, schema: Schema[Any], lang: Language) -> Prepared:
    """The prepared question, asking for ``schema``."""
    request = with_schema(prepared.single("extraction"), schema, prepared.model, lang)
    return replace(prepared, requests=(request,))


def extract_call(
    calls: Calls,
    request: Request,
    model: ModelRecord,
    schema: Schema[T],
    on_repeat: Callable[[Reply], bool] | None = None,
) -> Generator[Effect, Any, Extraction[T]]:
    """Ask for ``schema`` about the media of ``request``.

    Args:
        on_repeat: called with a first reply that does not fit; False: it is not asked for once more.

    Raises:
        UnreadableAnswerError: the second answer does not fit either, or there is none; ``reply`` holds it.
        VisionPipeError: as for any call.
    """
    lang = calls.settings.lang
    asked = with_schema(request, schema, model, lang)
    reply = yield from calls.whole(asked, model)
    try:
        return Extraction(*schema.read(reply.text, cut_off=was_cut_off(reply)), reply)
    except MisfitError as misfit:
        if on_repeat is not None and not on_repeat(reply):
            raise does_not_fit(misfit, reply, answers=1) from misfit
        first, again = reply, ask_again(asked, reply.text, misfit, lang)
        note = Note("reasked", f"the first answer did not fit the schema: {misfit}")
    try:
        second = yield from calls.whole(again, model)
    except AnswerError as error:
        raise replace_reply(error, first, note) from error.__cause__
    both = _together(first, second, note)
    try:
        return Extraction(*schema.read(second.text, cut_off=was_cut_off(second)), both)
    except MisfitError as misfit:
        raise does_not_fit(misfit, both) from misfit


def replace_reply(error: AnswerError, first: Reply, note: Note) -> AnswerError:
    """The second answer's error, with what the first one cost."""
    if error.reply is not None:
        error.reply = _together(first, error.reply, note)
    return error


def _together(first: Reply, second: Reply, note: Note) -> Reply:
    usage = first.usage + second.usage if first.usage and second.usage else None
    cost = first.cost + second.cost if first.cost and second.cost else None
    return replace(
        second,
        usage=usage,
        cost=cost,
        notes=(note, *second.notes),
        attempts=(*first.attempts, *second.attempts),
    )
