"""Notes on an answer: what is wrong with it by its own looks.

A note says what can be told for certain from the text; a doubtful case is not noted, since a good
caption thrown away costs more than a bad one kept. Nothing here changes the answer.
"""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources
from itertools import islice

from visionpipe.prompts.presets import Checks, Language, Preset
from visionpipe.registry.dialects import dialects
from visionpipe.values import JSON, Note

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_TOKENS = re.compile(r"</?(?:think|answer)>|<\|[a-z_]{2,30}\|>|\[/?INST\]|</?s>", re.IGNORECASE)
# Patterns are searched for faster where each alternative begins with a character of its own.
_MARKDOWN = re.compile(r"```|#(?<=^#)#{0,5} |\*\*[^*\n]+\*\*|\|(?<=^\|).*\|$", re.MULTILINE)
_STRETCH = 40
_STRETCHED = re.compile(rf"(\w)\1{{{_STRETCH - 1},}}")
_LONGEST_PERIOD = 60


def assess(
    reply_text: str,
    *,
    finish_reason: str = "",
    reasoning: str = "",
    structured: bool = False,
    preset: Preset | None = None,
    lang: Language | None = None,
) -> tuple[Note, ...]:
    """Notes on one answer.

    Args:
        reply_text: the answer, its markup already taken out.
        finish_reason: as the service reports it.
        reasoning: the model's thinking, apart from the answer.
        structured: whether the answer is a JSON document rather than prose.
        preset: what was asked for; None for a question of the caller's own.
        lang: the language asked for; None where any will do.
    """
    notes: list[Note] = []
    if dialects().ending(finish_reason) == "cut":
        notes.append(Note("truncated", "the answer ends at max_tokens"))
    if not reply_text.strip():
        if reasoning.strip():
            notes.append(Note("thinking_only", f"{len(reasoning)} characters of thinking and no answer"))
        else:
            notes.append(Note("empty", "the answer holds no text"))
        return tuple(notes)
    checks = preset.checks if preset else Checks()
    structured = structured or (preset is not None and preset.schema is not None)
    prose = _prose(reply_text) if structured else reply_text
    refused = refusal(prose, sentences=1 if checks.verbatim else 2)
    if refused is not None:
        notes.append(Note("refusal", _shortened(refused)))
    loop = _repetition(prose, verbatim=checks.verbatim)
    if loop is not None:
        notes.append(Note("repetition", loop))
    if lang is not None and not checks.verbatim and _is_other_language(prose, lang):
        wanted = "English" if lang == "en" else "Chinese"
        notes.append(Note("wrong_language", f"the answer is not in {wanted}"))
    notes += _form(reply_text, preset, checks, lang, structured)
    return tuple(notes)


def _form(
    text: str, preset: Preset | None, checks: Checks, lang: Language | None, structured: bool
) -> list[Note]:
    notes: list[Note] = []
    text = text.strip()
    limit = checks.limit(lang or "en")
    if limit is not None and len(text) > limit:
        notes.append(Note("too_long", f"{len(text)} characters, the limit is {limit}"))
    if checks.one_line and "\n" in text:
        notes.append(Note("several_lines", f"{text.count(chr(10)) + 1} lines, one was asked for"))
    leftover = _TOKENS.search(text)
    if leftover is None and preset is not None and not (checks.markdown or structured):
        leftover = _MARKDOWN.search(text)
    if leftover is not None:
        notes.append(Note("leftover_markup", _shortened(leftover.group())))
    return notes


def _prose(text: str) -> str:
    """The texts inside a JSON answer, one a line; the answer itself where it is not JSON."""
    try:
        found = list(_strings(json.loads(text)))
    except ValueError:
        return text
    return "\n".join(found) if found else text


def _strings(value: JSON) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)


def _repetition(text: str, *, verbatim: bool) -> str | None:
    """What is repeated in a loop, or None. A page of text may repeat itself more than a caption may."""
    words = _WORD.findall(text.lower())
    least_words, least_times = (120, 20) if verbatim else (12, 4)
    # All rounds of a loop but the first say nothing new, and so do equal sentences: most answers end here.
    may_repeat = len(words) - len(set(words)) >= least_words - least_words // least_times
    loop = _loop(words, least_words, least_times, verbatim) if may_repeat else None
    if verbatim or loop is not None:
        return loop
    if max(map(len, text.split()), default=0) >= _STRETCH:
        stretched = _STRETCHED.search(text)
        if stretched is not None:
            return f"repeats {stretched.group(1)!r}"
    if not may_repeat:
        return None
    sentences = Counter(part.strip().lower() for part in _SENTENCE.findall(text) if part.strip())
    if sentences:
        sentence, times = sentences.most_common(1)[0]
        if times >= 4 and len(_WORD.findall(sentence)) >= 4:
            return f"repeats {_shortened(sentence)!r} {times} times"
    return None


def _loop(words: list[str], least_words: int, least_times: int, verbatim: bool) -> str | None:
    times = Counter(words)
    often = "".join(["x" if times[word] >= least_times else " " for word in words])
    if "x" * least_words not in often:
        return None  # each word of a loop comes as often as its rounds
    for period in range(1, min(_LONGEST_PERIOD, len(words) // least_times) + 1):
        run = 0
        times_needed = max(least_times, 8) if period <= 2 else least_times
        for index in range(period, len(words)):
            run = run + 1 if words[index] == words[index - period] else 0
            span = run + period
            if span >= least_words and span >= period * times_needed:
                unit = words[index - period + 1 : index + 1]
                if verbatim and all(word.isdigit() for word in unit):
                    break
                return f"repeats {_shortened(' '.join(unit))!r}"
    return None


def _is_other_language(text: str, lang: Language) -> bool:
    """Told by script: Chinese, Latin or other letters. Languages of one script are not told apart."""
    if lang == "en" and text.isascii():
        return False
    voice = without_quotations(text)
    east = len(_CJK.findall(voice))
    words = _LATIN.findall(voice)
    latin = len(words)
    other = sum(map(str.isalpha, voice)) - east - sum(map(len, words))
    if lang == "zh":
        kana = len(re.findall(r"[\u3040-\u30ff\uac00-\ud7af]", voice))
        chinese = east - kana
        strange = latin + kana + other // 4
        return strange >= 4 and chinese < 0.2 * (chinese + strange)
    strange = east + other // 4
    return strange >= 4 and latin < 0.5 * (latin + strange)


def _shortened(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


_QUOTED = re.compile(
    r"“[^”]*”|「[^」]*」|『[^』]*』|《[^》]*》|«[^»]*»|„[^“”]*[“”]|\"[^\"]*\""
    r"|‘(?<!\w.)[^’]*(?:’\w[^’]*)*’(?!\w)|'(?<!\w.)(?:[^']|'(?=\w))*'(?!\w)"
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


# Letters that re.IGNORECASE takes for others in small, and str.lower does not.
_ODD_LETTERS = str.maketrans("İıſᲀᲁᲂᲃᲄᲅᲆ", "iisвдосттъ")


def folded(sentence: str) -> str:
    """The text in small letters, of the same length. A plain pattern finds in it what one that ignores case
    finds in the text, in half the time."""
    return (sentence if sentence.isascii() else sentence.translate(_ODD_LETTERS)).lower()


class _Language:
    """What tells a refusal in one language. The pattern takes some ten milliseconds to compile, so it waits
    for a sentence that has one of the language's marks."""

    def __init__(self, language: str) -> None:
        words = resources.files("visionpipe.stages").joinpath("refusals", f"{language}.toml")
        self._parts: dict[str, list[str]] = tomllib.loads(words.read_text(encoding="utf-8"))
        self._marks = self._compiled("marks", 0)
        self._openings: re.Pattern[str] | None = None

    def refuses(self, sentence: str, small: str) -> bool:
        """Whether a sentence of the model's own voice, also given ``folded``, is a refusal."""
        if not self._marks.search(small):
            return False
        if self._openings is None:
            # One at a time, since the first answers of a job come to dozens of threads at once.
            with _reading:
                self._openings = self._openings or self._compiled("openings", re.IGNORECASE)
        return self._openings.match(sentence) is not None

    def _compiled(self, name: str, flags: int) -> re.Pattern[str]:
        # A space in a list of words is any white space; one inside a set of characters stays what it is.
        return re.compile(_SPACE.sub(_spaced, self._written(name)), flags)

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
    for part in islice(_sentences(without_quotations(text)), sentences):
        opening = _LEAD.sub("", part[:_LOOKED_AT]).replace("’", "'")
        small = folded(opening)
        for name in _languages_of(opening):
            if _language(name).refuses(opening, small):
                return part
    return None


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a text, which is read no further than they are asked for."""
    begin = 0
    for end in _SENTENCE_END.finditer(text):
        sentence = text[begin : end.start()].strip()
        begin = end.end()
        if sentence:
            yield sentence
    last = text[begin:].strip()
    if last:
        yield last


def _languages_of(text: str) -> tuple[str, ...]:
    """The languages that a sentence may be in, by its letters."""
    if not text.isascii():
        for language, letters in BY_SCRIPT:
            if letters.search(text):
                return (language, "en") if re.match(r"\W*[A-Za-z]", text) else (language,)
    return LATIN
