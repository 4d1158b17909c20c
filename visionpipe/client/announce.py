"""Say aloud, once a process, that the embedded engine answers because no key was found."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from visionpipe.client.settings import Settings

_LOCK = threading.Lock()
_SAID = False


def announce_local(settings: Settings, say: Callable[[str], object] | None = None) -> None:
    """Write one line to stderr where ``settings`` fell back to the embedded engine."""
    global _SAID
    if not settings.embedded_by_default:
        return
    with _LOCK:
        if _SAID:
            return
        _SAID = True
    names = next(e.key_variables[0] for e in settings.registry.endpoints() if e.key_variables)
    (say or sys.stderr.write)(
        f"visionpipe: no API key found, so the embedded engine answers (local analysis, nothing leaves this "
        f"machine). Set {names} to ask a model.\n"
    )
