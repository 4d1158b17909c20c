"""Where a run's items come from: folders, globs, files, URLs, and lists of them, in a stable order.

Everything met is a Source, a SkippedSource with its reason or a FailedSource with its error;
nothing but what the job itself writes is passed over in silence; and a million files cost the memory of one
folder's listing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeAlias

from visionpipe.errors import ParameterError, UnreadableSourceError, VisionPipeError
from visionpipe.files import unreadable
from visionpipe.files.stores import scheme_of
from visionpipe.plugins import SOURCES, broken_plugin, has_plugin, load_plugin
from visionpipe.sources.lists import LIST_SUFFIXES, PathList, is_link, local_path, piped_paths
from visionpipe.sources.own_files import OwnFiles, is_image_name
from visionpipe.sources.shards import holds_many, in_shard, items_of, stored, units_of
from visionpipe.sources.walking import (
    FailedSource,
    Found,
    Item,
    Pattern,
    SkippedSource,
    Source,
    printable,
    walk,
)

__all__ = [
    "FailedSource",
    "Found",
    "Item",
    "SkippedSource",
    "Source",
    "SourceListing",
    "SourceSpec",
    "find_sources",
    "is_link",
    "list_columns",
]

PIPE = "-"
"""What stands for a list that comes down a pipe."""

ONE: TypeAlias = "str | os.PathLike[str] | Item | Found"
SourceSpec: TypeAlias = "str | os.PathLike[str] | Iterable[ONE]"


@dataclass(frozen=True, slots=True)
class SourceListing:
    """What ``find_sources`` finds, as often as it is gone through; the attributes are its arguments."""

    spec: SourceSpec
    recursive: bool = True
    column: str | None = None
    own: OwnFiles | None = None
    piped: bytes | None = None
    shard: tuple[int, int] | None = None
    """Which of how many (from 0): files that hold many items are dealt out where there are enough, else
    items by a hash of their names."""

    def __iter__(self) -> Iterator[Found]:
        return self.found()

    def found(self, *, unique: bool = True) -> Iterator[Found]:
        """As ``find_sources``, which takes ``unique``."""
        if self.shard is not None:
            return self._found_in_shard(*self.shard)
        return self._found(unique)

    def _found_in_shard(self, number: int, count: int) -> Iterator[Found]:
        specs = _specs(self.spec)
        if not isinstance(specs, Iterator) and all(isinstance(s, str) and holds_many(s) for s in specs):
            units = [unit for spec in specs for unit in units_of(str(spec))]
            if len(units) >= count:
                return items_of(units[number::count], self.column)
        return (found for found in self._found(True) if in_shard(found.name, number, count))

    def _found(self, unique: bool) -> Iterator[Found]:
        return find_sources(
            self.spec,
            recursive=self.recursive,
            column=self.column,
            own=self.own,
            piped=self.piped,
            unique=unique,
        )


def find_sources(
    spec: SourceSpec,
    *,
    recursive: bool = True,
    column: str | None = None,
    own: OwnFiles | None = None,
    piped: bytes | None = None,
    unique: bool = True,
) -> Iterator[Found]:
    """The items that ``spec`` stands for.

    A file whose name ends like an image's is always a Source, so that a broken one becomes an error of its
    own; other files in folders are told by their first bytes. A file named outright is always a Source.

    Args:
        spec: a folder; a glob (``*``, ``?``, ``[]``, ``**`` for any folders between); a file; an http(s) URL;
            a list of paths or URLs as .csv, .tsv, .jsonl or .txt (relative paths are relative to it); tar
            shards, Parquet or Arrow tables, also as ``{000..127}``; a place in an object store; or
            ``NAME:REST``, where an installed package names a source so; or
            an iterable of any of these, of Items, or of items found already. An iterator is read as the
            run goes on; a path that it gives and that is not there fails alone.
        recursive: whether folders within folders are entered.
        column: the column or key that holds the path or URL; if not given, the first there is of path,
            file, image, url and the like.
        own: what the job itself writes; in folders it is passed over, neither a source nor skipped.
        piped: what the spec ``-`` stands for: paths and URLs, one a line or before each NUL.
        unique: whether names are kept apart, which takes memory for each; not needed only to count.

    Returns:
        An iterator that reads as it goes. Folders are in the order of names. With several specs, the names
        of a folder's files begin with the folder's own. A file named outright is called by its path as given;
        named twice, it is the same Source twice.

    Raises:
        UnreadableSourceError: a spec is not there or cannot be read; here, or, for a list's malformed line
            or a glob's folder, when the iterator comes to it.
        ParameterError: no spec, one of another type, an archive that is not read, or a column that the list
            does not have; for what an iterator gives, when it gives it.
    """
    specs = _specs(spec)
    if isinstance(specs, Iterator):
        return _as_they_come(specs, recursive, column, own)
    if not specs:
        raise ParameterError(
            "no source is given", cure="Give a folder, a file, a URL or a list.", subject="spec"
        )
    if all(isinstance(one, FailedSource | SkippedSource | Source | Item) for one in specs):
        return map(_found, specs)
    names = _Names(len(specs) > 1) if unique else _AnyNames(len(specs) > 1)
    return _chained(
        [
            (_single(path, names) for path in piped_paths(piped))
            if one == PIPE and piped is not None
            else _opened(one, names, recursive, column, own)
            for one in [_checked(one) for one in specs]
        ]
    )


def is_repeatable(spec: object) -> bool:
    """Whether ``spec`` can be gone through twice, because it is no iterator that is used up."""
    return isinstance(spec, str | os.PathLike | Sequence | Set | SourceListing)


def list_columns(spec: SourceSpec, column: str | None = None) -> frozenset[str] | None:
    """The columns that lists in ``spec`` give their items; None where items may have others.

    Args:
        spec, column: as for ``find_sources``.
    """
    known, specs = frozenset[str](), _specs(spec)
    if isinstance(specs, Iterator):
        return None
    for one in specs:
        if not isinstance(one, str | os.PathLike):
            return None
        path = os.fspath(one)
        if _named_source(path) is not None:
            return None
        if PurePath(path).suffix.lower() in LIST_SUFFIXES and not is_link(path):
            columns = PathList(path, column).columns
            if columns is None:
                return None
            known |= columns
    return known


def _specs(spec: object) -> Collection[object] | Iterator[object]:
    """The parts of ``spec``, a set's in the order of names; an iterator where they come one by one."""
    if isinstance(spec, str | os.PathLike):
        return [spec]
    if isinstance(spec, bytes | bytearray | memoryview | Mapping) or not isinstance(spec, Iterable):
        raise _no_source(spec)
    if not is_repeatable(spec):
        return iter(spec)
    if isinstance(spec, Sequence):
        return spec
    return sorted(spec, key=_order)


def _order(one: object) -> str:
    one = _checked(one)
    return one if isinstance(one, str) else one.name


def _checked(one: object) -> str | Found:
    """One source as text, or as it was found already."""
    if isinstance(one, FailedSource | SkippedSource | Source):
        return one
    if isinstance(one, Item):
        return one.source()
    path = os.fspath(one) if isinstance(one, str | os.PathLike) else None
    if not isinstance(path, str):
        raise _no_source(one)
    return path


def _found(one: object) -> Found:
    one = _checked(one)
    if isinstance(one, str):
        raise _no_source(one)  # the list was changed meanwhile
    return one


def _no_source(given: object) -> ParameterError:
    kind = type(given).__name__
    picture = "Save pictures in files first. " if isinstance(given, bytes) or "Image" in kind else ""
    return ParameterError(
        f"a {kind} names no images",
        cure=f"{picture}Give a folder, a glob, a file, a URL or a list file as text or path, or several.",
        subject="sources",
        scope="job",
    )


def _chained(parts: list[Iterator[Found]]) -> Iterator[Found]:
    for part in parts:
        yield from part


def _as_they_come(
    specs: Iterator[object], recursive: bool, column: str | None, own: OwnFiles | None
) -> Iterator[Found]:
    """As ``find_sources`` for an iterator, of which the names alone are kept."""
    names = _Names(True)
    for given in specs:
        one = _checked(given)
        if not isinstance(one, str):
            yield one
            continue
        if _is_single(one):
            yield _single(one, names)
        else:
            yield from _opened(one, names, recursive, column, own)


def _single(one: str, names: _Names) -> Source | FailedSource:
    """One item of many that are named; what is wrong with it is its own affair."""
    if scheme_of(one):
        return stored(one, names.unique(one))
    try:
        path = one if is_link(one) else local_path(one)
        _refuse_archive(path)
    except VisionPipeError as error:
        return FailedSource(names.unique(one), error)
    return names.piped(path)


def _is_single(spec: str) -> bool:
    """Whether ``spec`` stands for one item and no more."""
    if is_link(spec):
        return True
    if holds_many(spec):
        return bool(scheme_of(spec)) and is_image_name(PurePosixPath(spec).name)
    try:
        if Path(spec).is_dir() or (not os.path.lexists(spec) and Pattern.parse(spec) is not None):
            return False
    except (OSError, ValueError):
        return True  # opening it tells what is wrong
    return PurePath(spec).suffix.lower() not in LIST_SUFFIXES


_ARCHIVES = {
    ".gz": "tar -xf {name} -C photos/",
    ".zip": "unzip {name} -d photos/",
    ".7z": "7z x {name} -ophotos/",
}


def _refuse_archive(path: str) -> None:
    suffix = PurePath(path).suffix.lower()
    if suffix not in _ARCHIVES:
        return
    unpack = _ARCHIVES[suffix].format(name=PurePath(path).name)
    how = f"Unpack it (`{unpack}`)" if unpack else "Write its images to a folder"
    raise ParameterError(
        f"{suffix} files hold many images, and are not read",
        cure=f"{how}, and give that folder.",
        subject=path,
        code="unsupported_archive",
        scope="job",
    )


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


class _AnyNames(_Names):
    """Names as they come, of which none is remembered but a folder's."""

    def unique(self, name: str, otherwise: str = "") -> str:
        return name

    def piped(self, path: str) -> Source:
        return Source(path if is_link(path) else given_name(path), path)

    def _outright(self, identity: str, name: str, location: str) -> Source:
        return Source(name, location)


def _within(path: str) -> str:
    """The place of a file, whose folder's links are followed, but not its own."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118  text


def given_name(path: str) -> str:
    """A path as it was given, as text with forward slashes and without needless dots."""
    return printable(PurePath(path).as_posix())


def _opened(
    spec: str | Found, names: _Names, recursive: bool, column: str | None, own: OwnFiles | None
) -> Iterator[Found]:
    if not isinstance(spec, str):
        return iter([spec])
    if is_link(spec):
        return iter([names.link(spec)])
    if holds_many(spec):
        return items_of(units_of(spec), column)
    named = _named_source(spec)
    if named is not None:
        return _of_plugin(*named, recursive, column, own)
    spec = local_path(spec)
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
    _refuse_archive(spec)
    return iter([names.file(spec)])


_WORD = re.compile(r"([A-Za-z][\w-]+):(?!//)(.*)", re.DOTALL)
_OWN_WORDS = frozenset({"http", "https", "file", "data", "s3", "gs", "gcs", "az", "abfs", "hf"})


def _named_source(spec: str) -> tuple[str, str] | None:
    """The name of another package's source, and the rest; None where ``spec`` is a path."""
    found = _WORD.fullmatch(spec)
    if found is None or os.path.lexists(spec) or not has_plugin(SOURCES, found[1], _OWN_WORDS):
        return None
    return found[1], found[2]


def _of_plugin(
    name: str, rest: str, recursive: bool, column: str | None, own: OwnFiles | None
) -> Iterator[Found]:
    """What another package's source gives, as it gives it."""
    make = load_plugin(SOURCES, name)
    try:
        yield from _as_they_come(iter(make(rest)), recursive, column, own)
    except VisionPipeError:
        raise
    except Exception as error:
        raise broken_plugin(SOURCES, name, f"failed ({type(error).__name__}: {error})") from error


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
