"""The blocks of a GIF: its screen, its first frame, and how many frames follow.

The rule: block lengths are walked to the trailer, pixels are not decoded.
"""

from __future__ import annotations

from visionpipe.loaders.headers.window import Header, Window

_MOST_BLOCKS = 1_000_000
_STEP = 1 << 16  # blocks of 255 bytes lie close together, so a miss reads many


def read_gif(window: Window) -> Header:
    """Facts of the GIF in ``window``. The size is the screen's, or the first frame's where that is larger.

    Raises:
        BadImageError: it ends before its first frame does, or has no frame.
    """
    screen = window.at(6, 7)
    width, height = int.from_bytes(screen[:2], "little"), int.from_bytes(screen[2:4], "little")
    offset = 13 + _table_bytes(screen[4])
    frames = 0
    alpha = False
    budget = _MOST_BLOCKS
    ended = False
    while budget > 0:
        kind = window.peek(offset, 1, _STEP)
        if kind == b"\x3b":
            ended = True
            break
        if kind == b"\x21":
            label = window.peek(offset + 1, 4, _STEP)
            if frames == 0 and len(label) == 4 and label[0] == 0xF9 and label[1] >= 4:
                alpha = bool(label[2] & 1)
            found = _skip_blocks(window, offset + 2, budget)
        elif kind == b"\x2c":
            place = window.peek(offset + 1, 9, _STEP)
            if len(place) < 9:
                found = None
            else:
                if frames == 0:
                    left, top, across, down = (
                        int.from_bytes(place[i : i + 2], "little") for i in (0, 2, 4, 6)
                    )
                    width, height = max(width, left + across), max(height, top + down)
                found = _skip_blocks(window, offset + 11 + _table_bytes(place[8]), budget)
                frames += found is not None
        else:
            break  # the end of the file, or bytes that belong to no block
        if found is None:
            break
        offset, budget = found
    if not frames:
        window.truncated()
    if not width or not height:
        window.corrupt(f"the GIF says it is {width}x{height} pixels")
    return Header("gif", width, height, 1, "palette", 8, alpha, frames, ended)


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(window: Window, offset: int, budget: int) -> tuple[int, int] | None:
    """Where the chain of blocks at ``offset`` ends, and the budget left; None where it is cut off."""
    peek = window.peek
    while budget > 0:
        budget -= 1
        length = peek(offset, 1, _STEP)
        if not length:
            return None
        offset += length[0] + 1
        if not length[0]:
            return offset, budget
    return None
