"""A run's listing: what the caller gave, as an iterator, and whether it can be had again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from visionpipe.errors import OutputError
from visionpipe.pipeline.plan import collisions
from visionpipe.prompts.template import Template
from visionpipe.sources.find import (
    Found,
    SourceListing,
    SourceSpec,
    find_sources,
    is_repeatable,
    list_columns,
)
from visionpipe.sources.own_files import OwnFiles

Listing: TypeAlias = "SourceSpec | SourceListing"

_NAMED = 5


class Sources:
    """What to work on.

    Args:
        given: a folder, glob, file, URL, an iterable of them, or of items that were found already.
        journal: of the job; it and what lies beside it are no part of a folder's listing.
        folder: another place that the job itself keeps, likewise.
    """

    def __init__(
        self, given: Listing, journal: str | os.PathLike[str] | None = None, folder: Path | None = None
    ) -> None:
        self._given = given
        self._own = journal_files(journal) if journal is not None else OwnFiles()
        if folder is not None:
            self._own |= OwnFiles([folder])

    def __iter__(self) -> Iterator[Found]:
        return self._found(unique=True)

    def _found(self, *, unique: bool) -> Iterator[Found]:
        given = self._given
        if isinstance(given, SourceListing):
            listing = replace(given, own=self._own | (given.own or OwnFiles()))
            return listing.found(unique=unique)
        # A program's list may be empty, and its run is then, too.
        return find_sources(given, own=self._own, unique=unique) if given != [] else iter(())

    def to_count(self) -> Iterator[Found]:
        """The listing once more, where it is repeatable, with names that may repeat; else nothing of it."""
        return self._found(unique=False)

    @property
    def repeatable(self) -> bool:
        """Whether it can be gone through twice, because it is no iterator that is used up."""
        return is_repeatable(self._given)

    @property
    def columns(self) -> frozenset[str] | None:
        """The columns that lists give the items; None where items may have others."""
        if isinstance(self._given, SourceListing):
            return list_columns(self._given.spec, self._given.column)
        return list_columns(self._given)

    def checked(self, prompt: object) -> Iterator[Found]:
        """The listing, where all that is named is there and has what the prompt needs.

        Raises:
            UnreadableSourceError: a source that is not there.
            ParameterError: a template with a field that no item can have, or a source that is none.
        """
        found = iter(self)
        if isinstance(prompt, Template) and prompt.required:
            columns = self.columns
            if columns is not None:
                prompt.refuse_unknown(columns)
        return found

    def refuse_collisions(self, sidecar: Callable[[str], str]) -> None:
        """Goes through the listing, where that can be done twice.

        Raises:
            OutputError: two items would write to one sidecar.
        """
        if not self.repeatable:
            return
        found = list(islice(collisions(self, sidecar), _NAMED + 1))
        if not found:
            return
        pairs = "; ".join(f"{one} and {other}" for one, other in found[:_NAMED])
        more = " and more" if len(found) > _NAMED else ""
        raise OutputError(
            f"sidecars of different images would have one name: {pairs}{more}",
            cure="Choose a naming rule that keeps the image's suffix, or another kind of output.",
            code="collision",
        )


def journal_files(journal: str | os.PathLike[str]) -> OwnFiles:
    """A journal and the files that lie beside it while a run, or its batches, are under way."""
    path = Path(journal)
    ends = ("", "-wal", "-shm", "-journal", ".lock", ".ballast", ".batch")
    # SQLite puts its files beside the one that a link leads to, the others lie beside the link.
    return OwnFiles(place.with_name(place.name + end) for place in (path, path.resolve()) for end in ends)
