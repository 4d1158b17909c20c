"""Text and JSON sidecars: one small file an image.

The rule: a sidecar is there whole or not at all, and only for an item that is done; a failed or skipped item
leaves what is there as it is.
"""

from __future__ import annotations

from pathlib import Path

from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.files import output_errors, replace_file
from visionpipe.sinks.naming import Claims, SidecarNaming
from visionpipe.sinks.records import dump, encodable
from visionpipe.sinks.sink import Locate


class SidecarSink:
    """What the kinds of sidecar share: naming, collisions, and writing in one step.

    Args:
        naming: where each sidecar goes.
    """

    keeps_previous = True

    def __init__(self, naming: SidecarNaming) -> None:
        self.naming = naming
        self._claims = Claims()

    def content(self, result: ItemResult, target: Path) -> bytes:
        """The sidecar's bytes; ``target`` may hold an earlier one."""
        raise NotImplementedError

    def write(self, result: ItemResult) -> None:
        if result.outcome is not Outcome.DONE:
            return
        target = self.naming.target(result.source)
        self._claims.claim(target, result.source)
        data = self.content(result, target)
        with output_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, data)

    def flush(self) -> None:
        """Nothing waits: every sidecar is written at once."""

    def close(self) -> None:
        """Nothing waits: every sidecar is written at once."""

    def abort(self) -> None:
        """Sidecars written stay."""


class TextSidecarSink(SidecarSink):
    """The caption alone, as trainers read it: ``a.txt`` beside ``a.jpg``.

    Args:
        folder: where sidecars go; None: beside the images.
        pattern: the naming rule, see :class:`visionpipe.sinks.naming.SidecarNaming`.
        root, locate: as there.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str = "{stem}.txt",
        root: Path | None = None,
        locate: Locate | None = None,
    ) -> None:
        super().__init__(SidecarNaming(pattern, Path(folder) if folder else None, root, locate))

    def content(self, result: ItemResult, target: Path) -> bytes:
        return f"{encodable(result.caption or '').strip()}\n".encode()


class JsonSidecarSink(SidecarSink):
    """The whole result, as in a JSONL line: ``a.json`` beside ``a.jpg``.

    Args:
        folder, pattern, root, locate: as for :class:`TextSidecarSink`.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str = "{stem}.json",
        root: Path | None = None,
        locate: Locate | None = None,
    ) -> None:
        super().__init__(SidecarNaming(pattern, Path(folder) if folder else None, root, locate))

    def content(self, result: ItemResult, target: Path) -> bytes:
        return dump(result.to_json(), indent=True) + b"\n"
