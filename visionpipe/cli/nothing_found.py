"""What to say where the sources hold no image at all; that is never a success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from visionpipe.cli.plain import one_line

_NAMED = 3


def nothing_found(sources: Sequence[str], skips: Mapping[str, int]) -> str:
    """One line that names the sources and what there was instead.

    Args:
        sources: as they were given.
        skips: what was met and left alone, by reason.
    """
    names = ["standard input" if source == "-" else source for source in sources]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    instead = ", ".join(f"{reason}: {count}" for reason, count in sorted(skips.items()))
    cure = "`visionpipe video` takes videos." if skips.get("video") else "Check what was given."
    met = f" (left alone: {instead})" if instead else ""
    return one_line(f"0 images found in {', '.join(names[:_NAMED])}{more}{met}. {cure}")
