"""JSON that is still being written: what of it is certain so far."""

from __future__ import annotations

from typing import Any

_NOTHING = object()


class PartialReader:
    """Fed with an answer's text as it grows.

    >>> reader = PartialReader()
    >>> reader.feed('Here: {"name": "Te')
    {'name': 'Te'}
    """

    def __init__(self) -> None:
        self._text = ""
        self._last: Any = _NOTHING

    def feed(self, piece: str) -> Any:
        """The document so far, its last string perhaps unfinished; None where ``piece`` changed nothing.

        Only the first object or array in the text counts, as in
        :func:`visionpipe.wire.tolerant_json.read_tolerant`; what follows it is passed over.
        """
        import pydantic_core

        self._text += piece
        begin = min((at for at in (self._text.find("{"), self._text.find("[")) if at >= 0), default=None)
        if begin is None:
            return None
        try:
            found = pydantic_core.from_json(self._text[begin:], allow_partial="trailing-strings")
        except ValueError:
            # No JSON, or prose behind a whole document: there is nothing new in it.
            return None
        if found == self._last:
            return None
        self._last = found
        return found
