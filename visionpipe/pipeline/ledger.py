"""What a worker needs of whatever keeps a job's record: a journal on this machine, or parts in a store.

An attempt is recorded before it is sent, and a result counts, and is handed on, only when it is stored: when
``Ledger.record`` has returned, or ``Ledger.store`` for its ticket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from visionpipe.results import ItemResult
from visionpipe.values import Money

if TYPE_CHECKING:
    from visionpipe.pipeline.contents import Stat
    from visionpipe.pipeline.reading import Recorded, Spent
    from visionpipe.stages.keys import Recipe


@dataclass(frozen=True, slots=True)
class Key:
    """What one item asks: which source, which bytes (None: never read), which question."""

    source: str
    question: str
    content: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it ended.

    ``failed_with`` None: answered. ``billable``: answered, or maybe billed. ``refused``: a 429.
    """

    seconds: float
    request_id: str | None = None
    failed_with: str | None = None
    billable: bool = True
    tokens: int | None = None
    cost: Money | None = None
    refused: bool = False


class Record(Protocol):
    """What is known of items."""

    def recorded(self, source: str, question: str, content: str | None = None) -> Recorded | None:
        """What became of ``source`` when it was last asked ``question``; with ``content``, of these bytes,
        where several versions are kept."""
        ...

    def known_content(self, source: str, location: str, stat: Stat) -> str | None:
        """The content of a file that has not changed since it was last read; None: it has to be read."""
        ...


class Ledger(Record, Protocol):
    """One writer's hold on a job's record; from any number of threads."""

    def begin(self, recipe: Recipe) -> int:
        """Opens a run of ``recipe``; proves that results can be stored before anything is asked.

        Returns:
            How many requests were under way when an earlier run was killed; they may have been billed.

        Raises:
            JournalError: nothing can be stored.
        """
        ...

    def note_source(self, source: str, location: str, stat: Stat, content: str) -> None:
        """Remembers what a file's bytes were; with the next result is soon enough, or never."""
        ...

    def adopt(self, source: str, question: str, job: str) -> None:
        """Counts an earlier ``job``'s result as this job's too, because its question was the same."""
        ...

    def sending(self, key: Key, tokens: int | None, cost: Money | None, *, wait: bool = True) -> int:
        """Called before a request is sent, with its estimates. What is stored here may be sent.

        Args:
            key: of the item.
            tokens, cost: estimated.
            wait: return when it is stored; False: it is stored with ``store``.

        Returns:
            The ticket for ``store``.

        Raises:
            JournalError: there would be no room for its answer.
        """
        ...

    def record(
        self, key: Key, result: ItemResult | None, sent: Sequence[Sent] = (), *, wait: bool = True
    ) -> int:
        """Records attempts and, where there is one, the end of an item.

        Args:
            key: of the item.
            result: its end.
            sent: the attempts.
            wait: as for ``sending``.

        Returns:
            The ticket for ``store``.
        """
        ...

    def store(self, ticket: int) -> None:
        """Returns when what had this ticket is stored, with all before it; raises as ``record``."""
        ...

    def standing(self, result: ItemResult, content: str | None = None) -> ItemResult:
        """``result``, an end of an item of this job, as a person left it; itself, where nobody has.

        Args:
            content: of the item's bytes, as in its key; None: the one it was last recorded with.
        """
        ...

    def spent(self, *, job: str | None = None, run: int | None = None) -> Spent:
        """What a job has used in all its runs, or one run."""
        ...

    def end(self, ending: str) -> None:
        """Notes how the run ended ("complete", or what stopped it), and closes."""
        ...

    def close(self) -> None:
        """Stores what is not stored yet, and lets go. May be called again."""
        ...
