"""A JSON document while it is being written: what there is of it after each piece of the answer.

The work is linear in the answer's length, however many pieces it comes in: a document is shown again only
where the letters that have come pay for copying what is still open in it.
"""

from __future__ import annotations

import re
from typing import Any

from visionpipe.wire.tolerant_json import DocumentReader, NoJSONError

COPIES_A_LETTER = 64
"""How many entries of open objects and arrays may be copied for each letter that comes. A row of a list of
8,000 is shown about once; what is shorter than 250 entries, after every piece."""

_OPENER = re.compile(r"[{\[]")


class PartialReader:
    """Fed with an answer's text as it grows.

    ``copied``: how many entries have been copied to show documents.

    >>> reader = PartialReader()
    >>> reader.feed('Here: {"name": "Te')
    {'name': 'Te'}
    """

    def __init__(self) -> None:
        self.copied = 0
        self._letters = 0
        self._reader: DocumentReader | None = None
        self._shown: tuple[int, int] | None = None
        self._broken = False

    def feed(self, piece: str) -> Any:
        """The document so far, its last string perhaps unfinished; None where there is nothing new to show.

        Where several documents follow each other, it is the one that is being written. What is closed in a
        document is the same object in the next one, so change nothing in it. Once a document turns out to be
        broken, nothing more is shown.
        """
        self._letters += len(piece)
        found, at = None, 0
        while not self._broken:
            if self._reader is None:
                opener = _OPENER.search(piece, at)
                if opener is None:
                    break
                self._reader, self._shown, at = DocumentReader(float), None, opener.start()
            reader = self._reader
            try:
                end = reader.feed(piece, at)
            except NoJSONError:
                self._broken = reader.seen
                self._reader, at = None, max(reader.at, at + 1)
                continue
            if end < 0:
                return self._growing(reader) or found
            if reader.state != self._shown:
                found = reader.root
            self._reader, at = None, end
        return found

    def _growing(self, reader: DocumentReader) -> Any:
        state = reader.state
        if state == self._shown or state == (0, 0):
            return None
        cost = reader.cost
        if self.copied + cost > COPIES_A_LETTER * self._letters:
            return None
        self.copied += cost
        self._shown = state
        return reader.so_far()
