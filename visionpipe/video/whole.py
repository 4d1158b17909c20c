"""Asking a model that takes video about a clip, or its parts, as a whole, and reading what it says.

The model never decides a time. A time it names is checked against the duration and snapped to
the bounds that the container gave, and the span says so; one outside the clip is left out and noted.

The scenes' times are told to the model; times that it names itself are only used to find the
span it speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from visionpipe.media import Video
from visionpipe.reply import Reply
from visionpipe.values import Note
from visionpipe.video.options import Asker, WholeClip
from visionpipe.video.spans import SpanPlan
from visionpipe.video.timeline import Span
from visionpipe.video.wording import Language, about_video

_MOMENT = r"(?:\d{1,2}:)?\d{1,3}:\d{2}(?:[.,]\d{1,3})?|\d{1,5}(?:[.,]\d{1,3})?\s*s(?:ec(?:onds?)?)?\b"
_TIMED = re.compile(
    rf"^\W*(?P<first>{_MOMENT})(?:\W*(?:-|–|—|~|to|至|到|-->)\W*(?P<last>{_MOMENT}))?\W*(?P<text>\w.*)$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"^[\W_]*(?:scene|span|场景|片段)?\s*(?P<number>\d{1,4})\s*[.:：)）、-]\s*(?P<text>.*\w.*)$",
    re.IGNORECASE,
)
_TOLERANCE = Fraction(1)
_MARKS = " \t*_#>-–—:："


@dataclass(frozen=True, slots=True)
class Readings:
    """Words by span index, notes by span index, and notes on the answer as a whole."""

    texts: dict[int, str] = field(default_factory=dict)
    notes: dict[int, tuple[Note, ...]] = field(default_factory=dict)
    general: tuple[Note, ...] = ()


def read_answer(answer: str, spans: Sequence[SpanPlan], offset: Fraction = Fraction(0)) -> Readings:
    """Sorts a model's lines to the spans they speak of.

    Args:
        answer: lines such as ``2: A rabbit wakes.`` (2 is the second of ``spans``) or
            ``0:03-0:07 A rabbit wakes.``
        spans: in order; at least one.
        offset: where the clip that the model saw begins in the spans' time, in seconds.
    """
    texts: dict[int, list[str]] = {}
    notes: dict[int, list[Note]] = {}
    general: list[Note] = []
    for line in answer.splitlines():
        if timed := _TIMED.match(line):
            first = _seconds(timed["first"]) + offset
            last = _seconds(timed["last"]) + offset if timed["last"] else None
            hit = _snapped(first, last, spans)
            said = f"the model said {line[: timed.start('text')].strip(_MARKS)}"
            if not hit:
                general.append(Note("time_outside_clip", f"{said}, which is not in the clip; left out"))
            for span in hit:
                texts.setdefault(span.index, []).append(timed["text"].strip(_MARKS))
                detail = f"{said}; snapped to {span.start} to {span.end}"
                notes.setdefault(span.index, []).append(Note("time_snapped", detail))
        elif numbered := _NUMBERED.match(line):
            number = int(numbered["number"])
            if 1 <= number <= len(spans):
                texts.setdefault(spans[number - 1].index, []).append(numbered["text"].strip(_MARKS))
            else:
                general.append(Note("no_such_scene", f"the model spoke of a scene {number}; left out"))
    return Readings(
        {index: " ".join(lines) for index, lines in texts.items()},
        {index: tuple(found) for index, found in notes.items()},
        tuple(general),
    )


def _seconds(moment: str) -> Fraction:
    number = moment.replace(",", ".")
    if ":" not in number:
        return Fraction(re.sub(r"[^\d.]", "", number))
    total = Fraction(0)
    for part in number.split(":"):
        total = total * 60 + Fraction(part)
    return total


def _snapped(first: Fraction, last: Fraction | None, spans: Sequence[SpanPlan]) -> list[SpanPlan]:
    begin, end = spans[0].start.exact, spans[-1].end.exact
    until = first if last is None else last
    if not begin <= first <= end or until < first or until > end + _TOLERANCE:
        return []
    bounds = [begin, *(span.end.exact for span in spans)]
    low = min(range(len(bounds)), key=lambda i: abs(bounds[i] - first))
    high = min(range(len(bounds)), key=lambda i: abs(bounds[i] - until))
    if low < high:
        return list(spans[low:high])
    middle = min((first + until) / 2, end)
    return [next((s for s in spans if s.start.exact <= middle < s.end.exact), spans[-1])]


def tell_whole(
    plans: Sequence[SpanPlan], whole: WholeClip, ask: Asker, language: Language, notes: list[Note]
) -> Iterator[Span]:
    """Yields a span for each plan that the model said something of.

    Args:
        plans: in order, in the original's time.
        whole: the clip or its parts, and how they are sent.
        ask: who answers; asked once a part that holds one of the plans.
        language: of the prompt.
        notes: gets what was left out of the answers.

    Raises:
        VisionPipeError: whatever ``ask`` and ``deliver`` raise.
    """
    for part, own in _shared_out(plans, whole.parts):
        reply = ask(about_video(own, language, part.offset), (whole.deliver(part),))
        readings = read_answer(reply.text, own, part.offset.exact)
        notes += readings.general
        # One request told of several spans: what it used is booked on the first of them.
        booked: Reply | None = reply
        for plan in own:
            if plan.index in readings.texts:
                yield Span(
                    index=plan.index,
                    scene=plan.scene,
                    start=plan.start,
                    end=plan.end,
                    text=readings.texts[plan.index],
                    seen_by="video",
                    model=reply.model,
                    local=reply.local,
                    usage=booked.usage if booked else None,
                    cost=booked.cost if booked else None,
                    adjustments=reply.adjustments,
                    notes=(*reply.notes, *readings.notes.get(plan.index, ())),
                )
                booked = None


def _shared_out(
    plans: Sequence[SpanPlan], parts: Sequence[Video]
) -> Iterator[tuple[Video, Sequence[SpanPlan]]]:
    """Each part with the spans whose middle lies in it; spans past every part belong to the last one."""
    ends = [part.offset.exact + part.duration.exact for part in parts]
    shares: list[list[SpanPlan]] = [[] for _ in parts]
    for plan in plans:
        middle = (plan.start.exact + plan.end.exact) / 2
        home = next((i for i, end in enumerate(ends) if middle < end), len(parts) - 1)
        shares[home].append(plan)
    yield from ((part, share) for part, share in zip(parts, shares, strict=True) if share)
