"""A real S3-protocol server on loopback, and a bucket of its own for whoever asks.

The server keeps its buckets in the memory of this process, where every such server shares them, so
no two tests may use one bucket's name.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3Store:
    """``options`` are what fsspec and ``StorePublisher`` reach the store with."""

    bucket: str
    options: dict[str, Any]


@contextmanager
def serving_s3() -> Iterator[str]:
    """The endpoint's URL, as long as the server runs."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def new_store(endpoint: str, bucket: str | None = None) -> Iterator[S3Store]:
    """A new, empty bucket on that server, which is gone afterwards with all that is in it; by default with a
    name of its own."""
    import s3fs  # type: ignore[import-untyped]  # it ships no types

    options = {"key": "k", "secret": "s", "endpoint_url": endpoint}
    bucket = bucket or f"b{uuid.uuid4().hex}"
    files = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    files.mkdir(bucket)
    try:
        yield S3Store(bucket, options)
    finally:
        files.invalidate_cache()
        files.rm(bucket, recursive=True)
