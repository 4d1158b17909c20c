"""Tells a model's refusal from an answer, in English, Chinese, French, German, Spanish, Japanese, Russian and
Korean.

A refusal is told by how a sentence opens (in Japanese and Korean by how it ends), never by a word somewhere
in it. What stands in quotation marks is the picture's text and not the model's voice, so it is left out
before looking. The words of each language stand in a file of their own under ``refusals/``.
"""

from __future__ import annotations

import re
import threading
import tomllib
from importlib import resources

_QUOTED = re.compile(
    r"“[^”]*”|「[^」]*」|『[^』]*』|《[^》]*》|«[^»]*»|„[^“”]*[“”]|\"[^\"]*\""
    r"|(?<!\w)‘[^’]*(?:’\w[^’]*)*’(?!\w)|(?<!\w)'(?:[^']|'(?=\w))*'(?!\w)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_LEAD = re.compile(r"^[\s>#*_\-•–—¡¿\U0001F300-\U0001FAFF]+")
_SPACE = re.compile(r"(\[[^\]]*\])|( )(\?)?")
_PART = re.compile(r"\{(\w+)\}")

LATIN, BY_SCRIPT = (
    ("en", "fr", "de", "es"),
    (
        ("ja", re.compile(r"[\u3040-\u30ff]")),
        ("ko", re.compile(r"[\uac00-\ud7af]")),
        ("zh", re.compile(r"[\u3400-\u9fff]")),
        ("ru", re.compile(r"[\u0400-\u04ff]")),
    ),
)
"""The languages of Latin letters, which are all looked at, and those a letter of whose script tells them."""

_LOOKED_AT = 300
"""Characters of a sentence; what refuses later has first described."""

_languages: dict[str, _Language] = {}
_reading = threading.Lock()


class _Language:
    """What tells a refusal in one language. The pattern takes some ten milliseconds to compile, so it waits
    for a sentence that has one of the language's marks."""

    def __init__(self, language: str) -> None:
        words = resources.files("visionpipe.stages").joinpath("refusals", f"{language}.toml")
        self._parts: dict[str, list[str]] = tomllib.loads(words.read_text(encoding="utf-8"))
        self._marks = self._compiled("marks")
        self._openings: re.Pattern[str] | None = None

    def refuses(self, sentence: str) -> bool:
        """Whether a sentence of the model's own voice is a refusal."""
        if not self._marks.search(sentence):
            return False
        if self._openings is None:
            # One at a time, since the first answers of a job come to dozens of threads at once.
            with _reading:
                self._openings = self._openings or self._compiled("openings")
        return self._openings.match(sentence) is not None

    def _compiled(self, name: str) -> re.Pattern[str]:
        # A space in a list of words is any white space; one inside a set of characters stays what it is.
        return re.compile(_SPACE.sub(_spaced, self._written(name)), re.IGNORECASE)

    def _written(self, name: str) -> str:
        entries = (_PART.sub(lambda part: self._written(part[1]), entry) for entry in self._parts[name])
        return f"(?:{'|'.join(entries)})"


def _language(name: str) -> _Language:
    found = _languages.get(name)
    if found is None:
        with _reading:
            found = _languages.get(name)
            if found is None:
                found = _languages[name] = _Language(name)
    return found


def _spaced(found: re.Match[str]) -> str:
    if found[1] is not None:
        return found[1]
    return r"(?:\s+)?" if found[3] else r"\s+"


def without_quotations(text: str) -> str:
    """The text with each quotation replaced by an ellipsis in plain quotes."""
    return _QUOTED.sub('"…"', text.replace("\r\n", "\n"))


def refusal(text: str, *, sentences: int = 2) -> str | None:
    """The sentence that refuses, or None.

    Args:
        text: the answer.
        sentences: how many sentences from the start are looked at.
    """
    voice = without_quotations(text)
    parts = [part.strip() for part in _SENTENCE_END.split(voice) if part.strip()]
    for part in parts[:sentences]:
        opening = _LEAD.sub("", part[:_LOOKED_AT]).replace("’", "'")
        if any(_language(name).refuses(opening) for name in _languages_of(opening)):
            return part
    return None


def _languages_of(text: str) -> tuple[str, ...]:
    """The languages that a sentence may be in, by its letters."""
    if not text.isascii():
        for language, letters in BY_SCRIPT:
            if letters.search(text):
                return (language, "en") if re.match(r"\W*[A-Za-z]", text) else (language,)
    return LATIN
