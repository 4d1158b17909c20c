"""A program with a job without end: ``python -m tests.pipeline.endless_worker``.

Arguments: folder, base URL, key, ceiling. It goes on until it is ended.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from visionpipe.client import Client
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.sources.find import Source
from visionpipe.testing.images import jpeg_bytes

FILES = 2000


def endless(folder: Path) -> Iterator[Source]:
    """Sources with ever new contents, in files that are used again when they are long done with."""
    plain = jpeg_bytes(48, 32)
    for number in itertools.count():
        path = folder / f"{number % FILES:04}.jpg"
        path.write_bytes(plain[:2] + b"\xff\xfe\x00\x0a%08d" % number + plain[2:])
        yield Source(f"{number}.jpg", str(path))


def main() -> None:
    folder, base_url, key, ceiling = sys.argv[1:]
    with Client("glm-4.6v", base_url=f"bigmodel+{base_url}", api_key=key) as client:
        job = Pipeline("What is it?", client=client, concurrency=int(ceiling))
        for _ in job.run(endless(Path(folder))):
            pass


if __name__ == "__main__":
    main()
