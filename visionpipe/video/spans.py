"""How a clip is watched, as one value; the stretches that one description each is asked for; and where
finished ones are kept, so that a run that was killed asks for none of them again.

The plan is in whole ticks; the spans cover the clip from its first picture to its end, without gap or
overlap, and none reaches over a cut. A span is on disk before the next one is asked for; its key says
everything that its words depend on, so a changed clip, prompt or model is another span.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self, TypeAlias

from visionpipe.clips.cuts import SceneRules
from visionpipe.clips.frames import MOST_TIMES, spread
from visionpipe.clips.scenes import Scene
from visionpipe.errors import ParameterError
from visionpipe.files import opened
from visionpipe.media import Media, Video
from visionpipe.prompts.presets import Language
from visionpipe.reply import Reply
from visionpipe.store.database import Database, Schema, is_text
from visionpipe.store.lock import claimed
from visionpipe.values import JSON, Timecode
from visionpipe.video.timeline import Span

ClipSource: TypeAlias = str | os.PathLike[str] | bytes | Video
"""A path, a whole clip's bytes, or a loaded clip."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a clip is watched.

    Attributes:
        longest: longer scenes are parted into spans of at most so many seconds; None: an eighth of the
            clip, 2 s at least and 15 at most.
        scenes: what counts as a cut.
        max_images: pictures that one request may hold; None: as many as the model takes.
        frames_per_span: at most so many; short spans have fewer.
        frames_per_second: the density within a span.
        tokens_per_image, token_budget: what a picture costs and what all of a request may, in tokens; fewer
            frames where they would not fit. None: estimated from the model's record, where it says.
        sheets: lay a span's frames on one labelled sheet where the model takes fewer than there are.
        max_side: frames are made smaller to this, in pixels.
        language: of the prompts.
        summary: whether to sum the clip up.
        summary_characters: descriptions that one summing request may hold.
        concurrency: requests at once.
        identity: what else the words depend on (model, endpoint, parameters), for the journal's keys.

    Raises:
        ParameterError: a count under 1.
    """

    longest: float | None = None
    scenes: SceneRules = field(default_factory=SceneRules)
    max_images: int | None = None
    frames_per_span: int = 4
    frames_per_second: float = 0.5
    tokens_per_image: int | None = None
    token_budget: int | None = None
    sheets: bool = False
    max_side: int = 1024
    language: Language = "en"
    summary: bool = True
    summary_characters: int = 12_000
    concurrency: int = 1
    identity: str = ""

    def __post_init__(self) -> None:
        counts = ("frames_per_span", "concurrency", "max_side", "summary_characters")
        for name in (*counts, "max_images", "tokens_per_image", "token_budget"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ParameterError(f"{given} is under 1", cure="Give 1 or more.", subject=name)


@dataclass(frozen=True, slots=True)
class WholeClip:
    """How a model that takes video is given the clip.

    Attributes:
        parts: the clip itself, or what it was split into, each with its offset in the original's time.
        deliver: makes of a part what is sent: a link to where it was published, or the part itself.
    """

    parts: tuple[Video, ...]
    deliver: Callable[[Video], Media]


class Asker(Protocol):
    """Asks a model about media; called from several threads at once where ``concurrency`` is over 1."""

    def __call__(self, prompt: str, media: Sequence[Media], /) -> Reply: ...


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
