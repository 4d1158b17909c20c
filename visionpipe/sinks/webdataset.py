"""WebDataset shards: tar files in which each sample is the image's own bytes, its caption and its result.

    NAME-000000.tar: 000000000.jpg 000000000.txt 000000000.json 000000001.png ...

Images are copied as they lie on disk, in pieces, never decoded. Keys are numbers, since a key ends
at its first dot and file names repeat; the path stands in the JSON. Shards are written beside their targets
and take their places together, at ``close``.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from visionpipe.files import ReplacingFile, output_errors
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.sink import Locate, dump, encodable, missing_image
from visionpipe.stages.plain_text import TextForm, plain_text

_BLOCK = 512
_PIECE = 1 << 20
_END = bytes(2 * _BLOCK)


class WebDatasetSink:
    """Writes the samples of the items that are done.

    Args:
        path: ``out.tar`` makes out-000000.tar, out-000001.tar, ...; shards of that name that are there are
            replaced at ``close``, those beyond the new count deleted.
        locate: from a source to its file; None: the source is a path.
        form: of the texts.
        max_shard_bytes: a shard is full before it passes this, but for a single larger sample.
        max_shard_samples: most samples a shard.

    Attributes:
        tidied: what was taken off answers for their texts, counted by kind.
    """

    keeps_previous = False

    def __init__(
        self,
        path: str | Path,
        *,
        locate: Locate | None = None,
        form: TextForm | None = None,
        max_shard_bytes: int = 1_000_000_000,
        max_shard_samples: int = 10_000,
    ) -> None:
        self.path = Path(path)
        self._locate: Locate = locate or Path
        self._form = form or TextForm()
        self.tidied: Counter[str] = Counter()
        self._max_bytes = max_shard_bytes
        self._max_samples = max_shard_samples
        self._samples = 0
        self._in_shard = 0
        self._shards: list[ReplacingFile] = []
        self._shard: ReplacingFile | None = None
        self._closed = False
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, result: ItemResult) -> None:
        if result.outcome is not Outcome.DONE:
            return
        image = self._image(result.source)
        plain = plain_text(result.caption or "", result.data, self._form)
        caption = encodable(plain.text).encode()
        record = dump(result.to_json())
        try:
            with image.open("rb") as file:
                size = file.seek(0, 2)
                total = 3 * _BLOCK + _padded(size) + _padded(len(caption)) + _padded(len(record))
                shard = self._room_for(total)
                key = f"{self._samples:09d}"
                suffix = image.suffix.lower() or ".bin"

                def pieces() -> Iterator[bytes]:
                    file.seek(0)
                    yield _header(f"{key}{suffix}", size)
                    yield from _copied(file, size, result.source)
                    for name, data in ((".txt", caption), (".json", record)):
                        yield _header(f"{key}{name}", len(data))
                        yield data
                        yield bytes(_padded(len(data)) - len(data))

                shard.add_pieces(pieces())
        except OSError as error:
            raise missing_image(result.source, error) from error
        self._samples += 1
        self._in_shard += 1
        self.tidied.update(note.kind for note in plain.notes)

    def flush(self) -> None:
        if self._shard is not None:
            self._shard.sync()

    def close(self) -> None:
        if self._closed:
            return
        if not self._shards:
            self._next_shard()
        self._end_shard()
        for shard in self._shards:
            shard.finish()
        for stale in self._targets_beyond(len(self._shards)):
            with output_errors(stale):
                stale.unlink()
        self._closed = True

    def abort(self) -> None:
        if not self._closed:
            for shard in self._shards:
                shard.discard()
        self._closed = True

    def _image(self, source: str) -> Path:
        image = self._locate(source)
        if image is None:
            raise missing_image(source, None)
        return image

    def _target(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-{number:06d}.tar")

    def _targets_beyond(self, count: int) -> Iterator[Path]:
        number = count
        while (target := self._target(number)).exists():
            yield target
            number += 1

    def _room_for(self, size: int) -> ReplacingFile:
        shard = self._shard
        if (
            shard is not None
            and self._in_shard
            and (shard.size + size + len(_END) > self._max_bytes or self._in_shard >= self._max_samples)
        ):
            self._end_shard()
            shard = None
        return shard if shard is not None else self._next_shard()

    def _next_shard(self) -> ReplacingFile:
        self._shard = ReplacingFile(self._target(len(self._shards)))
        self._shards.append(self._shard)
        self._in_shard = 0
        return self._shard

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._shard.add(_END)
            self._shard.close()
            self._shard = None


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.USTAR_FORMAT if size < 8 << 30 else tarfile.GNU_FORMAT)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _copied(file: BinaryIO, size: int, source: str) -> Iterator[bytes]:
    left = size
    while left:
        try:
            piece = file.read(min(left, _PIECE))
        except OSError as error:
            raise missing_image(source, error) from error
        if not piece:
            raise missing_image(source, OSError("it grew shorter while it was read"))
        left -= len(piece)
        yield piece
    yield bytes(_padded(size) - size)
