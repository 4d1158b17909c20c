"""Folders walked in the order of names, and what is met there sorted into sources and the rest.

One folder's listing is in memory at a time for each level; a folder reached twice, by links, is
entered once.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, TypeAlias

from visionpipe.clips.load import is_clip
from visionpipe.errors import ParameterError, UnreadableSourceError, VisionPipeError
from visionpipe.files import open_regular
from visionpipe.images.sniff import IMAGE_SUFFIXES, kind_of
from visionpipe.media import LinkedImage
from visionpipe.sources.own_files import OwnFiles, is_image_name, is_journal


@dataclass(frozen=True, slots=True)
class Source:
    """One item to work on.

    ``name`` is unique within a run and stable between runs: the path relative to the folder given, with
    forward slashes, or what the list says. ``location`` is a path or a URL. ``fields`` are the other
    columns of a list. ``image`` is the picture itself where the item holds it, and ``location`` then says
    nothing; ``version`` is what a store tells of the bytes behind a URL (an ETag); ``seen`` is the file at
    ``location`` as it was read for its key. None of these is recorded.
    """

    name: str
    location: str
    fields: Mapping[str, str] = field(default_factory=dict)
    image: Any = field(default=None, repr=False, compare=False)
    version: str | None = field(default=None, compare=False)
    seen: Any = field(default=None, repr=False, compare=False)

    @property
    def picture(self) -> Any:
        """What there is to look at: the picture held, else its path or URL."""
        return self.location if self.image is None else self.image


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a program's own: a picture under a name.

    Attributes:
        key: names it in results and in the ledger; stable between runs, so that it is asked about once.
        image: a path or URL, encoded bytes, a Pillow image, or an array of shape (H, W), (H, W, 1), (H, W, 3)
            or (H, W, 4) in RGB, of type bool, uint8, uint16 or float in 0..1.
        fields: for a prompt's template.
        version: of the bytes behind a URL (an ETag); where it changes, the item is asked about again.
    """

    key: str
    image: Any = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not self.key:
            raise ParameterError(
                f"{self.key!r} is no key", cure="Give a text that names the item.", subject="key"
            )
        if self.image is None:
            raise ParameterError(
                "it has no image",
                cure="Give a path, a URL, bytes, a Pillow image or an array.",
                subject=self.key,
            )

    def source(self) -> Source:
        """The item as a run takes it."""
        if isinstance(self.image, str | os.PathLike):
            return Source(self.key, os.fsdecode(self.image), self.fields, None, self.version)
        if isinstance(self.image, LinkedImage):
            return Source(self.key, self.image.url, self.fields, None, self.version)
        return Source(self.key, "", self.fields, self.image, self.version)


@dataclass(frozen=True, slots=True)
class SkippedSource:
    """One file or folder left alone.

    ``reason`` is one of a few words that can be counted: hidden, sidecar, video, audio, not an image,
    unreadable, visited. ``detail`` says more where there is more to say.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FailedSource:
    """A folder (its ``name`` ends in a slash) that cannot be listed, so that nobody knows what it holds; or
    an address that is not read."""

    name: str
    error: VisionPipeError


Found: TypeAlias = Source | SkippedSource | FailedSource


_SIDECARS = frozenset([".txt", ".json", ".xmp", ".yaml", ".yml", ".aae", ".thm", ".srt", ".vtt"])
_CLUTTER = frozenset(["thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"])
_HEAD_BYTES = 512

Scan: TypeAlias = Callable[[str], AbstractContextManager[Iterator[os.DirEntry[str]]]]
"""Lists a folder, as ``scandir`` does."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A glob taken apart: the folder before its first wildcard, and a matcher for each part after it."""

    text: str
    folder: str
    parts: tuple[re.Pattern[str] | None, ...]

    @staticmethod
    def parse(text: str) -> Pattern | None:
        """The pattern in ``text``, or None where it has no wildcard."""
        pieces = PurePath(text).parts
        first = next((i for i, piece in enumerate(pieces) if _is_wild(piece)), None)
        if first is None:
            return None
        folder = str(PurePath(*pieces[:first])) if first else "."
        parts = tuple(None if piece == "**" else _matcher(piece) for piece in pieces[first:])
        return Pattern(text, folder, parts)

    def start(self) -> frozenset[int]:
        """The parts that an entry of ``folder`` may be matched by."""
        return self._spread({0})

    def step(self, at: frozenset[int], name: str) -> frozenset[int]:
        """The parts that come next after an entry ``name`` was met where ``at`` might match."""
        ahead = set()
        for index in at:
            part = self.parts[index] if index < len(self.parts) else _NOTHING
            if part is None:
                if not name.startswith("."):
                    ahead.add(index)
            elif part.fullmatch(name):
                ahead.add(index + 1)
        return self._spread(ahead)

    def matches(self, file: PurePath) -> bool:
        """Whether a file that lies below ``folder``, or lay there, is one that the pattern finds."""
        if not file.is_relative_to(self.folder):
            return False
        at = self.start()
        for name in file.relative_to(self.folder).parts:
            at = self.step(at, name)
        return self.is_end(at)

    def is_end(self, at: frozenset[int]) -> bool:
        return len(self.parts) in at

    def _spread(self, at: set[int]) -> frozenset[int]:
        for index in sorted(at):
            while index < len(self.parts) and self.parts[index] is None:
                index += 1
                at.add(index)
        return frozenset(at)


def walk(
    folder: str,
    prefix: str,
    *,
    recursive: bool = True,
    pattern: Pattern | None = None,
    own: OwnFiles | None = None,
    scan: Scan = os.scandir,
) -> Iterator[Found]:
    """The files under ``folder``, as sources or skipped, and the folders that cannot be listed, as failed.

    Args:
        folder: where to begin.
        prefix: what every name begins with, "" or ending in "/".
        recursive: whether to enter folders; with a pattern, the pattern says.
        pattern: only what it matches is met at all.
        own: not met at all.
        scan: lists a folder.
    """
    visited = {_identity(folder)}
    start = pattern.start() if pattern is not None else frozenset[int]()
    levels = [_entries(folder, prefix, start, own, scan)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            continue
        if isinstance(entry, FailedSource):
            yield entry
            continue
        path, name, at, siblings, is_folder = entry
        last = path.rpartition(os.sep)[2]
        ahead = frozenset[int]()
        matched = True
        if pattern is not None:
            ahead = pattern.step(at, last)
            matched = pattern.is_end(ahead)
        if not is_folder:
            if matched:
                yield _judged(path, name, siblings, explicit=pattern is not None)
            continue
        if pattern is None and _is_hidden(last):
            yield SkippedSource(name + "/", "hidden")
        elif (pattern is None and recursive) or ahead:
            identity = _identity(path)
            if identity in visited:
                yield SkippedSource(name + "/", "visited", "a link to a folder that is in the run already")
            else:
                visited.add(identity)
                levels.append(_entries(path, name + "/", ahead, own, scan))


_Entry = tuple[str, str, frozenset[int], frozenset[str], bool]


def _entries(
    folder: str, prefix: str, at: frozenset[int], own: OwnFiles | None, scan: Scan
) -> Iterator[_Entry | FailedSource]:
    try:
        with scan(folder) as listing:
            met = sorted((entry.name, _is_folder(entry)) for entry in listing)
    except OSError as error:
        name = prefix or "./"
        yield FailedSource(name, _unlistable(error, name))
        return
    images = [name for name, is_folder in met if not is_folder and is_image_name(name)]
    siblings = frozenset(images) | {name.rpartition(".")[0] for name in images}
    base = folder if folder.endswith(os.sep) else folder + os.sep
    is_own = own.in_folder(folder, images) if own else None
    for name, is_folder in met:
        if (is_own is not None and is_own(name)) or is_journal(folder, name):
            continue
        yield base + name, prefix + printable(name), at, siblings, is_folder


def _unlistable(error: OSError, name: str) -> UnreadableSourceError:
    """The error for a folder; whatever the cause, its images may be there another time."""
    cure = "Check the disk or the network share, and run again."
    code = "unreadable"
    if error.errno in (errno.EACCES, errno.EPERM):
        cure, code = "Let this user list it, or run as its owner; then run again.", "permission"
    elif error.errno == errno.ENOENT:
        cure, code = "Put it back, or leave it out; then run again.", "vanished"
    elif error.errno == errno.ENAMETOOLONG:
        cure = "Move it up, or begin the run from a folder nearer to it; then run again."
    return UnreadableSourceError(
        f"the folder cannot be listed ({error.strerror}), so its images are not known",
        cure=cure,
        subject=name,
        code=code,
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a circle, say; opening it tells what is wrong


def _judged(path: str, name: str, siblings: frozenset[str], *, explicit: bool) -> Source | SkippedSource:
    """Whether the file at ``path`` is a source, told by its name if that is an image's, else by content."""
    own = path.rpartition(os.sep)[2]
    if not explicit and _is_hidden(own):
        return SkippedSource(name, "hidden")
    suffix = _suffix(own)
    if suffix in IMAGE_SUFFIXES:
        return Source(name, path)
    if suffix in _SIDECARS and own.rpartition(".")[0] in siblings:
        return SkippedSource(name, "sidecar")
    try:
        descriptor, _ = open_regular(path, name)
        try:
            head = os.read(descriptor, _HEAD_BYTES)
        finally:
            os.close(descriptor)
    except UnreadableSourceError as error:
        return SkippedSource(name, "unreadable", error.reason)
    except OSError as error:
        return SkippedSource(name, "unreadable", f"it cannot be read ({error.strerror})")
    kind = kind_of(head)
    if kind.family == "image":
        return Source(name, path)
    if is_clip(kind, own):
        return SkippedSource(name, "video", "see `visionpipe video`")
    if kind.family == "audio":
        return SkippedSource(name, "audio", kind.words)
    return SkippedSource(name, "not an image", kind.words)


def printable(name: str) -> str:
    """``name`` as valid text; bytes of it that are no UTF-8 are shown as escapes."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _suffix(name: str) -> str:
    """As PurePath's, in lower case, at a tenth of the time."""
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and stem else ""


def _identity(folder: str) -> tuple[int, int]:
    try:
        state = os.stat(folder)  # noqa: PTH116  the path is text here, a million times
    except OSError:
        return (-1, hash(folder))  # gone meanwhile; listing it says so
    return (state.st_dev, state.st_ino)


def _is_wild(piece: str) -> bool:
    return any(sign in piece for sign in "*?[")


_NOTHING = re.compile(r"(?!)")


def _matcher(piece: str) -> re.Pattern[str]:
    """One part of a glob; a leading dot must be written, as in a shell."""
    import fnmatch

    guard = "" if piece.startswith(".") else r"(?!\.)"
    return re.compile(guard + fnmatch.translate(piece))
