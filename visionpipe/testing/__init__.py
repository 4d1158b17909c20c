"""Helpers for the tests of programs that use visionpipe, and for its own: nothing here is used by the
package itself. The names below are looked up at first use; the sandbox and the tiny images are modules of
their own, ``visionpipe.testing.sandbox`` and ``visionpipe.testing.images``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionpipe.testing._async.clients import AsyncRecordedClient as AsyncRecordedClient
    from visionpipe.testing._async.clients import AsyncScriptedClient as AsyncScriptedClient
    from visionpipe.testing._sync.clients import RecordedClient as RecordedClient
    from visionpipe.testing._sync.clients import ScriptedClient as ScriptedClient
    from visionpipe.testing.recording import NotRecordedError as NotRecordedError
    from visionpipe.testing.script import Asked as Asked
    from visionpipe.testing.script import AskedImage as AskedImage
    from visionpipe.testing.script import Refuses as Refuses
    from visionpipe.testing.script import Says as Says
    from visionpipe.testing.script import ScriptError as ScriptError

_NAMES = {
    "visionpipe.testing._async.clients": "AsyncRecordedClient AsyncScriptedClient",
    "visionpipe.testing._sync.clients": "RecordedClient ScriptedClient",
    "visionpipe.testing.recording": "NotRecordedError",
    "visionpipe.testing.script": "Asked AskedImage Refuses Says ScriptError",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'visionpipe.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
