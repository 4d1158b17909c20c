"""From scenes to spans, the stretches of a clip that one description each is asked for, and where finished
ones are kept, so that a run that was killed asks for none of them again.

The plan is in whole ticks; the spans cover the clip from its first picture to its end, without gap or
overlap, and none reaches over a cut. A span is on disk before the next one is asked for; its key says
everything that its words depend on, so a changed clip, prompt or model is another span.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self

from visionpipe.clips.sampling import MOST_TIMES, spread
from visionpipe.clips.scenes import Scene
from visionpipe.errors import ParameterError
from visionpipe.files import opened
from visionpipe.media import Video
from visionpipe.store.database import Database, Schema, is_text
from visionpipe.store.lock import claimed
from visionpipe.values import JSON, Timecode
from visionpipe.video.timeline import Span

_SHORTEST, _LONGEST, _USUAL = Fraction(2), Fraction(15), 8


@dataclass(frozen=True, slots=True)
class SpanPlan:
    """[start, end) counted from the clip's first picture, and the scene it lies in."""

    index: int
    scene: int
    start: Timecode
    end: Timecode

    @property
    def seconds(self) -> Fraction:
        return self.end.exact - self.start.exact

    def frame_times(self, count: int) -> tuple[Fraction, ...]:
        """``count`` moments in seconds, evenly spread over the span."""
        return spread(count, self.start.exact, self.end.exact)


def usual_longest(duration: Fraction) -> Fraction:
    """The longest span where the caller names none: an eighth of the clip, 2 s at least and 15 at most."""
    return min(max(duration / _USUAL, _SHORTEST), _LONGEST)


def plan_spans(scenes: Sequence[Scene], longest: float | None = None) -> tuple[SpanPlan, ...]:
    """One span a scene; a scene longer than ``longest`` seconds becomes several, as even as ticks allow.

    Raises:
        ParameterError: ``longest`` is not over 0.
    """
    if longest is not None and not (longest > 0 and math.isfinite(longest)):
        raise ParameterError(
            f"{longest} s is no length of a span", cure="Give a number over 0.", subject="longest"
        )
    duration = scenes[-1].end.exact
    limit = usual_longest(duration) if longest is None else Fraction(str(longest))
    if duration / limit > MOST_TIMES:
        raise ParameterError(
            f"spans of {float(limit):g} s of a clip of {float(duration):.0f} s are more than {MOST_TIMES:,}",
            cure="Allow longer ones.",
            subject="longest",
        )
    plans: list[SpanPlan] = []
    for scene in scenes:
        ticks = scene.end.pts - scene.start.pts
        parts = min(math.ceil((scene.end.exact - scene.start.exact) / limit), ticks) or 1
        bounds = [Timecode(scene.start.pts + ticks * k // parts, scene.start.time_base) for k in range(parts)]
        for start, end in zip(bounds, [*bounds[1:], scene.end], strict=True):
            plans.append(SpanPlan(len(plans), scene.index, start, end))
    return tuple(plans)


_STRETCH = 1 << 20


class SpanJournal(Protocol):
    """Keeps texts by key; used from several threads at once."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, value: str) -> None: ...


SPANS = Schema(
    "journal of a clip's spans",
    0x56505350,
    ("CREATE TABLE spans (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",),
    exclusive=False,
    unmarked=frozenset({"spans"}),
)
"""The application_id is "VPSP"; files made before it was given have none. Several runs may share a file, each
with clips of its own."""


class SqliteSpanJournal:
    """A journal in one SQLite file, made where there is none.

    Raises:
        JournalError: the file cannot be used as one, now or when something is read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path, SPANS)

    def get(self, key: str) -> str | None:
        """The text under ``key``; None where there is none, or none that can be read."""
        row = self._database.one("SELECT value FROM spans WHERE key = ?", (key,))
        return row["value"] if row is not None and is_text(row["value"]) else None

    def put(self, key: str, value: str) -> None:
        """Keeps a text; it is committed when this returns."""
        self._database.write(("INSERT OR REPLACE INTO spans VALUES (?, ?)", (key, value)))

    def claimed(self, work: str) -> AbstractContextManager[None]:
        """Holds a clip's telling, by its key; JournalError (code "locked") where another run is at it."""
        return claimed(self._path, work)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def recorded_span(text: str | None) -> Span | None:
    """The span that a journal's text stands for; None where there is none, or a damaged one."""
    if text is None:
        return None
    try:
        return Span.from_json(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None


def clip_fingerprint(video: Video) -> str:
    """A clip's identity: its size and three stretches of 1 MiB (beginning, middle, end), hashed, in hex."""
    digest = hashlib.sha256(str(video.size).encode())
    content = video.content
    starts = (0, content.size // 2, max(0, content.size - _STRETCH))
    with opened(content) as file:
        for start in starts:
            file.seek(start)
            digest.update(file.read(_STRETCH))
    return digest.hexdigest()


def span_key(**parts: JSON) -> str:
    """One key from everything that a span's words depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
