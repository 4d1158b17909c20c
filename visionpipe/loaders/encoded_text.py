"""Images given as text: data URIs, bare base64, file URLs.

The rule: text is base64 only when it decodes to an image or could be nothing else; all other text is taken
for a path.
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from visionpipe.errors import BadImageError, UnreadableSourceError
from visionpipe.loaders.sniff import kind_of

_ALPHABET = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SHORTEST = 32  # characters; the smallest images are longer
_SURELY_NO_PATH = 512
_URL_SAFE = str.maketrans("-_", "+/")


def from_data_uri(uri: str, name: str) -> bytes:
    """The bytes in a ``data:`` URI, base64 or percent-encoded.

    Raises:
        BadImageError: it has no data part, or that is no base64.
    """
    head, comma, payload = uri.partition(",")
    if not comma:
        raise BadImageError(
            "the data URI has no comma, so no data",
            cure="Write it as data:image/png;base64,...",
            subject=name,
        )
    plain = unquote_to_bytes(payload) if "%" in payload else payload.encode("utf-8", "replace")
    if not head.lower().rstrip().endswith(";base64"):
        return plain
    data = _decode("".join(plain.decode("latin-1").split()))
    if data is None:
        raise BadImageError(
            "the data URI's base64 is damaged", cure="Encode the image again, in full.", subject=name
        )
    return data


def from_bare_base64(text: str) -> bytes | None:
    """The bytes that ``text`` encodes, or None where it is more likely the path of a missing file.

    Raises:
        BadImageError: base64 beyond doubt, but of something that is no image.
    """
    compact = "".join(text.split())
    if len(compact) < _SHORTEST or not _ALPHABET.fullmatch(compact):
        return None
    data = _decode(compact)
    if data is None:
        return None
    kind = kind_of(data[:512])
    if kind.family == "image":
        return data
    if len(compact) < _SURELY_NO_PATH:
        return None
    raise BadImageError(
        f"it is {kind.words}, not an image",
        cure="Encode the image file's own bytes as base64.",
        subject="base64 text",
        code="not_an_image",
    )


def path_of_file_url(url: str) -> str:
    """The path that a ``file:`` URL names on this machine.

    Raises:
        UnreadableSourceError: it names another machine.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnreadableSourceError(
            f"the URL names a file on {parts.netloc}",
            cure="Copy the file to this machine, and give its path.",
            subject=url,
            code="missing",
        )
    return url2pathname(parts.path)


def _decode(text: str) -> bytes | None:
    import pybase64

    text = text.translate(_URL_SAFE).rstrip("=")
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
