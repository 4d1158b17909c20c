"""What a request will cost, before it is sent: an estimate, with its source named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from visionpipe.errors import MediaLimitError
from visionpipe.media import Image, LinkedImage, Text, Video
from visionpipe.registry.estimates import estimate_cost, image_tokens, text_tokens, video_tokens
from visionpipe.registry.records import ModelRecord
from visionpipe.request import Message, Request
from visionpipe.values import JSON, Money


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and money a request is expected to take; the truth is in the reply's usage.

    ``prompt_tokens`` counts what can be counted; ``complete`` is False where the request holds media whose
    tokens are not known for this model (then the cost is a lower bound). ``output_tokens`` is the most the
    model may write, so ``cost`` is an upper bound for a complete estimate. ``source`` says where the
    arithmetic comes from.
    """

    prompt_tokens: int
    output_tokens: int
    complete: bool
    cost: Money | None
    source: str

    def to_json(self) -> dict[str, JSON]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "complete": self.complete,
            "cost": self.cost.to_json() if self.cost else None,
            "source": self.source,
        }


def estimate(request: Request, model: ModelRecord) -> Estimate:
    """Estimate ``request`` on ``model`` from its real dimensions and texts."""
    total, complete = tools_tokens(request.tools), True
    for message in request.messages:
        known, unknown = message_tokens(message, model)
        total += known
        complete = complete and not unknown
    output = request.parameters.max_tokens or model.default_output_tokens or 0
    return Estimate(
        prompt_tokens=total,
        output_tokens=output,
        complete=complete,
        cost=estimate_cost(total, output, model.prices),
        source=model.tokens.source or "no published figure for this model's media",
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a reply's usage taught about the estimates of one conversation.

    ``factor``: how many times more tokens the service counts than are estimated, at least 1. ``per_medium``:
    tokens of one image or clip whose tokens no formula gives.
    """

    factor: float = 1.0
    per_medium: int = 0

    def tokens(self, messages: Iterable[Message], model: ModelRecord) -> int:
        """The tokens of ``messages``, corrected."""
        counted = [message_tokens(message, model) for message in messages]
        known, unknown = (sum(figures) for figures in zip(*counted, strict=True)) if counted else (0, 0)
        return math.ceil(known * self.factor + unknown * self.per_medium)

    def after(self, known: int, unknown: int, counted: int | None) -> Calibration:
        """The calibration after one more reply.

        Args:
            known: tokens of the request as estimated.
            unknown: images and clips in it that were not estimated.
            counted: its tokens as the service counted them; None where it did not say.
        """
        if not counted or not known:
            return self
        if unknown:
            each = math.ceil((counted - known * self.factor) / unknown)
            # The most seen so far, since what estimates of text are over must not count against it.
            return replace(self, per_medium=max(self.per_medium, each))
        return replace(self, factor=max(1.0, counted / known))


def message_tokens(message: Message, model: ModelRecord) -> tuple[int, int]:
    """The tokens of one message, and how many of its media could not be counted."""
    known = unknown = 0
    for part in message.parts:
        tokens = _part_tokens(part, model)
        if tokens is None:
            unknown += 1
        else:
            known += tokens
    for call in message.tool_calls:
        known += text_tokens(f"{call.name} {call.arguments}")
    return known, unknown


def tools_tokens(tools: Sequence[Mapping[str, JSON]]) -> int:
    """The tokens of the tools offered, as the JSON text that the model reads."""
    return sum([text_tokens(orjson.dumps(tool).decode()) for tool in tools]) if tools else 0


def _part_tokens(part: object, model: ModelRecord) -> int | None:
    rules = model.tokens
    try:
        match part:
            case Text():
                return text_tokens(part.text)
            case Image():
                return image_tokens(*part.upright_size, rules)
            case Video():
                found = video_tokens(
                    part.frame_count, part.frame_rate, part.duration_s, part.width, part.height, rules
                )
                return found.tokens if found else None
            case LinkedImage() if rules.formula == "flat":
                return rules.flat
    except MediaLimitError as error:
        # The arithmetic knows no file.
        name = getattr(part, "name", None)
        raise MediaLimitError(error.reason, cure=error.cure, code=error.code, subject=name) from error
    return None
