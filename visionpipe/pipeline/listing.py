"""A run's listing: what the caller gave, as an iterator, and whether it can be had again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from visionpipe.errors import OutputError
from visionpipe.pipeline.plan import collisions
from visionpipe.sources.find import (
    FailedSource,
    Found,
    SkippedSource,
    Source,
    SourceListing,
    SourceSpec,
    find_sources,
)
from visionpipe.sources.own_files import OwnFiles

Listing: TypeAlias = "SourceSpec | Iterable[Found]"

_NAMED = 5


class Sources:
    """What to work on.

    Args:
        given: a folder, glob, file, URL or list of them; or items that were found already.
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
        given = self._given
        if isinstance(given, str | os.PathLike):
            return find_sources(given, own=self._own)
        if isinstance(given, SourceListing):
            return iter(replace(given, own=self._own | (given.own or OwnFiles())))
        if isinstance(given, Sequence):
            specs = [one for one in given if not isinstance(one, FailedSource | SkippedSource | Source)]
            if specs:
                return find_sources(specs, own=self._own)
        return (one for one in given if isinstance(one, FailedSource | SkippedSource | Source))

    @property
    def repeatable(self) -> bool:
        """Whether it can be gone through twice, because it is no iterator that is used up."""
        return isinstance(self._given, str | os.PathLike | Sequence | SourceListing)

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
