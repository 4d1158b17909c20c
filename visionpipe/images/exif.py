"""Reads a photo's EXIF fields as plain texts, for prompts that use them.

Names are the EXIF standard's own (``DateTimeOriginal``, ``Model``), values are what a person would
write (``0.004``, ``48.85834``), and a field without readable text is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visionpipe.errors import BadImageError
from visionpipe.files import unreadable

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_CHARSETS = {b"ASCII\0\0\0": "ascii", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "shift_jis"}


def read_exif_fields(path: str | Path) -> dict[str, str]:
    """The EXIF fields of an image file, by name; empty where it carries none.

    ``GPSLatitude`` and ``GPSLongitude`` are signed degrees with five decimals (about a metre).

    Raises:
        UnreadableSourceError: the file cannot be opened.
        BadImageError: it is no image.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            exif = image.getexif()
            blocks: list[tuple[dict[int, Any], dict[int, str]]] = [
                (dict(exif), ExifTags.TAGS),
                (exif.get_ifd(_EXIF_IFD), ExifTags.TAGS),
                (exif.get_ifd(_GPS_IFD), ExifTags.GPSTAGS),
            ]
    except UnidentifiedImageError as error:
        raise BadImageError(
            "not an image",
            cure="Leave it out, or give an image file.",
            subject=str(path),
            code="not_an_image",
        ) from error
    except OSError as error:
        raise unreadable(error, str(path), str(path)) from error
    fields: dict[str, str] = {}
    for block, names in blocks:
        fields.update(_texts(block, names))
    gps = blocks[-1][0]
    for name, value, reference, negative in (("GPSLatitude", 2, 1, "S"), ("GPSLongitude", 4, 3, "W")):
        fields.pop(name, None)
        degrees = _degrees(gps.get(value))
        if degrees is not None:
            sign = -1 if str(gps.get(reference, "")).strip("\0 ").upper() == negative else 1
            fields[name] = f"{sign * degrees:.5f}"
    return fields


def _texts(block: dict[int, Any], names: dict[int, str]) -> Iterator[tuple[str, str]]:
    for tag, value in block.items():
        name = names.get(tag)
        text = _text(name, value) if name else ""
        if name and text:
            yield name, text


def _text(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return _decoded(name, value)
    if isinstance(value, tuple):
        return ", ".join(filter(None, (_text(name, entry) for entry in value)))
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int):
        return str(value)
    try:
        return f"{float(value):.6g}"  # type: ignore[arg-type]  # Pillow's rationals, which are not all finite
    except (TypeError, ValueError, ZeroDivisionError):
        return ""


def _decoded(name: str, value: bytes) -> str:
    if name.startswith("XP"):
        return _clean(value.decode("utf-16-le", "replace"))
    if name == "UserComment":
        charset = _CHARSETS.get(value[:8])
        return _clean(value[8:].decode(charset, "replace")) if charset else ""
    return _clean(value.decode("ascii")) if value.isascii() and value.strip(b"\0").isalnum() else ""


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable() or character == "\n").strip()


def _degrees(value: object) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in value)  # type: ignore[attr-defined]  # as above
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    total = degrees + minutes / 60 + seconds / 3600
    return total if total == total else None
