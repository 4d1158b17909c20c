"""Unexpected exceptions: each is the failure of the item that met it, and several in a row end the run."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path

from visionpipe.errors import UnexpectedError
from visionpipe.results import ItemResult, Outcome

MOST_IN_A_ROW = 5
"""Items that ended so one after the other: then it is no longer the items."""

_PACKAGE = Path(__file__).parents[1]


def unexpected(error: Exception, source: str) -> UnexpectedError:
    """``error`` as the failure of one item, with a line that can be reported.

    Args:
        error: what was raised, by this library or by a function that it was given.
        source: the item's name.
    """
    found = UnexpectedError(
        f"unexpected {type(error).__name__}: {error} ({_place(error)})",
        cure="Report this line; the other items go on.",
        subject=source,
    )
    found.__cause__ = error
    return found


def _place(error: Exception) -> str:
    """Where it was raised: the last line in this library, else the last one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not frames:
        return "nowhere known"
    frame = (own or frames)[-1]
    path = Path(frame.filename)
    name = path.relative_to(_PACKAGE.parent).as_posix() if own else path.name
    return f"{name}:{frame.lineno}, in {frame.name}"


class UnexpectedInARow:
    """Counts items that ended with an unexpected error, from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def ended(self, result: ItemResult) -> bool:
        """An item came to its end in this run. True where it is the last of too many in a row."""
        if result.outcome is Outcome.SKIPPED:
            return False
        with self._lock:
            failure = result.failure
            met = failure is not None and failure.error == UnexpectedError.__name__
            self._count = self._count + 1 if met else 0
            return self._count == MOST_IN_A_ROW


def too_many(result: ItemResult) -> UnexpectedError:
    """The error that ends a run after too many in a row, of which ``result`` is the last."""
    reason = result.failure.reason if result.failure is not None else "unexpected errors"
    return UnexpectedError(
        f"{MOST_IN_A_ROW} items in a row met something unexpected, the last: {reason}",
        cure="Report this line; the same command goes on from here.",
        subject=result.source,
        scope="job",
    )
