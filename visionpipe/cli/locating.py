"""Where the file of a result lies: beside it go sidecars, and from it galleries and shards take the picture.

The rule: the journal knows from where each source was read. A name alone does not tell, since names begin
below the folder, glob or list that was given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visionpipe.pipeline.reading import JournalView


class Locator:
    """From a result's source to its file, None for links; a ``Locate``.

    Args:
        journal: the job's, looked into from the first question on.
        images: the folder that the images are in now; None: where the journal found them.
    """

    def __init__(self, journal: Path, images: Path | None = None) -> None:
        self._journal = journal
        self._images = images
        self._view: JournalView | None = None

    def __call__(self, source: str) -> Path | None:
        if "://" in source:
            return None
        if self._images is not None:
            return self._images / source
        if self._view is None:
            from visionpipe.pipeline.reading import JournalView

            self._view = JournalView.open(self._journal)
        return Path(self._view.location(source) or source)

    def close(self) -> None:
        """Gives the journal back; a further question opens it again."""
        if self._view is not None:
            self._view.close()
            self._view = None
