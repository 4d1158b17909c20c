"""What an image's bytes say of it: the loaders' own sniffer, asked for bytes that came over the wire.

The rule: a picture is not decoded unless the sandbox was told to; its header says enough.
"""

from __future__ import annotations

from visionpipe.errors import BadImageError
from visionpipe.loaders.headers.window import Header


def look_at(data: bytes, *, decode: bool = False) -> Header | None:
    """The facts in an image's header; None where it is no JPEG, PNG, GIF or WebP, or is broken.

    Args:
        data: the whole file.
        decode: decode the pixels too, and answer None where they cannot be.
    """
    from visionpipe.loaders.sniff import read_header

    try:
        header = read_header(data)
        if header is not None and decode:
            from visionpipe.loaders.decode import decode_bytes

            decode_bytes(data, header.format, "image")
    except BadImageError:
        return None
    return header
