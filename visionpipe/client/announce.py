"""Say aloud, once a process, what was taken for granted: that the embedded engine answers because no key was
found, or that a base URL's path says what is spoken there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from visionpipe.client.settings import Settings

_LOCK = threading.Lock()
_SAID: set[str] = set()


def announce_local(settings: Settings, say: Callable[[str], object] | None = None) -> None:
    """Write one line to stderr where ``settings`` fell back to the embedded engine, and one where it went by
    a base URL's path."""
    endpoint = settings.endpoint
    if settings.embedded_by_default:
        names = next(e.key_variables[0] for e in settings.registry.endpoints() if e.key_variables)
        words = (
            "no API key found, so the embedded engine answers (local analysis, nothing leaves this machine). "
            f"Set {names} to ask a model."
        )
    elif settings.dialect_by_path:
        words = (
            f"{endpoint.base_url} ends as {endpoint.title} does, so its dialect is spoken there. "
            f"openai-compatible+{endpoint.base_url} speaks the plain one."
        )
    else:
        return
    with _LOCK:
        if words in _SAID:
            return
        _SAID.add(words)
    (say or sys.stderr.write)(f"visionpipe: {words}\n")
