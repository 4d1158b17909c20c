"""Request ids are used once: a second request with the same id is refused with 1231.

How long the service remembers an id is not documented; here it is the newest hundred thousand.
"""

from __future__ import annotations

from collections import OrderedDict

from visionpipe.sandbox.refusals import Refusal


class RequestIds:
    """The ids each key has used."""

    def __init__(self, remembered: int = 100_000) -> None:
        self._used: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._remembered = remembered

    def claim(self, key: str, request_id: str) -> None:
        """Take the id for this request; Refusal 1231 where it was taken before."""
        if (key, request_id) in self._used:
            raise Refusal("1231", request_id)
        self._used[(key, request_id)] = None
        if len(self._used) > self._remembered:
            self._used.popitem(last=False)

    def clear(self) -> None:
        self._used.clear()
