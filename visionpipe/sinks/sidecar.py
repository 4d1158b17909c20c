"""Text and JSON sidecars: one small file an image, and where it goes.

One file name for one source. Two sources that would share one (a.jpg beside a.png) are found
before anything is written, and the second is refused if it is tried all the same.

A sidecar is there whole or not at all, and only for an item that is done; a failed or skipped item
leaves what is there as it is. So does every item where the sidecar is somebody else's
(``visionpipe.sinks.ownership``), unless that is asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from visionpipe.errors import OutputError, ParameterError
from visionpipe.files import FileMark, back_up, output_errors, replace_file
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.ownership import (
    Existing,
    MemoryRecord,
    Written,
    WrittenRecord,
    place_of,
    recorded_as_ours,
)
from visionpipe.sinks.sink import Locate, dump, encodable
from visionpipe.stages.plain_text import TextForm, plain_text, separator

_FIELDS = ("{stem}", "{name}")


@dataclass(frozen=True, slots=True)
class SidecarNaming:
    """The rule that names sidecars.

    Attributes:
        pattern: the file name, with ``{stem}`` (the source's name without suffix) or ``{name}`` (with it):
            ``{stem}.txt`` is what kohya's trainers expect, ``{name}.txt`` never collides.
        folder: where sidecars go, with the source's folders kept below it; None: beside the source.
        root: what is left out of the source's path below ``folder``.
        locate: from a source to its file; None: the source is a path.
    """

    pattern: str
    folder: Path | None = None
    root: Path | None = None
    locate: Locate | None = None

    def __post_init__(self) -> None:
        if not any(field in self.pattern for field in _FIELDS) or "/" in self.pattern or "\\" in self.pattern:
            raise ParameterError(
                "the naming rule is a file name with {stem} or {name}",
                cure="Such as {stem}.txt.",
                subject=repr(self.pattern),
            )

    def target(self, source: str, file: Path | None = None) -> Path:
        """The sidecar's path.

        Args:
            source: the item.
            file: its image; None: where ``locate`` finds it.

        Raises:
            OutputError: the source has no file beside which the sidecar could go (scope "item").
        """
        if file is None:
            file = self.locate(source) if self.locate else (None if "://" in source else Path(source))
        path = _path(source) if file is None else _as_on_disk(source, file)
        name = file_name(self.pattern, path)
        if self.folder is not None:
            return self.folder / self._below(path).parent / name
        if file is None:
            raise OutputError(
                "there is no file to put a sidecar beside",
                cure="Give a folder for the sidecars.",
                subject=source,
                code="source_missing",
                scope="item",
            )
        return file.parent / name

    def _below(self, path: PurePosixPath) -> PurePosixPath:
        if self.root is not None:
            root = PurePosixPath(self.root.as_posix())
            if path.is_relative_to(root):
                return path.relative_to(root)
        if path.is_absolute() or ".." in path.parts:
            return PurePosixPath(path.name)
        return path


def _as_on_disk(source: str, file: Path) -> PurePosixPath:
    """The item's path in the bytes that its file's name has; a source shows those that are no UTF-8 as
    escapes."""
    path = _path(source)
    end = PurePosixPath(*PurePosixPath(file.as_posix()).parts[-len(path.parts) :])
    return end if str(path) == os.fsencode(str(end)).decode("utf-8", "backslashreplace") else path


def file_name(pattern: str, path: PurePosixPath) -> str:
    """The sidecar's file name that ``pattern`` gives the source at ``path``."""
    return pattern.replace("{stem}", path.stem).replace("{name}", path.name)


@dataclass(frozen=True, slots=True)
class Collision:
    """Sources whose sidecars would be one file."""

    target: Path
    sources: tuple[str, ...]


def collisions(sources: Iterable[str], naming: SidecarNaming) -> Iterator[Collision]:
    """Those that would overwrite each other's sidecars, by target."""
    claims: dict[Path, list[str]] = {}
    for source in dict.fromkeys(sources):
        claims.setdefault(naming.target(source), []).append(source)
    for target, claimed in claims.items():
        if len(claimed) > 1:
            yield Collision(target, tuple(claimed))


class Claims:
    """Which source a target belongs to, within one run; sixteen bytes a target are kept, not its name."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}

    def claim(self, target: Path, source: str) -> None:
        """Raises OutputError (scope "item") where the target is another source's."""
        owner = hash(source)
        if self._owners.setdefault(hash(target), owner) != owner:
            raise OutputError(
                f"its sidecar {target} is already that of another item of the same name",
                cure="Choose a naming rule with {name} in place of {stem} (--naming), or rename one of them.",
                subject=source,
                code="collision",
                scope="item",
            )


def _path(source: str) -> PurePosixPath:
    if "://" in source:
        return PurePosixPath(unquote(urlsplit(source).path).lstrip("/"))
    return PurePosixPath(PurePath(source).as_posix())


class SidecarSink:
    """What the kinds of sidecar share: naming, collisions, whose a file is, and writing in one step.

    Args:
        folder: where sidecars go; None: beside the images.
        pattern: the naming rule, see ``SidecarNaming``; default the kind's own.
        root, locate: as there.
        record: of what was written; default one that lasts as long as the sink.
        existing: what to do with somebody else's sidecars.

    Attributes:
        kept: how many sidecars, or descriptions in them, of somebody else were left as they are.
    """

    keeps_previous = True
    usual_pattern: ClassVar[str]
    joins: ClassVar[bool] = False
    """Whether ours can be joined to somebody else's; else "append" and "prepend" keep what is there."""

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str | None = None,
        root: Path | None = None,
        locate: Locate | None = None,
        record: WrittenRecord | None = None,
        existing: Existing = "keep",
    ) -> None:
        place = Path(folder) if folder else None
        self.naming = SidecarNaming(pattern or self.usual_pattern, place, root, locate)
        self.record: WrittenRecord = MemoryRecord() if record is None else record
        self.existing: Existing = existing if self.joins or existing == "overwrite" else "keep"
        self.kept = 0
        self._claims = Claims()

    def content(self, result: ItemResult) -> bytes:
        """The sidecar's bytes."""
        raise NotImplementedError

    def forms(self, result: ItemResult) -> Iterator[bytes]:
        """Every way in which this sink, or an older release, may have written the result."""
        yield self.content(result)

    def write(self, result: ItemResult) -> None:
        if result.outcome is not Outcome.DONE:
            return
        target = self.naming.target(result.source)
        self._claims.claim(target, result.source)
        try:
            place = place_of(target)
            with output_errors(target):
                there = place.is_file()
            if there:
                self.replace(result, place)
            else:
                self.put(place, self.content(result))
        except OutputError as error:
            if error.code != "bad_name":
                raise
            raise OutputError(
                error.reason,
                cure="Choose a shorter naming rule (--naming), or rename the image.",
                subject=error.subject,
                code=error.code,
                scope="item",
            ) from error

    def replace(self, result: ItemResult, place: Path) -> None:
        """Write where a file is already, if that is ours or may be replaced."""
        data = self.content(result)
        ours = recorded_as_ours(place, self.record)
        written = self.record.find(place)
        if ours and written is not None:
            if written.around is not None:
                data = self.joined(written.around, data)
            if written.mark.digest != _sha256(data):
                self.put(place, data, written.around)
        elif ours is None and self._is_known(result, place):
            self.put(place, data)
        elif self.existing == "keep":
            self.kept += 1
        elif self.existing == "overwrite":
            back_up(place)
            self.put(place, data)
        else:
            with output_errors(place):
                around = (self.existing, place.read_bytes().decode("utf-8", "surrogateescape"))
            self.put(place, self.joined(around, data), around)

    def joined(self, around: tuple[Existing, str], data: bytes) -> bytes:
        """Our bytes together with somebody else's text."""
        return data

    def put(self, place: Path, data: bytes, around: tuple[Existing, str] | None = None) -> None:
        """Write a sidecar whole, and remember it."""
        with output_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, data)
        with output_errors(place):
            mark = FileMark(len(data), place.stat().st_mtime_ns, _sha256(data))
        self.record.remember(place, Written(mark, around))

    def keeps(self, source: str, file: Path | None) -> bool:
        """Whether there is a sidecar of somebody else that will be kept, whatever the item's answer.

        Args:
            source: the item.
            file: its image; None: a link, which has none.
        """
        if self.existing != "keep":
            return False
        try:
            place = place_of(self.naming.target(source, file))
            if not place.is_file() or recorded_as_ours(place, self.record):
                return False
            if self.record.find(place) is not None:
                return True
            there = place.read_bytes()
        except (OutputError, OSError):
            return False  # what is wrong with it is told when it is written
        return not any(there == form for result in self.record.earlier(source) for form in self.forms(result))

    def _is_known(self, result: ItemResult, place: Path) -> bool:
        with output_errors(place):
            there = place.read_bytes()
        known = (result, *self.record.earlier(result.source))
        return any(there == form for one in known for form in self.forms(one))

    def flush(self) -> None:
        """Nothing waits: every sidecar is written at once."""

    def close(self) -> None:
        """Nothing waits: every sidecar is written at once."""

    def abort(self) -> None:
        """Sidecars written stay."""


class TextSidecarSink(SidecarSink):
    """The caption alone, as trainers read it: ``a.txt`` beside ``a.jpg``.

    Args:
        folder, pattern, root, locate, record, existing: as for ``SidecarSink``.
        form: of the texts.

    Attributes:
        tidied: what was taken off answers, counted by kind.
    """

    usual_pattern = "{stem}.txt"
    joins = True

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str | None = None,
        root: Path | None = None,
        locate: Locate | None = None,
        record: WrittenRecord | None = None,
        existing: Existing = "keep",
        form: TextForm | None = None,
    ) -> None:
        super().__init__(folder, pattern=pattern, root=root, locate=locate, record=record, existing=existing)
        self._form = form or TextForm()
        self.tidied: Counter[str] = Counter()

    def content(self, result: ItemResult) -> bytes:
        plain = plain_text(result.caption or "", result.data, self._form)
        return f"{encodable(plain.text)}\n".encode()

    def forms(self, result: ItemResult) -> Iterator[bytes]:
        yield self.content(result)
        yield f"{encodable(result.caption or '').strip()}\n".encode()

    def write(self, result: ItemResult) -> None:
        super().write(result)
        if result.outcome is Outcome.DONE:
            plain = plain_text(result.caption or "", result.data, self._form)
            self.tidied.update(note.kind for note in plain.notes)

    def joined(self, around: tuple[Existing, str], data: bytes) -> bytes:
        side, theirs = around[0], around[1].strip()
        ours = data.decode().strip()
        if side == "append":
            text = theirs if theirs.endswith(ours) else f"{theirs}{separator(ours)}{ours}"
        else:
            text = theirs if theirs.startswith(ours) else f"{ours}{separator(ours)}{theirs}"
        return f"{text}\n".encode("utf-8", "surrogateescape")


class JsonSidecarSink(SidecarSink):
    """The whole result, as in a JSONL line: ``a.json`` beside ``a.jpg``.

    Args:
        folder, pattern, root, locate, record: as for ``SidecarSink``.
        existing: "append" and "prepend" keep what is there, since JSON cannot be joined.
    """

    usual_pattern = "{stem}.json"

    def content(self, result: ItemResult) -> bytes:
        return dump(result.to_json(), indent=True) + b"\n"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
