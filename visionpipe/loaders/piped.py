"""A list of paths and URLs as another program writes it: one a line, or one before each NUL.

The rule: a path is taken as it is, with its spaces and signs; relative ones begin at the current folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator


def piped_paths(data: bytes) -> Iterator[str]:
    """The paths in what came down a pipe, in order; empty ones are left out.

    Args:
        data: lines as of ``find -name``, or with a NUL anywhere as of ``find -print0``.
    """
    mark = b"\0" if b"\0" in data else b"\n"
    begin = 0
    while begin < len(data):
        end = data.find(mark, begin)
        end = len(data) if end < 0 else end
        piece = data[begin:end]
        begin = end + 1
        if mark == b"\n":
            piece = piece.removesuffix(b"\r")
        if piece:
            yield os.fsdecode(piece)
