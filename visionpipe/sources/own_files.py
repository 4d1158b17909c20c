"""The files that a job writes itself, left out where its listing comes through the folder they lie in.

Only what the job is known to write, by its exact place or by the name that a met image's sidecar
has. Another file of the same kind is met as any other, and an image always is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from visionpipe.images.sniff import IMAGE_SUFFIXES


@dataclass(frozen=True, slots=True)
class OwnSidecars:
    """Sidecars, by the rule that names them.

    Attributes:
        names: from an image's file name to those its sidecar has, whole and while it is written.
        folder: where sidecars go, with the images' folders kept below it; None: beside the images.
        roots: where the images' folders begin.
    """

    names: Callable[[str], Sequence[str]]
    folder: str | None = None
    roots: tuple[str, ...] = ()

    def images(self, folder: str, beside: Sequence[str]) -> Iterable[str]:
        """The file names of the images whose sidecars lie in ``folder``, where ``beside`` lie."""
        if self.folder is None:
            return beside
        home = os.path.realpath(self.folder)
        if folder != home and not folder.startswith(home.rstrip(os.sep) + os.sep):
            return ()
        below = os.path.relpath(folder, home)
        # The folder's own name begins its files' names where a job has several folders.
        starts = {os.path.realpath(start) for root in self.roots for start in (root, Path(root, os.pardir))}
        return [name for start in starts for name in _images_in(os.path.join(start, below))]  # noqa: PTH118  text


class OwnFiles:
    """What a job writes.

    Args:
        files: exact places; where one is a link, what it leads to is meant too.
        numbered: (folder, pattern of the file names in it).
        sidecars: see ``OwnSidecars``.
    """

    def __init__(
        self,
        files: Iterable[str | os.PathLike[str]] = (),
        numbered: Iterable[tuple[str | os.PathLike[str], re.Pattern[str]]] = (),
        sidecars: Iterable[OwnSidecars] = (),
    ) -> None:
        self._files = frozenset(place for file in files for place in _places(Path(file)))
        self._numbered = tuple((os.path.realpath(folder), pattern) for folder, pattern in numbered)
        self._sidecars = tuple(sidecars)

    def __or__(self, other: OwnFiles) -> OwnFiles:
        both = OwnFiles(sidecars=(*self._sidecars, *other._sidecars))
        both._files = self._files | other._files
        both._numbered = (*self._numbered, *other._numbered)
        return both

    def __bool__(self) -> bool:
        return bool(self._files or self._numbered or self._sidecars)

    def in_folder(self, folder: str, images: Sequence[str]) -> Callable[[str], bool]:
        """What tells, by its file name, whether an entry of ``folder`` is the job's own.

        Args:
            folder: that is being listed.
            images: the file names of the images in it.
        """
        real = os.path.realpath(folder)
        names = {name for home, name in self._files if home == real}
        for sidecars in self._sidecars:
            names.update(own for image in sidecars.images(real, images) for own in sidecars.names(image))
        patterns = [pattern for home, pattern in self._numbered if home == real]

        def is_own(name: str) -> bool:
            return (name in names or any(p.fullmatch(name) for p in patterns)) and not is_image_name(name)

        return is_own


JOURNAL_MARK = 0x56504A4C
"""The SQLite application_id of a job's journal, "VPJL"; it stands at byte 68 of the file."""
_JOURNAL_NAME = re.compile(r"(.+\.journal)(-wal|-shm|-journal|\.lock|\.ballast|\.batch)?")


def is_journal(folder: str, name: str) -> bool:
    """Whether an entry of ``folder`` is a job's journal, of this job or another, or belongs to one."""
    found = _JOURNAL_NAME.fullmatch(name) if ".journal" in name else None
    if found is None:
        return False
    try:
        with Path(folder, found.group(1)).open("rb") as file:
            return file.read(72)[68:] == JOURNAL_MARK.to_bytes(4, "big")
    except OSError:
        return False  # there is no journal that it could belong to


def is_image_name(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    stem, dot, end = name.rpartition(".")
    return bool(dot and stem) and f".{end.lower()}" in IMAGE_SUFFIXES


def _places(file: Path) -> list[tuple[str, str]]:
    places = [(os.path.realpath(file.parent), file.name)]
    if file.is_symlink():
        target = Path(os.path.realpath(file))
        places.append((str(target.parent), target.name))
    return places


def _images_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as listing:
            return [entry.name for entry in listing if is_image_name(entry.name)]
    except OSError:
        return []  # there is no such folder of images, so there are no sidecars of them
