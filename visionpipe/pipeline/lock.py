"""One run at a time on one journal.

The rule: the lock is the operating system's and dies with its process, whatever kills it; the file's text
(pid and start) only tells the second run whom it has met.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from visionpipe.errors import JournalError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        # A byte far behind the text, because Windows keeps others from reading what is locked.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class JournalLock:
    """Holds ``path`` until closed.

    Raises:
        JournalError: another run holds it (``code`` "locked"), or the file cannot be written.
    """

    def __init__(self, path: Path, started_at: float) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise JournalError(
                f"the journal's lock cannot be written: {(error.strerror or str(error)).lower()}",
                cure="Check that its folder can be made and written to.",
                subject=str(path),
            ) from error
        try:
            _try_lock(self._descriptor)
        except (BlockingIOError, PermissionError) as error:
            owner = self._owner()
            os.close(self._descriptor)
            raise JournalError(
                f"another run is using this journal ({owner})",
                cure="Wait for it to end or stop it; or choose another output.",
                subject=str(path.with_suffix("")),
                code="locked",
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(
                f"the journal cannot be locked here: {(error.strerror or str(error)).lower()}",
                cure="Keep it on a file system with locks; most network shares have none.",
                subject=str(path.with_suffix("")),
            ) from error
        started = datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps({"pid": os.getpid(), "started": started}).encode())

    def _owner(self) -> str:
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            owner = json.loads(os.read(self._descriptor, 4096))
            return f"pid {owner['pid']}, started {owner['started']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "its pid is not written yet"

    @staticmethod
    def path_for(journal: Path) -> Path:
        """The lock's file for a journal."""
        return journal.with_name(journal.name + ".lock")

    def close(self) -> None:
        """Gives the lock back. The file stays: removing it would let two runs hold two files."""
        os.close(self._descriptor)
