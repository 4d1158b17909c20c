"""What an answer depends on, as keys: the bytes of a source, and the question asked about them.

A file's bytes are read once, and not again while its size and modification time are as recorded. Where the
answer is served from is no part of a key.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from visionpipe.files import BufferPool, changed, open_regular, unreadable
from visionpipe.images.load import MAX_FILE_BYTES, load_image
from visionpipe.images.sniff import HEAD_BYTES, kind_of
from visionpipe.media import Image, MemoryContent
from visionpipe.pipeline.channel import Closed
from visionpipe.sources.find import Source

_buffers = BufferPool(1 << 20)
_CONTENT = re.compile(r"[0-9a-f]{64}|url:[0-9a-f]{32}")
_LINKS = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Stat:
    """A file as the file system shows it: ``size`` in bytes, ``modified_ns`` since the epoch."""

    size: int
    modified_ns: int


def is_link(location: str) -> bool:
    """Whether the source is an address that is not ours to read."""
    return location.lower().startswith(_LINKS)


def content_of_link(url: str, version: str | None = None) -> str:
    """The content key of a link: its address stands for its bytes, and what is known of their version."""
    named = url if version is None else f"{url}\0{version}"
    return "url:" + hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def held_image(source: Source) -> Image | None:
    """The picture that an item holds itself; None where it says from where to read it.

    Raises:
        VisionPipeError: it is no picture.
    """
    if source.image is None:
        return None
    found = load_image(source.image, name=source.name)
    assert isinstance(found, Image), "a link is a location"
    return found


def sha256_of_image(image: Image) -> str:
    """The SHA-256 of an image's encoded bytes, in hexadecimal."""
    if isinstance(image.content, MemoryContent):
        return hashlib.sha256(image.content.data).hexdigest()
    return fingerprint(image.content.path)[0]


def is_content(value: object) -> bool:
    """Whether a value is a content key, and not what a damaged journal holds in its place."""
    return isinstance(value, str) and _CONTENT.fullmatch(value) is not None


def sha256_of(content: str | None) -> str | None:
    """The SHA-256 in a content key, None for a link."""
    return None if content is None or content.startswith("url:") else content


def stat_of(path: str) -> Stat:
    """Size and time of change.

    Raises:
        UnreadableSourceError: it is not there.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path costs as much as the rest, once an item)
    except (OSError, ValueError) as error:
        raise unreadable(error, path, path) from error
    return Stat(found.st_size, found.st_mtime_ns)


def fingerprint(path: str, is_over: Callable[[], bool] | None = None) -> tuple[str, Stat]:
    """The SHA-256 of a file's bytes (hexadecimal), with the stat it held while they were read.

    Args:
        path: of the file.
        is_over: asked between two megabytes whether to go on.

    Raises:
        UnreadableSourceError: it cannot be read, or was changed meanwhile.
        BadImageError: it is too large for a picture, and no clip; found before it is read.
        Closed: ``is_over`` said so.
    """
    seen = hashlib.sha256()
    descriptor, before = open_regular(path, path)
    if before.st_size > MAX_FILE_BYTES:
        _refuse_what_is_no_clip(descriptor, path)
    buffer = _buffers.take()
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                seen.update(buffer[:count])
                if count == _buffers.size and is_over is not None and is_over():
                    raise Closed
            after = os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(error, path, path) from error
    finally:
        _buffers.give_back(buffer)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed(path)
    return seen.hexdigest(), Stat(after.st_size, after.st_mtime_ns)


def _refuse_what_is_no_clip(descriptor: int, path: str) -> None:
    """Have a file that is too large for a picture refused by what reads pictures, unless it is a clip."""
    from visionpipe.clips.load import is_clip

    try:
        kind = kind_of(os.read(descriptor, HEAD_BYTES))
        os.lseek(descriptor, 0, os.SEEK_SET)
        if not is_clip(kind, path):
            load_image(path)
    except BaseException:
        os.close(descriptor)
        raise


PREPARATION = 2
"""Raised whenever the same file and settings come to be sent as other bytes. It is recorded with each result,
and is no part of a key, so that a new version asks nothing again that is answered."""

_KEYED = 1
"""Stands in every key, where the version of the preparation stood as long as there was only the first."""


def digest(value: Any) -> str:
    """32 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all items of a job share.

    Attributes:
        model: the model asked.
        template: the prompt before an item's fields are put in.
        parameters: everything else that steers the answer, as JSON.
        schema: the JSON schema asked for, None for plain text.
        preparation: version of how images are made ready; no part of the keys.
    """

    model: str
    template: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    preparation: int = PREPARATION

    def question(self, prompt: str) -> str:
        """The key of ``prompt`` (rendered) under this recipe."""
        return digest([self.model, prompt, dict(self.parameters), self.schema, _KEYED])

    @property
    def job(self) -> str:
        """The key of the recipe itself: results of one job belong together in an export."""
        return digest(["job", self.model, self.template, dict(self.parameters), self.schema, _KEYED])
