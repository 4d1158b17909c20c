"""How a clip is watched, as one value, and the seam to whoever answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from visionpipe.clips.cuts import SceneRules
from visionpipe.errors import ParameterError
from visionpipe.media import Media, Video
from visionpipe.prompts.presets import Language
from visionpipe.reply import Reply

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
