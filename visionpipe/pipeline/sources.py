"""A run's listing: what the caller gave, as an iterator, and whether it can be had again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from visionpipe.errors import OutputError
from visionpipe.loaders.sources import Found, SkippedSource, Source, SourceSpec, find_sources
from visionpipe.pipeline.plan import collisions

Listing: TypeAlias = "SourceSpec | Iterable[Found]"

_NAMED = 5


class Sources:
    """What to work on.

    Args:
        given: a folder, glob, file, URL or list of them; or items that were found already.
    """

    def __init__(self, given: Listing) -> None:
        self._given = given

    def __iter__(self) -> Iterator[Found]:
        given = self._given
        if isinstance(given, str | os.PathLike):
            return find_sources(given)
        if isinstance(given, Sequence):
            specs = [one for one in given if not isinstance(one, Source | SkippedSource)]
            if specs:
                return find_sources(specs)
        return (one for one in given if isinstance(one, Source | SkippedSource))

    @property
    def repeatable(self) -> bool:
        """Whether it can be gone through twice, because it is no iterator that is used up."""
        return isinstance(self._given, str | os.PathLike | Sequence)

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
