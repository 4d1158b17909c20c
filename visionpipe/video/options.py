"""How a clip is watched, as one value, and the seam to whoever answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from visionpipe.clips.cuts import SceneRules
from visionpipe.errors import ParameterError
from visionpipe.media import Media, Video
from visionpipe.reply import Reply
from visionpipe.video.wording import Language

ClipSource: TypeAlias = str | os.PathLike[str] | bytes | Video
"""A path, a whole clip's bytes, or a loaded clip."""

OverLimit: TypeAlias = Literal["refuse", "split", "transcode", "frames"]
"""What is done with a clip over the model's limit: an error with the cures; parts cut at key frames; a
smaller re-encoding; or its frames instead of itself."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a clip is watched.

    Attributes:
        longest: longer scenes are parted into spans of at most so many seconds; None: an eighth of the
            clip, 2 s at least and 15 at most.
        scenes: what counts as a cut.
        max_images: pictures the model takes in one request; None: any number.
        frames_per_span: at most so many; short spans have fewer.
        frames_per_second: the density within a span.
        tokens_per_image, token_budget: estimates, where known; fewer frames where they would not fit.
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
    max_images: int | None = 1
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
        for name in ("frames_per_span", "concurrency", "max_side", "summary_characters"):
            if getattr(self, name) < 1:
                raise ParameterError(
                    f"{getattr(self, name)} is under 1", cure="Give 1 or more.", subject=name
                )


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
