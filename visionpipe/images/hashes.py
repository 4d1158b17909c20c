"""A picture as viewers see it, and its difference hash: 64 bits that barely change when it is scaled,
re-encoded or touched up.

What a viewer sees is hashed, upright and on white, so a rotated copy with the right EXIF flag has
the hash of its original.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from visionpipe.errors import UnsupportedError
from visionpipe.images.decode import upright
from visionpipe.images.load import load_image
from visionpipe.media import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_COLUMNS, _ROWS = 9, 8
_ENOUGH = (8 * _COLUMNS, 8 * _ROWS)


def shown(source: str | os.PathLike[str] | bytes | Image, at_least: tuple[int, int]) -> Picture:
    """What a viewer sees of an image: its first frame, upright and on white.

    Args:
        source: a path, encoded bytes, or an image value.
        at_least: (width, height) in pixels that will do.

    Raises:
        InputError: it cannot be read as an image.
        UnsupportedError: it is a link.
    """
    image = load_image(source)
    if not isinstance(image, Image):
        raise UnsupportedError(
            "a link cannot be compared with pictures",
            cure="Download it first, or leave near duplicates off.",
            subject=image.name,
        )
    return upright(image, at_least=at_least)[0]


def dhash(source: str | os.PathLike[str] | bytes | Image) -> int:
    """The dHash of an image: bit by bit, whether brightness falls from one of 9 columns to the next, in each
    of 8 rows, the first the highest.

    Args:
        source: a path, encoded bytes, or an image value.

    Returns:
        64 bits.

    Raises:
        InputError: it cannot be read as an image.
        UnsupportedError: it is a link.
    """
    small = shown(source, _ENOUGH).convert("L").resize((_COLUMNS, _ROWS), reducing_gap=2.0).tobytes()
    bits = 0
    for row in range(_ROWS):
        line = small[row * _COLUMNS : (row + 1) * _COLUMNS]
        for left, right in pairwise(line):
            bits = bits << 1 | (left > right)
    return bits
