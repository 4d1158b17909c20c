"""What a fault makes of an answer or of a stream's frames; values in, values out.

Here are the faults in the content: a finish_reason, markup, frames left out or put in. Those of the
connection are in the delivery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from visionpipe.sandbox.answers import Answer
from visionpipe.sandbox.replies import Dialect, Refusal, error_body
from visionpipe.sandbox.scenario import BodyFault, Fault, FinishFault, MarkupFault, ShapeFault, StreamFault
from visionpipe.sandbox.shapes import shaped

DONE = b"data: [DONE]\n\n"

_MARKUP = {
    "box": "<|begin_of_box|>{}<|end_of_box|>",
    "think": "<think>I look closely.</think>\n{}",
    "answer": "<think>I look closely.</think><answer>{}</answer>",
}


def alter(answer: Answer, fault: Fault | None) -> Answer:
    """The answer as the fault wants it; the same answer where the fault is of another sort."""
    match fault:
        case FinishFault():
            return replace(answer, text=fault.text, finish_reason=fault.reason, tool_calls=())
        case MarkupFault(form="parts"):
            return replace(answer, as_parts=True)
        case MarkupFault():
            return replace(answer, text=_MARKUP[fault.form].format(answer.text))
    return answer


def alter_document(document: Any, fault: Fault | None) -> Any:
    """A whole answer's JSON without its choices or usage, where the fault says so."""
    match fault:
        case BodyFault(form="empty_choices"):
            return {**document, "choices": []}
        case BodyFault(form="no_usage"):
            return {name: value for name, value in document.items() if name != "usage"}
        case BodyFault(form="error_frame"):
            return error_body(Refusal(fault.code), Dialect.GLM)
        case ShapeFault():
            return shaped(document, fault.form)
    return document


def frames(events: Sequence[Mapping[str, Any]], fault: Fault | None) -> list[bytes]:
    """A stream's frames as bytes, each with its blank line, ``[DONE]`` last, as the fault leaves them."""
    documents = list(events)
    half = max(1, len(documents) // 2)
    done, blank = [DONE], b"\n\n"
    match fault:
        case BodyFault(form="empty_choices"):
            documents = [{**document, "choices": []} for document in documents]
        case BodyFault(form="no_usage"):
            documents = [{k: v for k, v in d.items() if k != "usage"} for d in documents]
        case BodyFault(form="error_frame"):
            documents, done = [*documents[:half], error_body(Refusal(fault.code), Dialect.GLM)], []
        case ShapeFault():
            documents = [shaped(document, fault.form) for document in documents]
        case StreamFault(form="no_done"):
            done = []
        case StreamFault(form="no_blank_lines"):
            blank, done = b"\n", [b"data: [DONE]\n"]
        case StreamFault(form="cut" | "stall"):
            documents, done = documents[:half], []
        case StreamFault(form="endless"):
            documents, done = documents[:-1], []
    written = [b"data: " + orjson.dumps(document) + blank for document in documents]
    if isinstance(fault, BodyFault) and fault.form == "invalid_json":
        written[half - 1] = written[half - 1][: len(written[half - 1]) // 2] + blank
    return written + done
