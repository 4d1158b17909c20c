"""Secrets taken out of text that a person may see: keys in every form in which servers quote them, and what
looks like a credential wherever it comes from (an exception's words, a URL, a header).

Servers quote what they were sent: as it is, in other case, percent-encoded, escaped for JSON, inside base64.
Of a key of the form ``id.secret`` the secret half is masked by itself too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

MASK = "***"

_SHORT = 12
"""A secret of fewer characters may be part of a word that has nothing to do with it."""
_LEAST_IN_BASE64 = 6
"""Below this the part of the base64 text that does not hang on its neighbours is too short to be sure."""


def masked(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every form of ``secrets`` replaced by ``***``; a short one only where it stands alone."""
    for secret in sorted(
        {part for given in secrets for part in _parts(given.strip())}, key=len, reverse=True
    ):
        text = _pattern(secret).sub(MASK, text)
    return text


def _parts(key: str) -> Iterator[str]:
    """The key, and what must stay secret of it by itself."""
    if key:
        yield key
        _, _, secret = key.partition(".")
        if secret:
            yield secret


@lru_cache(maxsize=32)
def _pattern(secret: str) -> re.Pattern[str]:
    plain = "".join(_one(character) for character in secret)
    forms = [plain if len(secret) >= _SHORT else rf"(?<![\w-]){plain}(?![\w-])"]
    if len(secret) >= _LEAST_IN_BASE64:
        forms += _in_base64(secret.encode("utf-8", "surrogatepass"))
    return re.compile("|".join(forms), re.IGNORECASE)


def _one(character: str) -> str:
    encoded = character.encode("utf-8", "surrogatepass")
    percent = "".join(f"%{byte:02x}" for byte in encoded)
    return f"(?:{re.escape(character)}|{percent}|\\\\u{ord(character):04x})"


def _in_base64(secret: bytes) -> Iterator[str]:
    """Its base64 text, wherever it begins: alone, or behind one or two bytes of something else. Characters
    that hang on the neighbours as well are left out, those at the end taken with it."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + secret).decode("ascii")
        core = whole[(0, 2, 3)[before] : len(whole.rstrip("=")) - (1 if (before + len(secret)) % 3 else 0)]
        for form in {core, core.replace("+", "-").replace("/", "_")}:
            yield f"{re.escape(form)}[\\w+/-]{{0,2}}={{0,2}}"


_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic|token)(\s+|%20)[\w.~+/=%-]{6,}")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@")
_QUERY = re.compile(r"(?i)([?&](?:api[_-]?key|key|token|access_token|secret|signature|sig)=)[^&\s'\"]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with the given secrets, authorization values, and credentials in URLs masked."""
    text = masked(text, secrets)
    text = _AUTHORIZATION.sub(rf"\1 {MASK}", text)
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    return _QUERY.sub(rf"\1{MASK}", text)
