"""Clips among the sources of a call: told by content, held to the model's record, and brought to the service.

A clip is refused by its size before its header is read, and nothing of it leaves this machine
before the whole call has been checked. By itself a clip goes out only in a form that the model's record
names; publishing, inline base64, frames and re-encoding are the caller's to allow.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from visionpipe.errors import (
    BadImageError,
    CapabilityError,
    ParameterError,
    UnsupportedError,
)
from visionpipe.media import FileContent, Frame, Image, LinkedImage, LinkedVideo, Media, Part, Video
from visionpipe.stages.check import input_room
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from visionpipe.client.options import CallOptions
    from visionpipe.client.settings import Settings
    from visionpipe.registry.records import ModelRecord, VideoRules
    from visionpipe.request import Request
    from visionpipe.sources.publish import Publisher

_PROBE_SECONDS = 20.0
_MAX_SIDE = 1024
_WORDS_TOKENS = 500
"""Room left beside the frames for the question and the words around it."""


class ContentLength(Protocol):
    """What asks a link's server for its size; ``content_length`` does."""

    def __call__(self, url: str, *, timeout_s: float, allow_private: bool) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What is sent in a clip's place: itself, or frames of it (then ``frames`` says of when they are)."""

    parts: tuple[Media, ...]
    frames: tuple[Frame, ...] = ()


def linked_clip(source: Any) -> LinkedVideo | None:
    """The clip that ``source`` is a link to, by the end of its path like a clip's name."""
    if isinstance(source, str) and source[:8].lower().startswith(("http://", "https://")):
        from visionpipe.clips.load import CLIP_SUFFIXES

        try:
            path = urlsplit(source).path
        except ValueError:
            return None
        return LinkedVideo(source) if PurePosixPath(path).suffix.lower() in CLIP_SUFFIXES else None
    return None


class VideoParts:
    """Prepares the clips of one client's calls. Safe to use from several threads at once."""

    def __init__(self, settings: Settings, content_length: ContentLength | None = None) -> None:
        self._settings = settings
        self._content_length = content_length
        self._scratch: Path | None = None

    def behind(
        self, source: Any, problem: BadImageError, model: ModelRecord, options: CallOptions
    ) -> Video | None:
        """The clip in a source that is no image; None where it is no clip either.

        Args:
            source: what was given; a path, bytes, an open file or a data URI.
            problem: why it is no image.
            model: whose limits hold.
            options: the call's.

        Raises:
            UnsupportedError: the model takes no video, and frames were not allowed.
            MediaLimitError: the file is too large; it has not been read.
            BadVideoError: a damaged clip.
        """
        from visionpipe.clips.load import load_video

        found = _clip_bytes(source, problem)
        if found is None:
            return None
        if model.video is None:
            _refuse_without_frames(problem.subject or "video", model, options)
        strict = model.video is not None and options.get("over_limit", "refuse") == "refuse"
        loaded = load_video(found, below_bytes=model.video.below_bytes if strict and model.video else None)
        return loaded if isinstance(loaded, Video) else None

    def shown(
        self, clip: Video | LinkedVideo, images: int, model: ModelRecord, options: CallOptions
    ) -> Shown:
        """The clip as the model takes it.

        Args:
            clip: the clip or the link to one.
            images: how many images are asked about beside it.
            model: whose limits hold.
            options: ``over_limit`` says what may be done where the model does not take the clip as it is.

        Raises:
            UnsupportedError, MediaLimitError: it cannot be sent, with the cures.
        """
        if isinstance(clip, LinkedVideo):
            return Shown((self._checked_link(clip, model, options),))
        way = options.get("over_limit", "refuse")
        try:
            parts = self._whole(clip, model, options)
        except CapabilityError:
            if way != "frames":
                raise
            parts = ()
        if len(parts) > 1:
            raise ParameterError(
                f"a question takes a clip in one piece, and within the limits it is {len(parts)} parts",
                cure="Watch it (client.watch), which asks of each part, or give over_limit='transcode' or "
                "'frames'.",
                subject="over_limit",
            )
        return Shown(parts) if parts else self._frames(clip, images, model, options)

    def delivered(
        self, request: Request, model: ModelRecord, publisher: Publisher, *, inline_video: bool
    ) -> Request:
        """The checked request with its clips published, unless they go inline, and the images of a model that
        wants links."""
        links = model.images is not None and model.images.transfer == "url_preferred"
        last = request.messages[-1]
        parts: list[Part] = []
        notes: list[Adjustment] = []
        for part in last.parts:
            if isinstance(part, Video) and not inline_video:
                parts.append(self._published(part, publisher, notes))
            elif isinstance(part, Image) and links:
                parts.append(_published_image(part, publisher, notes))
            else:
                parts.append(part)
        messages = (*request.messages[:-1], replace(last, parts=tuple(parts)))
        return replace(request, messages=messages, adjustments=(*request.adjustments, *notes))

    def _whole(self, clip: Video, model: ModelRecord, options: CallOptions) -> tuple[Video, ...]:
        """The clip as files that the model takes; none where frames of it shall be sent."""
        from visionpipe.video.for_client import parts_within

        rules = model.video
        if rules is None:
            raise _no_video(clip.name, model)
        _check_way(clip, rules, model, options)
        way = options.get("over_limit", "refuse")
        return parts_within(clip, rules, way, self._folder(), remux=options.get("repair", True))

    def _checked_link(self, link: LinkedVideo, model: ModelRecord, options: CallOptions) -> LinkedVideo:
        from visionpipe.stages.check import check_video

        if model.video is None:
            raise UnsupportedError(
                f"{model.id} takes no video, and frames cannot be made of a link",
                cure="Download the clip and ask with over_limit='frames', or choose a model that takes video "
                "(`visionpipe models`).",
                subject=link.name,
                code="no_video",
            )
        if link.size is None and options.get("probe_links", False):
            measure = self._content_length or _default_content_length()
            size = measure(
                link.url, timeout_s=_PROBE_SECONDS, allow_private=options.get("allow_private", False)
            )
            link = replace(link, size=size)
        check_video(link, model.video)
        return link

    def _frames(self, clip: Video, images: int, model: ModelRecord, options: CallOptions) -> Shown:
        from visionpipe.client.options import parameters_of
        from visionpipe.registry.estimates import image_tokens
        from visionpipe.video.for_client import FEW_IMAGES
        from visionpipe.video.question import clip_pictures

        if model.images is None:
            raise UnsupportedError(
                f"{model.id} takes no images either", cure="Choose another model.", subject=clip.name
            )
        local = self._settings.endpoint.local
        most = 1 if local else model.images.max_count
        side = min(options.get("max_side", _MAX_SIDE), model.images.max_side_px or _MAX_SIDE)
        scale = min(1.0, side / max(clip.width, clip.height))
        width, height = max(1, round(clip.width * scale)), max(1, round(clip.height * scale))
        room = input_room(parameters_of(options), model)
        pictures, found = clip_pictures(
            clip,
            max_images=None if most is None else max(1, most - images),
            max_side=side,
            sheets=not local and most is not None and most <= FEW_IMAGES,
            tokens_per_image=image_tokens(width, height, model.tokens),
            token_budget=None if room is None else room - _WORDS_TOKENS,
        )
        first, *others = pictures
        first = replace(first, adjustments=(*clip.adjustments, *found.adjustments, *first.adjustments))
        return Shown((first, *others), found.frames)

    def _published(self, clip: Video, publisher: Publisher, notes: list[Adjustment]) -> LinkedVideo:
        from visionpipe.sources.publish import publish_video

        link = publish_video(clip, publisher)
        notes.append(Adjustment("published", clip.name, f"{clip.size:,} bytes, sent as a link"))
        if isinstance(clip.content, FileContent) and self._scratch in Path(clip.content.path).parents:
            Path(clip.content.path).unlink(missing_ok=True)
        return link

    def _folder(self) -> Path:
        """A new folder for what is made of clips; all of them go with this object."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="visionpipe-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._scratch))


def _check_way(clip: Video, rules: VideoRules, model: ModelRecord, options: CallOptions) -> None:
    """Raises unless there is a way to bring the clip's bytes to the service."""
    if options.get("publisher") is None and not rules.inline and not options.get("inline_video", False):
        raise UnsupportedError(
            f"{model.id} takes a video by its link, and this one is a file",
            cure="Publish it (publisher=...), send frames of it (over_limit='frames'), watch it "
            "(client.watch), or send it as base64 all the same (inline_video=True), which no documentation "
            "promises.",
            subject=clip.name,
            code="video_link",
        )


def _refuse_without_frames(name: str, model: ModelRecord, options: CallOptions) -> None:
    if options.get("over_limit", "refuse") != "frames":
        raise _no_video(name, model)


def _no_video(name: str, model: ModelRecord) -> UnsupportedError:
    return UnsupportedError(
        f"{model.id} takes no video",
        cure="Send frames of it (over_limit='frames'), watch it (client.watch), or choose a model that takes "
        "video (`visionpipe models`).",
        subject=name,
        code="no_video",
    )


def _clip_bytes(source: Any, problem: BadImageError) -> str | bytes | None:
    """Where the clip is (a path or its bytes), if what was refused as an image looks like one."""
    from visionpipe.clips.load import is_clip
    from visionpipe.images.sniff import HEAD_BYTES, kind_of

    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        return data if kind_of(data[:HEAD_BYTES]).family == "video" else None
    if hasattr(source, "read"):
        return _clip_bytes(source.read(), problem)
    if isinstance(source, str):
        scheme = source[:8].lower()
        if scheme.startswith("data:"):
            from visionpipe.images.load import from_data_uri

            return _clip_bytes(from_data_uri(source, "data URI"), problem)
        if scheme.startswith("file://"):
            from visionpipe.images.load import path_of_file_url

            source = path_of_file_url(source)
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(os.fspath(source))
    if not path.is_file():
        return None
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD_BYTES))
    return str(path) if is_clip(kind, path.name) else None


def _published_image(image: Image, publisher: Publisher, notes: list[Adjustment]) -> LinkedImage:
    from visionpipe.sources.publish import publish_image

    notes.append(Adjustment("published", image.name, f"{image.size:,} bytes, sent as a link"))
    return publish_image(image, publisher)


def _default_content_length() -> ContentLength:
    from visionpipe.transport.fetch import content_length

    return content_length
