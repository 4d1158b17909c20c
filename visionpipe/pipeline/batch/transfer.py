"""Moves files of lines: written here, uploaded, made into batches, fetched back.

Before anything is sent again after a break the service is asked whether it has it already (an upload by its
name, a batch by its input file), so no batch is made, or billed, twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from visionpipe.client import Client
from visionpipe.errors import RejectedRequestError, VisionPipeError
from visionpipe.pipeline.batch.store import BatchStore, StoredFile
from visionpipe.stages.retry import LONG
from visionpipe.wire.batches import BatchFile, BatchRecord
from visionpipe.wire.files import FileRecord

_TRIES = 5
_PAGE = 100


class BatchTransfer:
    """Carries one job's files.

    Args:
        client: of an endpoint with batches.
        store: where it is remembered how far each file has come.
        folder: for files under way; made if it is not there.
        sleep: seconds to wait before something is tried again.
    """

    def __init__(
        self, client: Client, store: BatchStore, folder: Path, sleep: Callable[[float], object]
    ) -> None:
        self._client = client
        self._store = store
        self._folder = folder
        self._sleep = sleep

    def begin(self) -> tuple[StoredFile, BatchFile]:
        """A new file to write lines to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        stored = self._store.begin_file()
        return stored, BatchFile(self._folder / stored.name)

    def upload(self, file: StoredFile, *, again: bool = False) -> bool:
        """Bring a written file to the service, and remove it here.

        Args:
            file: in the state "written".
            again: an earlier run may have sent it.

        Returns:
            False where it is neither here nor there, so that its lines have to be written anew.
        """
        path = self._folder / file.name
        found = self._find_upload(file) if again else None
        if found is None:
            if not path.exists():
                self._store.forget(file.number)
                return False
            found = self._client.files.upload(path, "batch")
        self._store.uploaded(file.number, found.id)
        path.unlink(missing_ok=True)
        return True

    def create(self, file: StoredFile, *, again: bool = False) -> bool:
        """Make a batch of an uploaded file, unless there is one of it.

        Args:
            file: in the state "uploaded".
            again: an earlier run may have made it.

        Returns:
            False where an earlier run's upload is gone, so that its lines have to be written anew.
        """
        assert file.file_id is not None, "an uploaded file has an id"
        look = again
        for tried in range(1, _TRIES + 1):
            batch = self._find_batch(file.file_id) if look else None
            try:
                batch = batch or self._client.batches.create(file.file_id, {"visionpipe": file.name[:64]})
            except RejectedRequestError:
                if not again:
                    raise
                self._store.forget(file.number)
                return False
            except VisionPipeError as error:
                if not error.retryable or tried == _TRIES:
                    raise
                # It may have been made although the answer was lost.
                look = True
                self._sleep(LONG.seconds(tried, getattr(error, "retry_after", None)))
                continue
            self._store.created(file.number, batch.id)
            return True
        raise AssertionError("the last try returns or raises")

    def is_gone(self, file: StoredFile, error: VisionPipeError) -> bool:
        """Whether ``error``, met when asking after a file's batch, means that the service has none: it says
        so, and does not list it either."""
        says_so = isinstance(error, RejectedRequestError) or getattr(error, "status", None) == 404
        return says_so and all(batch.id != file.batch_id for batch in self._batches())

    def fetch(self, batch: BatchRecord) -> list[Path]:
        """The output and error files of an ended batch; what is here already is not fetched again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
            if file_id is None:
                continue
            path = self._results(batch.id, kind)
            if not path.exists():
                self._client.files.save(file_id, path)
            paths.append(path)
        return paths

    def settle(self, file: StoredFile, batch_id: str) -> None:
        """Everything of a batch is in the journal: nothing of it is kept here."""
        self._store.forget(file.number)
        for kind in ("output", "error"):
            self._results(batch_id, kind).unlink(missing_ok=True)
        self._leave()

    def drop(self, file: StoredFile) -> None:
        """A file that was being written when its run was broken off."""
        self._store.forget(file.number)
        (self._folder / file.name).unlink(missing_ok=True)

    def _leave(self) -> None:
        """Remove the folder once it is empty."""
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _results(self, batch_id: str, kind: str) -> Path:
        # An id is the service's word; it shall not lead out of the folder.
        safe = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in batch_id)
        return self._folder / f"{safe}-{kind}.jsonl"

    def _find_upload(self, file: StoredFile) -> FileRecord | None:
        after: str | None = None
        while True:
            page = self._client.files.list("batch", after=after, limit=_PAGE)
            for found in page.items:
                if found.filename == file.name and found.size in (None, file.size):
                    return found
            if page.after is None or page.after == after:
                return None
            after = page.after

    def _find_batch(self, file_id: str) -> BatchRecord | None:
        return next((batch for batch in self._batches() if batch.input_file_id == file_id), None)

    def _batches(self) -> Iterator[BatchRecord]:
        after: str | None = None
        while True:
            page = self._client.batches.list(after=after, limit=_PAGE)
            yield from page.items
            if page.after is None or page.after == after:
                return
            after = page.after
