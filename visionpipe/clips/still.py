"""A small picture of a file: of an image, or of the beginning of a clip."""

from __future__ import annotations

from pathlib import Path

from visionpipe.clips.frames import At, sample_frames
from visionpipe.clips.load import is_clip, load_video
from visionpipe.errors import VisionPipeError
from visionpipe.files import read_content
from visionpipe.images import thumbnail as images
from visionpipe.images.sniff import HEAD_BYTES, kind_of
from visionpipe.media import Video


def thumbnail(path: Path, pixels: int = 256) -> bytes | None:
    """A small copy of an image, or of a clip's first picture, upright; no address is followed.

    Args:
        path: of a file.
        pixels: of the longer side.

    Returns:
        A WebP of an image, a JPEG of a clip; None where there is no such file, or no picture in it.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            kind = kind_of(file.read(HEAD_BYTES))
        if not is_clip(kind, str(path)):
            return images.thumbnail(path, pixels)
        clip = load_video(path)
        if not isinstance(clip, Video):
            return None
        (first, *_) = sample_frames(clip, At((0.0,)), max_side=pixels, quality=75).frames
        return read_content(first.image.content)
    except (OSError, ValueError, VisionPipeError):
        return None
