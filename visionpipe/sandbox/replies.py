"""What is to be sent back, as values; the delivery writes them, or breaks them as a fault says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class JsonReply:
    """One JSON document."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BytesReply:
    """Bytes as they are: a file's content."""

    data: bytes
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class StreamReply:
    """Server-sent events: the JSON object of each; ``[DONE]`` follows the last."""

    events: tuple[Mapping[str, Any], ...]


Reply: TypeAlias = JsonReply | BytesReply | StreamReply
