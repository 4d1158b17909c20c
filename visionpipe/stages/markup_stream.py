"""The same parting of answer and markup as in :mod:`visionpipe.stages.markup`, while the answer is still
arriving.

The rule: nothing is shown that would have to be taken back, save what stands before a ``</think>`` that
was never opened: it has been shown by then. A tag cut in two by a chunk's end is held back until it is whole.
"""

from __future__ import annotations

from visionpipe.stages.markup import CLOSE_THINK, OPEN_THINK, WRAPPERS

_TAGS = (OPEN_THINK, CLOSE_THINK, *WRAPPERS)


class MarkupFilter:
    """Takes the pieces of an answer as they come and gives back what is answer in them."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._begun = False

    def feed(self, piece: str) -> str:
        """The part of the text so far that can be shown now; may be empty."""
        return self._shown(self._held + piece, last=False)

    def finish(self) -> str:
        """What was held back as the beginning of a tag and is none."""
        return self._shown(self._held, last=True)

    def _shown(self, text: str, *, last: bool) -> str:
        out: list[str] = []
        while text:
            at = text.find("<")
            if at < 0:
                out.append("" if self._thinking else text)
                text = ""
                break
            out.append("" if self._thinking else text[:at])
            text = text[at:]
            low = text.lower()
            tag = next((tag for tag in _TAGS if low.startswith(tag)), None)
            if tag is not None:
                self._thinking = tag == OPEN_THINK or (self._thinking and tag != CLOSE_THINK)
                text = text[len(tag) :]
            elif not last and any(tag.startswith(low) for tag in _TAGS):
                break
            else:
                out.append("" if self._thinking else "<")
                text = text[1:]
        self._held = text
        shown = "".join(out)
        if not self._begun:
            # After a leading think block comes the line break that parted it from the answer.
            shown = shown.lstrip()
            self._begun = bool(shown)
        return shown
