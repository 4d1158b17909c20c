"""Where a run's items come from: folders, globs, files, URLs, and lists of them, in a stable order.

Everything met is a Source, a SkippedSource with its reason or a FailedSource with its error;
nothing but what the job itself writes is passed over in silence; and a million files cost the memory of one
folder's listing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePath
from typing import TypeAlias

from visionpipe.errors import ParameterError, UnreadableSourceError
from visionpipe.files import unreadable
from visionpipe.sources.lists import LIST_SUFFIXES, PathList, piped_paths
from visionpipe.sources.own_files import OwnFiles
from visionpipe.sources.walking import FailedSource, Found, Pattern, SkippedSource, Source, printable, walk

__all__ = ["FailedSource", "Found", "SkippedSource", "Source", "SourceListing", "SourceSpec", "find_sources"]

PIPE = "-"
"""What stands for a list that comes down a pipe."""

SourceSpec: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"


@dataclass(frozen=True, slots=True)
class SourceListing:
    """What :func:`find_sources` finds, as often as it is gone through; the attributes are its arguments."""

    spec: SourceSpec
    recursive: bool = True
    column: str | None = None
    own: OwnFiles | None = None
    piped: bytes | None = None

    def __iter__(self) -> Iterator[Found]:
        return find_sources(
            self.spec, recursive=self.recursive, column=self.column, own=self.own, piped=self.piped
        )


def find_sources(
    spec: SourceSpec,
    *,
    recursive: bool = True,
    column: str | None = None,
    own: OwnFiles | None = None,
    piped: bytes | None = None,
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
        piped: what the spec ``-`` stands for: paths and URLs, one a line or before each NUL.

    Returns:
        An iterator that reads as it goes. Folders are in the order of names. With several specs, the names
        of a folder's files begin with the folder's own. A file named outright is called by its path as given;
        named twice, it is the same Source twice.

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
    given = [os.fspath(one) for one in specs]
    return _chained(
        [
            map(names.piped, piped_paths(piped))
            if one == PIPE and piped is not None
            else _opened(one, names, recursive, column, own)
            for one in given
        ]
    )


def _chained(parts: list[Iterator[Found]]) -> Iterator[Found]:
    for part in parts:
        yield from part


class _Names:
    """Keeps names apart. Of a list's names, which may be many, only hashes are kept."""

    def __init__(self, several: bool) -> None:
        self._several = several
        self._taken: set[int] = set()
        self._prefixes: dict[str, str] = {}  # by the folder's real path
        self._named: dict[str, Source] = {}  # by the file's real path, or the URL
        self._piped: set[int] = set()

    def unique(self, name: str, otherwise: str = "") -> str:
        """``name``, or where it is taken ``otherwise``, or ``name`` with a number."""
        found = name
        if hash(name) in self._taken or self._is_below_folder(name):
            others = chain([otherwise] if otherwise else [], (f"{name} ({n})" for n in count(1)))
            found = next(other for other in others if hash(other) not in self._taken)
        self._taken.add(hash(found))
        return found

    def link(self, url: str) -> Source:
        return self._outright(url, url, url)

    def file(self, path: str) -> Source:
        """A file named outright: by its path as given; the same file is the same Source again."""
        real = os.path.realpath(path)
        place = _within(path)
        for folder, prefix in self._prefixes.items():
            if place.startswith(folder + os.sep):
                below = place[len(folder) + 1 :]
                return self._outright(real, prefix + printable(PurePath(below).as_posix()), path)
        name = given_name(path)
        return self._outright(real, given_name(real) if self._is_below_folder(name) else name, path)

    def piped(self, path: str) -> Source:
        """A file or link named down a pipe: by its path as given, and again the same where it comes again."""
        name = path if is_link(path) else given_name(path)
        mark = hash(name)
        if mark not in self._piped and (mark in self._taken or self._is_below_folder(name)):
            name = self.unique(name, path if is_link(path) else given_name(os.path.realpath(path)))
        else:
            self._piped.add(mark)
            self._taken.add(mark)
        return Source(name, path)

    def prefix(self, folder: str) -> str:
        """What the names of the files in ``folder`` begin with: its own name, or where that is taken its
        path."""
        if not self._several:
            return ""
        real = os.path.realpath(folder)
        if real not in self._prefixes:
            known = (f"{given_name(one).rstrip('/')}/" for one in (PurePath(real).name or "root", folder))
            free = (prefix for prefix in known if self._is_free(prefix, real))
            self._prefixes[real] = next(free, f"{given_name(real)}/")
        return self._prefixes[real]

    def _outright(self, identity: str, name: str, location: str) -> Source:
        if identity not in self._named:
            self._taken.add(hash(name))
            self._named[identity] = Source(name, location)
        return self._named[identity]

    def _is_free(self, prefix: str, folder: str) -> bool:
        """Whether no other folder has ``prefix``, nor a file that lies elsewhere."""
        return prefix not in self._prefixes.values() and not any(
            source.name.startswith(prefix) and not _within(source.location).startswith(folder + os.sep)
            for source in self._named.values()
        )

    def _is_below_folder(self, name: str) -> bool:
        return any(name.startswith(prefix) for prefix in self._prefixes.values())


def _within(path: str) -> str:
    """The place of a file, whose folder's links are followed, but not its own."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118  text


def given_name(path: str) -> str:
    """A path as it was given, as text with forward slashes and without needless dots."""
    return printable(PurePath(path).as_posix())


def _opened(
    spec: str, names: _Names, recursive: bool, column: str | None, own: OwnFiles | None
) -> Iterator[Found]:
    if is_link(spec):
        return iter([names.link(spec)])
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
    return iter([names.file(spec)])


def is_link(spec: str) -> bool:
    """Whether a source is a link, and no path."""
    return spec[:8].lower().startswith(("http://", "https://"))


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
