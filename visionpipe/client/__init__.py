"""The clients: what users ask with. ``Client`` and ``AsyncClient`` are looked up here at first use, so that
their options and settings can be had without loading them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionpipe.client._async.client import AsyncClient
    from visionpipe.client._sync.client import Client

__all__ = ["AsyncClient", "Client"]

_HOMES = {"AsyncClient": "visionpipe.client._async.client", "Client": "visionpipe.client._sync.client"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
