"""Reading what a video model says of a whole clip: numbered lines, or lines with times of its own.

The rule: the model never decides a time. A time it names is checked against the duration and snapped to
the bounds that the container gave, and the span says so; one outside the clip is left out and noted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from visionpipe.values import Note
from visionpipe.video.spans import SpanPlan

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
