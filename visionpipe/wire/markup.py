"""A model's own markup taken out of its answer, whole or while it arrives.

No text is lost. What is taken out of the answer is in ``reasoning`` or, for the tags themselves,
in ``removed``; and taking out twice changes nothing.

Nothing is shown that would have to be taken back, save what stands before a ``</think>`` (or its like) that
was never opened: it has been shown by then. A tag cut in two by a chunk's end is held back until it is whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_HARMONY_FINAL = "<|channel|>final<|message|>"
OPENERS: dict[str, tuple[str, ...]] = {
    "<think>": ("</think>",),
    "<thinking>": ("</thinking>",),
    "◁think▷": ("◁/think▷",),
    "<|channel|>analysis<|message|>": ("<|end|>", _HARMONY_FINAL),
    "<|channel|>commentary<|message|>": ("<|end|>", _HARMONY_FINAL),
}
"""What begins a model's thinking, and what ends it again: GLM's and Qwen's, others', Kimi's, and the channels
of the harmony format."""
CLOSERS = frozenset({"</think>", "</thinking>", "◁/think▷"})
"""What ends a thinking that the chat template has opened."""
WRAPPERS = (
    "<answer>",
    "</answer>",
    "<|begin_of_box|>",
    "<|end_of_box|>",
    _HARMONY_FINAL,
    "<|start|>assistant",
    "<|end|>",
    "<|return|>",
    "<|im_start|>assistant",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
)
"""Tags and end tokens around an answer."""
LAST = "</s>"
"""An end token that may as well be a tag of HTML: taken off at the very end only."""

_TAGS = (*OPENERS, *CLOSERS, *WRAPPERS)
_TAG = re.compile("|".join(re.escape(tag) for tag in _TAGS), re.IGNORECASE)
_OPEN_ANSWER = re.compile("<answer>", re.IGNORECASE)
_AT_THE_END = re.compile(rf"(?:{re.escape(LAST)}\s*)+$", re.IGNORECASE)
_FIRST = re.compile("[<◁]")


class Stripped(NamedTuple):
    """An answer without markup.

    ``text`` is what the user asked for, ``removed`` the tags taken out, in order, and ``reasoning`` the
    thinking that stood between them.
    """

    text: str
    removed: tuple[str, ...]
    reasoning: str


def strip_markup(text: str) -> Stripped:
    """Part an answer from its thinking, its answer and box tags, and its end tokens.

    A ``<think>``, or another of ``OPENERS``, that is never closed takes all that follows, up to an
    ``<answer>`` if there is one. A ``</think>``, or another of ``CLOSERS``, that was never opened (chat
    templates open it in the prompt) takes what stands before it, back to the last of them. Space around the
    answer is trimmed only where a tag was removed.

    Args:
        text: the answer as it came.
    """
    if _FIRST.search(text) is None:
        return Stripped(text, (), "")
    removed: list[str] = []
    reasoning: list[str] = []
    while True:
        tags = len(removed)
        text = _strip_once(text, removed, reasoning)
        last = _AT_THE_END.search(text)
        if last is not None:
            removed += [LAST] * last.group().lower().count(LAST)
            text = text[: last.start()]
        # Taking a tag out can join its neighbours into another, so go on until nothing changes.
        if len(removed) == tags:
            break
        text = text.strip()
    return Stripped(text, tuple(removed), "\n".join(reasoning))


def _strip_once(text: str, removed: list[str], reasoning: list[str]) -> str:
    answer: list[str] = []
    since_think: list[str] = []
    closers: tuple[str, ...] = ()
    position = 0
    for tag in _TAG.finditer(text):
        name = tag.group().lower()
        if closers and name not in closers:
            continue
        before = text[position : tag.start()]
        position = tag.end()
        removed.append(tag.group())
        if closers:
            _keep(before, reasoning)
            answer += since_think
            since_think = []
            closers = ()
        elif name in CLOSERS:
            _keep("".join([*since_think, before]), reasoning)
            since_think = []
        else:
            since_think.append(before)
            closers = OPENERS.get(name, ())
    rest = text[position:]
    if closers:
        opened = _OPEN_ANSWER.search(rest)
        start = opened.start() if opened else len(rest)
        _keep(rest[:start], reasoning)
        rest = rest[start:]
    since_think.append(rest)
    return "".join([*answer, *since_think])


def _keep(thought: str, reasoning: list[str]) -> None:
    if thought.strip():
        reasoning.append(thought.strip())


class MarkupFilter:
    """Takes the pieces of an answer as they come and gives back what is answer in them."""

    def __init__(self) -> None:
        self._held = ""
        self._closers: tuple[str, ...] = ()
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
            first = _FIRST.search(text)
            at = len(text) if first is None else first.start()
            out.append("" if self._closers else text[:at])
            text = text[at:]
            if not text:
                break
            low = text.lower()
            tag = next((tag for tag in _TAGS if low.startswith(tag)), None)
            if tag is not None:
                if not self._closers:
                    self._closers = OPENERS.get(tag, ())
                elif tag in self._closers:
                    self._closers = ()
                text = text[len(tag) :]
            elif not last and (_may_end_here(low) or any(tag.startswith(low) for tag in _TAGS)):
                break
            elif last and _AT_THE_END.match(text):
                text = ""
            else:
                out.append("" if self._closers else text[0])
                text = text[1:]
        self._held = text
        shown = "".join(out)
        if not self._begun:
            # After a leading think block comes the line break that parted it from the answer.
            shown = shown.lstrip()
            self._begun = bool(shown)
        return shown


def _may_end_here(text: str) -> bool:
    """Whether this is an end token that may be the last of the answer, whole or begun."""
    return LAST.startswith(text) or _AT_THE_END.match(text) is not None
