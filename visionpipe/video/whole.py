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
from visionpipe.prompts.presets import Language
from visionpipe.reply import Reply
from visionpipe.values import Note
from visionpipe.video.question import about_video
from visionpipe.video.spans import Asker, SpanPlan, WholeClip
from visionpipe.video.timeline import Span

_MOMENT = r"(?:(?:\d{1,2}:)?\d{1,3}:\d{2}(?:[.,]\d{1,3})?|\d{1,5}(?:[.,]\d{1,3})?\s*s(?:ec(?:onds?)?)?\b)"
_TIMED = re.compile(
    rf"^\W*(?P<first>{_MOMENT})(?:\W*(?:-|–|—|~|to|至|到|-->)\W*(?P<last>{_MOMENT}))?\W*(?P<text>\w.*)$",
    re.IGNORECASE,
)
_WORD = r"(?:scene|span|segment|shot|clip|part|场景|片段|镜头|段落?)"
_NUMBER = r"(?P<number>\d{1,4}|[一二三四五六七八九十]{1,3})"
_ASIDE = rf"(?:\s*[(（\[]\s*{_MOMENT}[^)）\]]{{0,40}}[)）\]])?"
_LABELLED = re.compile(
    rf"^[\W_]*(?:{_WORD}\s*#?\s*{_NUMBER}|第\s*{_NUMBER.replace('number', 'ordinal')}\s*个?\s*{_WORD})"
    rf"{_ASIDE}[\s*_]*(?:[.:：)）、|–—-]+|$)(?P<text>.*)$",
    re.IGNORECASE,
)
"""A line that names a scene, with or without words after it, as "### Scene 1 (0:00-0:02): ..." does."""
_NUMBERED = re.compile(
    rf"^[\W_]*(?P<number>\d{{1,4}}){_ASIDE}[\s*_]*[.:：)）、|–—-]+\s*(?P<text>.*\w.*)$", re.IGNORECASE
)
_ONLY_TIMES = re.compile(rf"^\W*{_MOMENT}(?:\W*(?:-|–|—|~|to|至|到)?\W*{_MOMENT})?\W*$", re.IGNORECASE)
_DIGITS = {digit: value for value, digit in enumerate("一二三四五六七八九", 1)}
_TOLERANCE = Fraction(1)
_SHOWN = 120
"""Characters of what was left out that a note shows."""
_MARKS = " \t*_#>-–—:："


@dataclass(frozen=True, slots=True)
class Readings:
    """Words by span index, notes by span index, and notes on the answer as a whole."""

    texts: dict[int, str] = field(default_factory=dict)
    notes: dict[int, tuple[Note, ...]] = field(default_factory=dict)
    general: tuple[Note, ...] = ()


def read_answer(answer: str, spans: Sequence[SpanPlan], offset: Fraction = Fraction(0)) -> Readings:
    """Sorts a model's words to the spans they speak of.

    Args:
        answer: lines such as ``2: A rabbit wakes.`` (2 is the second of ``spans``), ``Scene 2 (0:03-0:07): A
            rabbit wakes.`` or ``0:03-0:07 A rabbit wakes.``, headings with lines after them, or rows of a
            table. Lines without a label go on with the scene before.
        spans: in order; at least one.
        offset: where the clip that the model saw begins in the spans' time, in seconds.
    """
    return _Reader(spans, offset).read(answer)


class _Reader:
    """Reads one answer, line by line."""

    def __init__(self, spans: Sequence[SpanPlan], offset: Fraction) -> None:
        self._spans = spans
        self._offset = offset
        self._texts: dict[int, list[str]] = {}
        self._notes: dict[int, list[Note]] = {}
        self._general: list[Note] = []
        self._unread: list[str] = []
        # The spans that the lines go on about; None before the first label; none where it was left out.
        self._current: list[SpanPlan] | None = None
        self._open = True

    def read(self, answer: str) -> Readings:
        for line in answer.splitlines():
            if not line.strip():
                # After an empty line only a heading is gone on with.
                self._open = self._current is not None and not any(
                    any(self._texts.get(span.index, ())) for span in self._current
                )
            elif not (self._row(line) or self._timed(line) or self._labelled(line)):
                self._continued(line)
        if self._unread:
            said = " ".join(self._unread)
            shown = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
            detail = f"what the model said of no scene is left out: {shown}"
            self._general.append(Note("unread", detail))
        return Readings(
            {index: " ".join(filter(None, lines)) for index, lines in self._texts.items() if any(lines)},
            {index: tuple(found) for index, found in self._notes.items()},
            tuple(self._general),
        )

    def _row(self, line: str) -> bool:
        row = line.strip()
        if not row.startswith("|"):
            return False
        label, *cells = (cell.strip(_MARKS) for cell in row.strip("|").split("|"))
        number = re.fullmatch(rf"(?:{_WORD}\s*)?(\d{{1,4}})", label, re.IGNORECASE)
        words = [cell for cell in cells if cell and not _ONLY_TIMES.match(cell)]
        if number is not None and words:
            self._begin(int(number[1]), max(words, key=len))
        return True

    def _timed(self, line: str) -> bool:
        timed = _TIMED.match(line)
        if timed is None:
            return False
        first = _seconds(timed["first"]) + self._offset
        last = _seconds(timed["last"]) + self._offset if timed["last"] else None
        hit = _snapped(first, last, self._spans)
        said = f"the model said {line[: timed.start('text')].strip(_MARKS)}"
        if not hit:
            self._general.append(Note("time_outside_clip", f"{said}, which is not in the clip; left out"))
        for span in hit:
            self._texts.setdefault(span.index, []).append(timed["text"].strip(_MARKS))
            detail = f"{said}; snapped to {span.start} to {span.end}"
            self._notes.setdefault(span.index, []).append(Note("time_snapped", detail))
        self._current, self._open = hit, True
        return True

    def _labelled(self, line: str) -> bool:
        labelled = _LABELLED.match(line)
        if labelled is not None:
            self._begin(_number(labelled["number"] or labelled["ordinal"]), labelled["text"])
            return True
        numbered = _NUMBERED.match(line)
        if numbered is not None:
            self._begin(int(numbered["number"]), numbered["text"])
        return numbered is not None

    def _begin(self, number: int, text: str) -> None:
        if not 1 <= number <= len(self._spans):
            note = Note("no_such_scene", f"the model spoke of a scene {number}; left out")
            self._general.append(note)
            self._current, self._open = [], True
            return
        span = self._spans[number - 1]
        # The number says which scene it is; times that are named after it say no more.
        timed = _TIMED.match(text)
        words = "" if _ONLY_TIMES.match(text) else timed["text"] if timed is not None else text
        self._texts.setdefault(span.index, []).append(words.strip(_MARKS))
        self._current, self._open = [span], True

    def _continued(self, line: str) -> None:
        if self._current is not None and self._open:
            for span in self._current:
                self._texts.setdefault(span.index, []).append(line.strip(_MARKS))
        elif self._texts or not line.rstrip(" *_").endswith((":", "：")):
            # What leads to the first scene ("Here are the scenes:") says nothing of the clip.
            self._unread.append(line.strip())


def _number(written: str) -> int:
    """The number in digits, or in Chinese up to ninety-nine; 0 for what is none."""
    if written.isascii():
        return int(written)
    tens, ten, ones = written.rpartition("十")
    if not ten:
        return _DIGITS.get(written, 0)
    return 10 * (_DIGITS.get(tens, 0) if tens else 1) + (_DIGITS.get(ones, 0) if ones else 0)


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
