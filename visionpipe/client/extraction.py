"""What is asked where structured data is wanted, and what two answers to it cost together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from visionpipe.client.preparation import Prepared
from visionpipe.errors import AnswerError
from visionpipe.prompts.presets import Language
from visionpipe.reply import Reply
from visionpipe.stages.extraction import Schema, with_schema
from visionpipe.values import Note

EXTRACTION_PROMPT = {
    "en": "Extract from what you see exactly the data asked for.",
    "zh": "请从画面中准确提取所要求的数据。",
}


def asked_for(prepared: Prepared, schema: Schema[Any], lang: Language) -> Prepared:
    """The prepared question, asking for ``schema``."""
    request = with_schema(prepared.single("extraction"), schema, prepared.model, lang)
    return replace(prepared, requests=(request,))


def after_the_first(error: AnswerError, first: Reply, note: Note) -> AnswerError:
    """The second answer's error, with what the first one cost."""
    if error.reply is not None:
        error.reply = together(first, error.reply, note)
    return error


def together(first: Reply, second: Reply, note: Note) -> Reply:
    """The second reply with what both of them cost."""
    usage = first.usage + second.usage if first.usage and second.usage else None
    cost = first.cost + second.cost if first.cost and second.cost else None
    return replace(
        second,
        usage=usage,
        cost=cost,
        notes=(note, *second.notes),
        attempts=(*first.attempts, *second.attempts),
    )
