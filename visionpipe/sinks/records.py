"""A result as JSON bytes and back.

The rule: whatever a file name holds can be written. A name that is not UTF-8 reaches Python with lone
surrogates, which are written as JSON escapes, and read back as they were.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from visionpipe.results import ItemResult


def dump(record: Any, *, indent: bool = False) -> bytes:
    """The record as JSON, without a line end."""
    try:
        return orjson.dumps(record, option=orjson.OPT_INDENT_2 if indent else 0)
    except TypeError:  # lone surrogates, which orjson refuses
        text = json.dumps(record, indent=2 if indent else None, separators=None if indent else (",", ":"))
        return text.encode("ascii")


def load(data: bytes | str) -> Any:
    """The record; raises ValueError where it is no JSON."""
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)


def load_result(data: bytes | str) -> ItemResult:
    """The result in one JSON object.

    Raises:
        ValueError: it holds none.
    """
    try:
        return ItemResult.from_json(load(data))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a result: {error!r}") from error


def encodable(text: str) -> str:
    """The text with lone surrogates written out (``\\udcff``), so that any format can hold it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
