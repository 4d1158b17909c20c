"""How many tokens media, texts and requests will take, and what they cost: estimates, from what is published.

An estimate names its source and is never zero; where nothing is published the answer is None.
The truth is in a reply's usage.

The "patch28" formula is the arithmetic of the published processor of GLM-4.1V, 4.5V and 4.6V
(transformers 5.23): 28 x 28 px a token, one frame pair at a time, within a pixel budget for all frames
together. An image counts as two equal frames.

An amount is given only where one price holds for certain. Input from the service's cache has its own price
where the catalog knows one, and else that of other input, so the bill may be lower.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from visionpipe.errors import MediaLimitError
from visionpipe.media import Image, LinkedImage, Text, Video
from visionpipe.request import Message, Request
from visionpipe.values import JSON, Money

if TYPE_CHECKING:
    from visionpipe.registry.records import ModelRecord, Price, TokenRules

_PATCH = 28
_STEEPEST = 200
_FRAMES_PER_SECOND = 2
_LONGEST_S = 300
_MOST_FRAMES = _FRAMES_PER_SECOND * _LONGEST_S

# Han, kana, hangul, and the punctuation that goes with them.
_EAST_ASIAN = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_WORD = re.compile(r"\w+")
_SIGN = re.compile(r"[^\w\s\x00-\x7f]")
# A run of letters or digits longer than this is several words' worth (a link, a key, a language that
# writes no spaces).
_WORD_LENGTH = 12


@dataclass(frozen=True, slots=True)
class VideoTokens:
    """What a clip becomes: frames looked at, the size in pixels they are brought to, tokens in all."""

    sampled_frames: int
    resized_width: int
    resized_height: int
    tokens: int


def image_tokens(width: int, height: int, rules: TokenRules) -> int | None:
    """The tokens an image of ``width`` x ``height`` pixels (upright) takes.

    Returns:
        The estimate; None where no figure is published for the model.

    Raises:
        MediaLimitError: one side is more than 200 times the other, which the processor refuses.
    """
    if rules.formula == "flat":
        return rules.flat
    resized_width, resized_height = _resized(2, width, height, rules.shortest_edge_px, rules.longest_edge_px)
    return _tokens(2, resized_width, resized_height)


def video_tokens(
    total_frames: int, fps: float, duration_s: float, width: int, height: int, rules: TokenRules
) -> VideoTokens | None:
    """The frames and tokens a clip takes.

    Args:
        total_frames: frames in the file.
        fps: frames a second of the file.
        duration_s: its length in seconds.
        width: pixels as shown.
        height: pixels as shown.
        rules: the model's formula and pixel budget.

    Returns:
        The estimate; None where no figure is published for the model's videos.

    Raises:
        MediaLimitError: one side is more than 200 times the other, which the processor refuses.
    """
    if rules.formula == "flat":
        return None
    frames = len(_sampled(total_frames, fps, duration_s))
    frames += frames % 2
    shortest, longest = rules.shortest_edge_px, rules.video_longest_edge_px
    resized_width, resized_height = _resized(frames, width, height, shortest, longest)
    return VideoTokens(frames, resized_width, resized_height, _tokens(frames, resized_width, resized_height))


@lru_cache(maxsize=16)
def text_tokens(text: str) -> int:
    """The tokens a text takes, by the platform's rule of thumb: a token is 0.75 of an English word or 1.5
    Chinese characters (docs.bigmodel.cn, late 2025 and 2026-09). At least 1 for a text that says anything.
    """
    # The last few are kept: a job asks the same about each of its images.
    east_asian = len(_EAST_ASIAN.findall(text))
    rest = _EAST_ASIAN.sub(" ", text)
    words = len(_SIGN.findall(rest))
    for word in _WORD.findall(rest):
        words += -(-len(word) // _WORD_LENGTH)
    # ceil(words / 0.75 + east_asian / 1.5), in whole numbers.
    return max(-(-(4 * words + 2 * east_asian) // 3), 1 if text.strip() else 0)


def _sampled(total_frames: int, fps: float, duration_s: float) -> set[int]:
    """The frames looked at: two a second up to 300 s, beyond that 600 spread evenly over the clip."""
    last = max(total_frames - 1, 0)
    if duration_s <= _LONGEST_S:
        count = max(math.floor(duration_s * _FRAMES_PER_SECOND), 1)
        return {min(last, math.ceil(k * fps / _FRAMES_PER_SECOND)) for k in range(count)}
    if total_frames <= _MOST_FRAMES:
        return set(range(total_frames)) or {0}
    step = duration_s / (_MOST_FRAMES - 1)
    return {min(last, math.ceil(k * step * fps)) for k in range(_MOST_FRAMES)}


def _resized(
    frames: int, width: int, height: int, shortest_edge_px: int, longest_edge_px: int
) -> tuple[int, int]:
    """(width, height) in pixels after the processor's own scaling of ``frames`` frames."""
    if width < 1 or height < 1:
        raise MediaLimitError(
            f"{width}x{height} px is no picture", cure="Check where the size comes from.", code="pixels"
        )
    given = f"{width}x{height} px"
    if width < _PATCH or height < _PATCH:
        scale = max(_PATCH / width, _PATCH / height)
        width, height = int(width * scale), int(height * scale)
    if max(width, height) / min(width, height) > _STEEPEST:
        raise MediaLimitError(
            f"one side is more than {_STEEPEST} times the other ({given})",
            cure="Cut it into pieces first.",
            code="ratio",
        )
    wide, high = max(round(width / _PATCH), 1) * _PATCH, max(round(height / _PATCH), 1) * _PATCH
    pixels = frames * width * height
    if frames * wide * high > longest_edge_px:
        beta = math.sqrt(pixels / longest_edge_px)
        wide, high = (max(_PATCH, math.floor(side / beta / _PATCH) * _PATCH) for side in (width, height))
    elif frames * wide * high < shortest_edge_px:
        beta = math.sqrt(shortest_edge_px / pixels)
        wide, high = (math.ceil(side * beta / _PATCH) * _PATCH for side in (width, height))
    return wide, high


def _tokens(frames: int, width: int, height: int) -> int:
    return frames // 2 * (width // _PATCH) * (height // _PATCH)


_MILLION = Decimal(1_000_000)


def price_for(prompt_tokens: int, prices: Sequence[Price]) -> Price | None:
    """The price whose tier a prompt of ``prompt_tokens`` falls in; None beyond the last tier, or where
    services with different currencies are mixed (look the model up with its endpoint)."""
    chosen, lowest = None, math.inf
    for price in prices:
        if price.currency != prices[0].currency:
            return None
        tier = price.up_to_prompt_tokens or math.inf
        if prompt_tokens <= tier and (chosen is None or tier < lowest):
            chosen, lowest = price, tier
    return chosen


def estimate_cost(
    prompt_tokens: int, completion_tokens: int, prices: Sequence[Price], cached_tokens: int = 0
) -> Money | None:
    """What a call costs.

    Args:
        prompt_tokens: all input, images included; it chooses the tier.
        completion_tokens: all output, thinking included.
        prices: a model's, for one endpoint.
        cached_tokens: of the input, those that the service took from its cache.

    Returns:
        The amount in the price's currency; None where no price is known.
    """
    price = price_for(prompt_tokens, prices)
    if price is None:
        return None
    cached = 0 if price.cached is None else min(cached_tokens, prompt_tokens)
    paid = (prompt_tokens - cached) * price.input + cached * (price.cached or 0)
    amount = (paid + completion_tokens * price.output) / _MILLION
    return Money(amount, price.currency)


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
