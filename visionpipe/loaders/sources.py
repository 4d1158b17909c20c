"""Where a run's items come from: folders, globs, files, URLs, and lists of them, in a stable order.

The rule: everything met is a Source, a SkippedSource with its reason or a FailedSource with its error;
nothing but what the job itself writes is passed over in silence; and a million files cost the memory of one
folder's listing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from visionpipe.errors import ParameterError, UnreadableSourceError
from visionpipe.loaders.disk import unreadable
from visionpipe.loaders.listing import LIST_SUFFIXES, PathList
from visionpipe.loaders.own_files import OwnFiles
from visionpipe.loaders.source import FailedSource, Found, SkippedSource, Source
from visionpipe.loaders.walking import Pattern, printable, walk

__all__ = ["FailedSource", "Found", "SkippedSource", "Source", "SourceListing", "SourceSpec", "find_sources"]

SourceSpec: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"


@dataclass(frozen=True, slots=True)
class SourceListing:
    """What :func:`find_sources` finds, as often as it is gone through; the attributes are its arguments."""

    spec: SourceSpec
    recursive: bool = True
    column: str | None = None
    own: OwnFiles | None = None

    def __iter__(self) -> Iterator[Found]:
        return find_sources(self.spec, recursive=self.recursive, column=self.column, own=self.own)


def find_sources(
    spec: SourceSpec, *, recursive: bool = True, column: str | None = None, own: OwnFiles | None = None
) -> Iterator[Found]:
    """The items that ``spec`` stands for.

    A file whose name ends like an image's is always a Source, so that a broken one becomes an error of its
    own; other files in folders are told by their first bytes. A file named outright is always a Source.

    Args:
        spec: a folder; a glob (``*``, ``?``, ``[]``, ``**`` for any folders between); a file; an http(s) URL;
            a list of paths or URLs as .csv, .tsv, .jsonl or .txt (relative paths are relative to it); or
            several of these.
        recursive: whether folders within folders are entered.
        column: the column or key that holds the path or URL; if not given, the first there is of path,
            file, image, url and the like.
        own: what the job itself writes; in folders it is passed over, neither a source nor skipped.

    Returns:
        An iterator that reads as it goes. Folders are in the order of names. With several specs, the names
        of a folder's files begin with the folder's own.

    Raises:
        UnreadableSourceError: a spec is not there or cannot be read; here, or, for a list's malformed line
            or a glob's folder, when the iterator comes to it.
        ParameterError: no spec, or a column that the list does not have.
    """
    specs = [spec] if isinstance(spec, (str, os.PathLike)) else list(spec)
    if not specs:
        raise ParameterError(
            "no source is given", cure="Give a folder, a file, a URL or a list.", subject="spec"
        )
    names = _Names(len(specs) > 1)
    return _chained([_opened(os.fspath(one), names, recursive, column, own) for one in specs])


def _chained(parts: list[Iterator[Found]]) -> Iterator[Found]:
    for part in parts:
        yield from part


class _Names:
    """Keeps names apart. Hashes are kept instead of names, because a list may be long."""

    def __init__(self, several: bool) -> None:
        self._several = several
        self._taken: set[int] = set()

    def unique(self, name: str, otherwise: str = "") -> str:
        """``name``, or where it is taken ``otherwise``, or ``name`` with a number."""
        number = 1
        candidate = name
        while hash(candidate) in self._taken:
            candidate = otherwise if otherwise and number == 1 else f"{name} ({number})"
            number += 1
        self._taken.add(hash(candidate))
        return candidate

    def prefix(self, folder: str) -> str:
        """What the names of the files in ``folder`` begin with."""
        if not self._several:
            return ""
        return self.unique(printable(Path(folder).resolve().name) or "root") + "/"


def _opened(
    spec: str, names: _Names, recursive: bool, column: str | None, own: OwnFiles | None
) -> Iterator[Found]:
    if spec[:8].lower().startswith(("http://", "https://")):
        return iter([Source(names.unique(spec), spec)])
    try:
        if not spec:
            raise ValueError("empty")
        is_folder = Path(spec).is_dir()
        present = is_folder or os.path.lexists(spec)
    except (OSError, ValueError) as error:
        raise unreadable(error, spec, spec) from error
    if is_folder:
        _readable(spec)
        return walk(spec, names.prefix(spec), recursive=recursive, own=own)
    if not present:
        pattern = Pattern.parse(spec)
        if pattern is None:
            raise unreadable(FileNotFoundError(2, "missing"), spec, spec)
        _readable(pattern.folder)
        return _matched(pattern, names.prefix(pattern.folder), own)
    if PurePath(spec).suffix.lower() in LIST_SUFFIXES:
        return PathList(spec, column).sources(names.unique)
    return iter([Source(names.unique(printable(PurePath(spec).name)), spec)])


def _matched(pattern: Pattern, prefix: str, own: OwnFiles | None) -> Iterator[Found]:
    met = False
    for found in walk(pattern.folder, prefix, pattern=pattern, own=own):
        met = True
        yield found
    if not met:
        raise UnreadableSourceError(
            "the pattern matches no file",
            cure="Check it; quote it so that the shell leaves it alone, and write ** for folders between.",
            subject=pattern.text,
            code="missing",
        )


def _readable(folder: str) -> None:
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        raise unreadable(error, folder, folder) from error
