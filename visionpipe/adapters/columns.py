"""Columns of a batch in, a column of results out; the part that the engines share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.rows import RESULT_TYPE, to_struct
from visionpipe.pipeline.worker import Worker
from visionpipe.sources.walking import FailedSource, Item


def results_column(
    worker: Worker, keys: Sequence[Any], images: Sequence[Any], fields: Mapping[str, Sequence[Any]]
) -> pa.Array:
    """A result for each row, of ``RESULT_TYPE``, in their order.

    Args:
        worker: asks.
        keys: name the items; anything that can be written as text.
        images: bytes, paths, URLs, or Hugging Face's ``{bytes, path}``; a row without one fails alone.
        fields: for a prompt's template, by column.

    Raises:
        VisionPipeError: of scope "job", what every further row would meet.
    """
    rows = worker.map(_items(keys, images, fields))
    return pa.array([to_struct(result) for result in rows], RESULT_TYPE)


def _items(
    keys: Sequence[Any], images: Sequence[Any], fields: Mapping[str, Sequence[Any]]
) -> Iterator[Item | FailedSource]:
    for number, (key, image) in enumerate(zip(keys, images, strict=True)):
        held = image.get("bytes") or image.get("path") if isinstance(image, dict) else image
        told = {name: str(values[number]) for name, values in fields.items() if values[number] is not None}
        try:
            yield Item(str(key), held, told)
        except VisionPipeError as error:
            yield FailedSource(str(key), error)
