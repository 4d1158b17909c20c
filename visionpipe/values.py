"""Small frozen values that every layer speaks: usage, money, moments, and what was changed on the way."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""What JSON can hold."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the service counted them; ``cached`` and ``reasoning`` are parts of the other two."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def to_json(self) -> dict[str, JSON]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency (ISO 4217 code). Amounts of two currencies are never added."""

    amount: Decimal
    currency: str

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"

    def to_json(self) -> dict[str, JSON]:
        return {"amount": f"{self.amount.normalize():f}", "currency": self.currency}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One thing that was changed between what the caller gave and what was sent.

    ``kind`` is a stable word (resized, re-encoded, rotated, flattened, converted, first_frame, split,
    contact_sheet, dropped, left_out, trimmed, sampled, doubt, defaulted), ``subject`` the file or parameter,
    ``detail`` one clause with the figures: ``"4032x3024 -> 2016x1512"``.
    """

    kind: str
    subject: str
    detail: str

    def to_json(self) -> dict[str, JSON]:
        return {"kind": self.kind, "subject": self.subject, "detail": self.detail}

    def __str__(self) -> str:
        return f"{self.subject}: {self.kind}, {self.detail}"


ABSTAINED = "abstained"
"""The kind of note on an answer that says no more than that there is none."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing about an answer: truncated, refusal, markup removed, local analysis."""

    kind: str
    detail: str

    def to_json(self) -> dict[str, JSON]:
        return {"kind": self.kind, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Timecode:
    """A moment of a clip as its container keeps it: ``pts`` ticks of ``time_base`` seconds each.

    The pair is exact; seconds are only for print. Two of them compare by the moment they mean, whatever
    their time bases.
    """

    pts: int
    time_base: Fraction

    @classmethod
    def at(cls, seconds: float | Fraction, time_base: Fraction) -> Timecode:
        """The tick at or just before ``seconds``."""
        return cls(math.floor(Fraction(seconds) / time_base), time_base)

    @property
    def exact(self) -> Fraction:
        """Seconds, as a fraction."""
        return self.pts * self.time_base

    @property
    def seconds(self) -> float:
        return float(self.exact)

    def __eq__(self, other: object) -> bool:
        return self.exact == other.exact if isinstance(other, Timecode) else NotImplemented

    def __lt__(self, other: Timecode) -> bool:
        return self.exact < other.exact

    def __le__(self, other: Timecode) -> bool:
        return self.exact <= other.exact

    def __gt__(self, other: Timecode) -> bool:
        return self.exact > other.exact

    def __ge__(self, other: Timecode) -> bool:
        return self.exact >= other.exact

    def __hash__(self) -> int:
        return hash(self.exact)

    def __str__(self) -> str:
        """``0:01:02.345``, rounded down to the millisecond."""
        millis = math.floor(abs(self.exact) * 1000)
        sign = "-" if self.pts < 0 else ""
        hours, rest = divmod(millis, 3_600_000)
        minutes, rest = divmod(rest, 60_000)
        return f"{sign}{hours}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"

    def to_json(self) -> dict[str, JSON]:
        return {"pts": self.pts, "time_base": str(self.time_base), "seconds": round(self.seconds, 6)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Timecode:
        """The inverse of ``to_json``; raises KeyError or ValueError on a record of another shape."""
        return cls(int(record["pts"]), Fraction(record["time_base"]))


def notebook_html(
    text: str,
    facts: Iterable[object],
    notes: Iterable[Note | Adjustment] = (),
    *,
    failed: bool = False,
    rows: Iterable[Sequence[object]] = (),
    pictures: Iterable[str] = (),
) -> str:
    """A value as a notebook shows it; everything in it is text and never becomes markup.

    Args:
        text: what it says.
        facts: short ones, such as the model and the cost; None is left out.
        notes: what is worth knowing, and what was changed.
        failed: whether ``text`` says why there is no answer.
        rows: of a table below.
        pictures: paths of images and clips that it is about; of the first few that lie on this machine,
            small copies stand before it.
    """
    dim = "opacity:.7;font-size:90%"
    told = " · ".join(escape(str(fact)) for fact in facts if fact is not None and fact != "")
    listed = "".join(
        f"<li>{escape(note.kind.replace('_', ' '))}: {escape(note.detail)}</li>" for note in notes
    )
    cells = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    colour = "color:#a8412f;" if failed else ""
    return (
        f'<div style="max-width:46rem">{_thumbnails(pictures)}'
        f'<p style="{colour}white-space:pre-line">{escape(text)}</p>'
        f'<p style="{dim}">{told}</p>'
        + (f'<ul style="{dim}">{listed}</ul>' if listed else "")
        + (f"<table>{cells}</table>" if cells else "")
        + "</div>"
    )


_MOST_PICTURES, _PICTURE_PIXELS, _PICTURE_BYTES = 8, 160, 32 * 1024


def _thumbnails(paths: Iterable[str]) -> str:
    """What a notebook shows of images that are files here; links are not followed."""
    from visionpipe import thumbnail

    shown = []
    for path in islice(paths, _MOST_PICTURES):
        small = None if "://" in path else thumbnail(Path(path), _PICTURE_PIXELS)
        if small is not None and len(small) <= _PICTURE_BYTES:
            kind = "webp" if small[:4] == b"RIFF" else "jpeg"
            data = b64encode(small).decode("ascii")
            alt = escape(Path(path).name)
            shown.append(f'<img alt="{alt}" title="{alt}" src="data:image/{kind};base64,{data}">')
    return "".join(shown)
