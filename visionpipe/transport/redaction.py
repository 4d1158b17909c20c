"""Takes secrets out of text that a person may see.

Whatever comes from outside (an exception's words, a URL, a header) passes through here before it
becomes part of an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from visionpipe.wire.secrets import MASK, masked

_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic|token)(\s+|%20)[\w.~+/=%-]{6,}")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@")
_QUERY = re.compile(r"(?i)([?&](?:api[_-]?key|key|token|access_token|secret|signature|sig)=)[^&\s'\"]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with the given secrets, authorization values, and credentials in URLs masked."""
    text = masked(text, secrets)
    text = _AUTHORIZATION.sub(rf"\1 {MASK}", text)
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    return _QUERY.sub(rf"\1{MASK}", text)
