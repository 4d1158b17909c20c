"""JSON documents in what a model wrote: in prose, in fences, with slips of the pen, or not finished yet.

Only a complete outermost document counts. What is mended can be read in one way only: trailing commas,
comments, single quotes, Python's ``True``, ``False`` and ``None``, raw control characters, escapes JSON does
not have, halves of surrogate pairs (which become U+FFFD). What is cut off, misspelt, said twice or left out
is never guessed at, and nothing inside a broken document is taken for a document of its own.

Numbers keep their digits: whole ones are ``int`` of any length, others ``float`` where that is
written alike and ``Decimal`` where it is not. Every text is read in time linear in its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any

DEEPEST = 200
"""Brackets within brackets beyond this are a model that repeats itself."""

_MOST_DIGITS = 4000
_LONGEST_WORD = 2 * _MOST_DIGITS
_LONGEST_COMMENT = 10_000
_GOES_ON = -1

_SPACE = re.compile(r"[\s\ufeff]*")
_WORD = re.compile(r"[^\s,:\[\]{}\"'/#\\]+")
_PLAIN = re.compile(r"[^\"'\\]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_]\w*\s*:")
_BEHIND_VALUE = re.compile(r"[\s\ufeff]*(?:[,\]#/]|$)")
_FENCE_HEAD = re.compile(r"(?:```|~~~)[ \t]*[\w+-]*[ \t]*\r?\n")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(r"[{}\[\]]")
_SIGN = re.compile(rf"{_QUOTED.pattern}|[{{}}\[\]]", re.DOTALL)
_BARE_ESCAPES = re.compile(r'[{\[](?:\s|\\[nrt])*\\"')
_NAMED = re.compile(r"[\"']\s*:\s*$")
_AFTER_COMMA = re.compile(r"[}\]\"'0-9]\s*,\s*$")
_BELONGS_TO_MORE = re.compile(r"[\s\ufeff]*(?:[}\]]|,[\s\ufeff]*[{\[\"'])")
_UNICODE = re.compile(r"[0-9a-fA-F]{4}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LEFT_OUT = re.compile(
    r"\.\.\.|…|\b(?:etc|and so on|rest|more|others?|remaining|omitted|truncated|continued?|repeat(?:ed)?"
    r"|same)\b"
    r"|省略|其余|其他|等等|以此类推|更多",
    re.IGNORECASE,
)
_ESCAPES = {
    '"': '"', "'": "'", "`": "`", "\\": "\\", "/": "/",
    "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_CLOSERS = {"{": "}", "[": "]"}


class NoJSONError(ValueError):
    """The text holds no whole JSON document, or something that cannot be relied on."""


class _BrokenError(ValueError):
    """What began as a document is none."""


class _Next(Enum):
    """What may come next in a document."""

    VALUE = auto()
    VALUE_OR_END = auto()
    KEY_OR_END = auto()
    COLON = auto()
    COMMA_OR_END = auto()


class _String:
    """A string that is being read, in as many pieces as it comes in."""

    __slots__ = ("_half", "_held", "_kept", "_parts", "_quote", "_turned", "length")

    def __init__(self, quote: str) -> None:
        self.length = 0
        self._quote = quote
        self._parts: list[str] = []
        self._held = ""
        self._half = ""
        self._kept = False
        self._turned = False

    def read(self, text: str, at: int) -> int:
        """The index behind the closing quote; -1 where the string goes on."""
        offset = 0
        if self._held:
            offset = len(self._held) - at
            text, at = self._held + text[at:], 0
            self._held = ""
        while True:
            plain = _PLAIN.match(text, at)
            if plain is not None:
                self._add(plain.group())
                at = plain.end()
            if at >= len(text):
                return _GOES_ON
            if text[at] == self._quote:
                return at + 1 - offset
            if text[at] != "\\":
                self._add(text[at])
                at += 1
                continue
            width = 6 if text[at + 1 : at + 2] == "u" else 2
            # One more character tells whether a letter follows an escape.
            if at + width >= len(text):
                self._held = text[at:]
                return _GOES_ON
            self._escape(text[at + 1 : at + width], text[at + width])
            at += width

    def text(self) -> str:
        """What has been read of it."""
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    def finished(self) -> str:
        """The whole string."""
        if self._half:
            self._add("")
        if self._kept and self._turned:
            # C:\\new\\Data: the second backslash shows that the first meant no line break.
            raise _BrokenError("a string holds backslashes that can be read in two ways")
        return self.text()

    def _add(self, piece: str) -> None:
        if self._half:
            # One half of a surrogate pair, and the other does not follow.
            piece, self._half = "\ufffd" + piece, ""
        self._parts.append(piece)
        self.length += len(piece)

    def _escape(self, said: str, behind: str) -> None:
        letter = said[0]
        if letter == "u":
            self._code(said[1:])
        elif letter in _ESCAPES:
            self._turned = self._turned or (letter in "bfnrt" and behind.isalpha() and behind.isascii())
            self._add(_ESCAPES[letter])
        elif letter.isalpha() and letter.isascii() and letter != "x":
            self._kept = True
            self._add("\\" + letter)
        else:
            raise _BrokenError(f"\\{letter} is no escape of JSON, and may mean two things")

    def _code(self, digits: str) -> None:
        if not _UNICODE.fullmatch(digits):
            raise _BrokenError("a \\u without its four digits")
        char = chr(int(digits, 16))
        if "\ud800" <= char <= "\udbff":
            self._add("")
            self._half = char
        elif "\udc00" <= char <= "\udfff":
            half, self._half = self._half, ""
            pair = (
                (half + char).encode("utf-16-le", "surrogatepass").decode("utf-16-le") if half else "\ufffd"
            )
            self._add(pair)
        else:
            self._add(char)


@dataclass(slots=True)
class _Open:
    """A container that is being written: what is in it, the name that waits for its value, what may come."""

    value: Any
    next: _Next
    key: str | None = None


class DocumentReader:
    """Reads one object or array, from its opening bracket on, in as many pieces as it comes in.

    ``whole``: the bracket that closes it has been read. ``seen``: something of JSON was in it, so that it is
    a document (broken, if it comes to that) rather than a bracket in prose. ``at``: where in the last piece
    it broke. ``placed``: how many values are in it.

    Args:
        fraction: makes a value of a number that is not whole.
    """

    __slots__ = (
        "_fraction",
        "_held",
        "_last",
        "_string",
        "at",
        "containers",
        "placed",
        "root",
        "seen",
        "whole",
    )

    def __init__(self, fraction: Callable[[str], Any] | None = None) -> None:
        self._fraction = fraction or _fraction
        self.root: Any = None
        self.containers: list[_Open] = []
        self.whole = False
        self.seen = False
        self.placed = 0
        self.at = 0
        self._held = ""
        self._last = 0
        self._string: _String | None = None

    def feed(self, text: str, at: int = 0) -> int:
        """Read on.

        Args:
            text: the next piece. What cannot be told apart at its end is kept for the next call.
            at: where in it to begin.

        Returns:
            The index behind the closing bracket; -1 where the document goes on.

        Raises:
            NoJSONError: this is no document.
        """
        offset = 0
        if self._held:
            offset = len(self._held) - at
            text, at = self._held + text[at:], 0
            self._held = ""
        self.at = at
        try:
            end = self._read(text, at)
        except _BrokenError as cause:
            self.at = max(0, self.at - offset)
            raise NoJSONError(str(cause)) from None
        return end if end == _GOES_ON else end - offset

    @property
    def state(self) -> tuple[int, int]:
        """What there is to show: it changes where a value, or a letter of a string, has come."""
        if self._string is None or self._names():
            return self.placed, self._last
        return self.placed + 1, self._string.length

    @property
    def cost(self) -> int:
        """How many entries ``so_far`` copies."""
        letters = 0 if self._string is None else self._string.length
        return sum(len(level.value) for level in self.containers) + letters // 8

    def so_far(self) -> Any:
        """The document as far as it has come, a string that is not closed yet included. What is closed in it
        is shared with the next one; what is open is copied."""
        root: Any = None
        copied: Any = None
        for level in self.containers:
            inner = level.value.copy()
            if copied is None:
                root = inner
            elif isinstance(copied, list):
                copied[-1] = inner
            else:
                copied[next(reversed(copied))] = inner
            copied = inner
        if self._string is not None and not self._names():
            top = self.containers[-1]
            if top.key is None:
                copied.append(self._string.text())
            else:
                copied[top.key] = self._string.text()
        return root

    def _read(self, text: str, at: int) -> int:
        size = len(text)
        while True:
            self.at = at
            if self._string is not None:
                at = self._string.read(text, at)
                if at == _GOES_ON:
                    return _GOES_ON
                said, self._string = self._string.finished(), None
                self._take_string(said)
                continue
            at = self._space(text, at)
            if at < 0:
                return self._hold(text, ~at, _LONGEST_COMMENT)
            if at >= size:
                return _GOES_ON
            self.at = at
            char = text[at]
            if char in "\"'":
                self._may_come(_Next.VALUE, _Next.VALUE_OR_END, _Next.KEY_OR_END)
                # A single quote may be an apostrophe, until there is a second one.
                self.seen = self.seen or char == '"'
                self._string = _String(char)
            elif char in _CLOSERS:
                self._open(char)
            elif char in "}]":
                self._close(char)
                if self.whole:
                    return at + 1
            elif char == ",":
                self._may_come(_Next.COMMA_OR_END)
                top = self.containers[-1]
                top.next = _Next.KEY_OR_END if isinstance(top.value, dict) else _Next.VALUE_OR_END
            elif char == ":":
                self._may_come(_Next.COLON)
                self.containers[-1].next = _Next.VALUE
            else:
                word = _WORD.match(text, at)
                if word is None:
                    raise _BrokenError(f"{char!r} stands where none belongs")
                if word.end() == size:
                    return self._hold(text, at, _LONGEST_WORD)
                self._word(text, word)
                at = word.end() - 1
            at += 1

    def _hold(self, text: str, at: int, longest: int) -> int:
        if len(text) - at > longest:
            raise _BrokenError("a word or a comment has no end")
        self._held = text[at:]
        return _GOES_ON

    def _space(self, text: str, at: int) -> int:
        """The index behind space and comments; ~index where a comment is not finished yet."""
        while True:
            found = _SPACE.match(text, at)
            at = found.end() if found else at
            sign = text[at : at + 2]
            if sign.startswith("#") or sign == "//":
                end, width = text.find("\n", at), 1
            elif sign == "/*":
                end, width = text.find("*/", at + 2), 2
            elif sign == "/":
                end, width = -1, 0
            else:
                return at
            if end < 0:
                return ~at
            if _LEFT_OUT.search(text, at, end):
                self.seen = True
                raise _BrokenError("a comment says that something is left out")
            at = end + width

    def _may_come(self, *allowed: _Next) -> None:
        if not self.containers or self.containers[-1].next not in allowed:
            raise _BrokenError("a comma, a colon or a bracket is missing, or one too many")

    def _names(self) -> bool:
        return bool(self.containers) and self.containers[-1].next is _Next.KEY_OR_END

    def _open(self, bracket: str) -> None:
        if len(self.containers) >= DEEPEST:
            self.seen = True
            raise _BrokenError(f"it is nested deeper than {DEEPEST}")
        value: Any = {} if bracket == "{" else []
        if self.containers:
            self._may_come(_Next.VALUE, _Next.VALUE_OR_END)
            self._place(value)
        else:
            self.root = value
        self.containers.append(_Open(value, _Next.KEY_OR_END if bracket == "{" else _Next.VALUE_OR_END))

    def _close(self, bracket: str) -> None:
        self._may_come(_Next.COMMA_OR_END, _Next.VALUE_OR_END, _Next.KEY_OR_END)
        if _CLOSERS["{" if isinstance(self.containers[-1].value, dict) else "["] != bracket:
            raise _BrokenError("an object is closed as an array, or the other way round")
        self.containers.pop()
        self.seen = True
        self.whole = not self.containers

    def _word(self, text: str, word: re.Match[str]) -> None:
        said = word.group()
        if self._names():
            self.seen = self.seen or _NAME.match(text, word.start()) is not None
            raise _BrokenError(f"{said[:20]!r} stands where a name in quotes belongs")
        self._may_come(_Next.VALUE, _Next.VALUE_OR_END)
        value = _scalar(said, self._fraction)
        # "[1-5]" and "[1 of 3]" are prose; "[1," is not.
        if not self.seen and not _BEHIND_VALUE.match(text, word.end()):
            raise _BrokenError(f"{said[:20]!r} is not all there is of a value")
        self.seen = True
        self._place(value)

    def _take_string(self, said: str) -> None:
        self.seen = True
        if not self._names():
            self._place(said, len(said))
            return
        top = self.containers[-1]
        if said in top.value:
            raise _BrokenError(f"{said[:40]!r} is given twice")
        top.key, top.next = said, _Next.COLON

    def _place(self, value: Any, length: int = 0) -> None:
        top = self.containers[-1]
        if top.key is None:
            top.value.append(value)
        else:
            top.value[top.key] = value
            top.key = None
        top.next = _Next.COMMA_OR_END
        self.placed += 1
        self._last = length


@dataclass(frozen=True, slots=True)
class Spoiled:
    """What stands in a text where a document should: broken, cut off, or a piece of a larger one."""

    reason: str


def read_documents(text: str) -> list[Any]:
    """Every complete outermost document of ``text`` in order, with a ``Spoiled`` in the place of each
    one that is not whole. Where there is neither, the one scalar that is all of the text, bare or in a fence.

    A text that is one JSON string gives what the string holds first, then the string itself.

    Args:
        text: an answer, its think and box tags already taken off.
    """
    text = _SURROGATE.sub("\ufffd", text)
    return _read(text, deeper=2)


def read_tolerant(text: str) -> Any:
    """The last whole JSON document in ``text``; a bare JSON scalar only where it is all there is.

    Args:
        text: an answer, its think and box tags already taken off.

    Raises:
        NoJSONError: there is none, or the last one is broken or cut off.
    """
    found = read_documents(text)
    if not found:
        raise NoJSONError("the answer holds no whole JSON document")
    last = found[-1]
    if isinstance(last, Spoiled):
        raise NoJSONError(f"the answer holds no whole JSON document: {last.reason}")
    return found[-2] if len(found) > 1 and isinstance(last, str) and _is_document(found[-2]) else last


def unfenced(text: str) -> str:
    """``text`` without space around it, and without the one fence or pair of backticks around all of it."""
    bare = text.strip().strip("\ufeff").strip()
    head = _FENCE_HEAD.match(bare)
    if head is not None and bare.endswith(bare[:3]) and len(bare) >= head.end() + 3:
        return bare[head.end() : -3].strip()
    if len(bare) > 1 and bare[0] == bare[-1] == "`" and bare.count("`") == 2:
        return bare[1:-1].strip()
    return bare


def _is_document(value: Any) -> bool:
    return isinstance(value, dict | list)


def _read(text: str, deeper: int) -> list[Any]:
    bare = unfenced(text)
    encoded = _whole_string(bare)
    if encoded is not None:
        inner = _read(encoded, deeper - 1) if deeper else []
        return [*(value for value in inner if _is_document(value) or isinstance(value, Spoiled)), encoded]
    if deeper and _BARE_ESCAPES.match(bare):
        written = _whole_string(f'"{bare}"')
        if written is not None:
            return _read(written, deeper - 1)
    found = _Text(text).documents()
    if not found and bare:
        try:
            found.append(_scalar(bare, _fraction))
        except _BrokenError:
            if bare[0] == '"' and bare.count('"') == 1:
                found.append(Spoiled("a string is cut off"))
    return found


def _whole_string(text: str) -> str | None:
    """The JSON string that ``text`` is from quote to quote; None where it is none."""
    if len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0]:
        return None
    string = _String(text[0])
    try:
        # A space behind, since an escape is read with the character that follows it.
        return string.finished() if string.read(text + " ", 1) == len(text) else None
    except _BrokenError:
        return None


class _Text:
    """A text that is searched for documents from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pairs: dict[int, int] | None = None

    def documents(self) -> list[Any]:
        found: list[Any] = []
        at = 0
        text = self._text
        while True:
            opener = _OPENER.search(text, at)
            if opener is None:
                return found
            begin = opener.start()
            value, end = self._document(begin)
            if end is None:
                # What follows may be a part of it.
                return [*found, value]
            if value is not None:
                found.append(value)
            at = end

    def _document(self, begin: int) -> tuple[Any, int | None]:
        """The document that begins here, or Spoiled, or None for a bracket in prose; and the index behind it,
        None where it has no end."""
        value, end = _strict(self._text, begin)
        if end is None:
            reader = DocumentReader()
            try:
                end = reader.feed(self._text, begin)
            except NoJSONError as error:
                if not reader.seen:
                    return None, self._close_of(begin) or max(reader.at, begin + 1)
                return Spoiled(str(error)), self._end_of_broken(begin)
            if end == _GOES_ON:
                return Spoiled("it is cut off"), None
            value = reader.root
        before = self._text[max(0, begin - 40) : begin]
        if _BELONGS_TO_MORE.match(self._text, end) or _NAMED.search(before) or _AFTER_COMMA.search(before):
            return Spoiled("it is a piece of a larger document"), end
        return value, end

    def _end_of_broken(self, begin: int) -> int | None:
        """Behind the bracket that closes a broken document, brackets in its strings counted or not, whichever
        is later; None where one of the two stays open."""
        plain, depth = self._close_of(begin), 0
        if plain is None:
            return None
        for sign in _SIGN.finditer(self._text, begin):
            char = sign.group()[0]
            if char in _CLOSERS:
                depth += 1
            elif char != '"':
                depth -= 1
                if depth <= 0:
                    return max(plain, sign.end())
        return None

    def _close_of(self, begin: int) -> int | None:
        """The index behind the bracket that closes the one at ``begin``, strings not regarded."""
        if self._pairs is None:
            self._pairs, waiting = {}, []
            for sign in _BRACKET.finditer(self._text):
                if sign.group() in _CLOSERS:
                    waiting.append(sign)
                elif waiting and _CLOSERS[waiting[-1].group()] == sign.group():
                    self._pairs[waiting.pop().start()] = sign.end()
        return self._pairs.get(begin)


def _strict(text: str, begin: int) -> tuple[Any, int | None]:
    """A document that is JSON to the letter, raw control characters apart, by the parser in C."""
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None, None  # read with care, then
    if _ESCAPED_SURROGATE.search(text, begin, end):
        return None, None
    return value, end


def _scalar(word: str, fraction: Callable[[str], Any]) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    number = _NUMBER.fullmatch(word)
    if number is None or len(word) > _MOST_DIGITS:
        raise _BrokenError(f"{word[:20]!r} is no value of JSON")
    return int(word) if number[1] is None and number[2] is None else fraction(word)


def _fraction(word: str) -> float | Decimal:
    if len(word) > _MOST_DIGITS:
        raise _BrokenError("a number is too long")
    number = float(word)
    # What a float would round, make infinite or write otherwise (1.10) is kept as it stands.
    return number if repr(number) == word else Decimal(word)


def _whole_number(word: str) -> int:
    if len(word) > _MOST_DIGITS:
        raise _BrokenError("a number is too long")
    return int(word)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _BrokenError("a name is given twice")
    return found


def _no_number(word: str) -> Any:
    raise _BrokenError(f"{word} is no number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_fraction,
    parse_int=_whole_number,
    parse_constant=_no_number,
    strict=False,
)
_OPENER = re.compile(r"[{\[]")
