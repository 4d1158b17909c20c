"""Names and messages as one line of text that is safe to show.

A file's name may hold anything, a line break or a terminal's escape sequence too; what is printed
about it stays one line and steers no terminal. Files and JSON hold names as they are.
"""

from __future__ import annotations

import unicodedata

# Controls and line ends, the marks that turn the direction of writing, and halves of characters, which no
# encoding takes (a name on disk that is not UTF-8).
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSAFE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def one_line(text: str) -> str:
    """``text`` with what cannot be shown in a line written as in Python's string literals."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if char in _TURNING or unicodedata.category(char) in _UNSAFE
        else char
        for char in text
    )
