"""httpx, loaded without its command line.

Where click is installed, and other packages bring it, ``import httpx`` loads httpx's own command with click,
rich and pygments. That takes longer than all the rest of it and 7 MB, and a library has no use for it.
"""

from __future__ import annotations

import sys

__all__ = ["httpx"]

_COMMAND = "httpx._main"
_is_loaded = "httpx" in sys.modules

if not _is_loaded:
    sys.modules[_COMMAND] = None  # type: ignore[assignment]  # as the import system marks what is not there
try:
    import httpx
finally:
    if not _is_loaded:
        del sys.modules[_COMMAND]
