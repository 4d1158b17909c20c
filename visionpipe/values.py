"""Small frozen values that every layer speaks: usage, money, and what was changed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

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
    contact_sheet, dropped, sampled, doubt, defaulted), ``subject`` the file or parameter, ``detail`` one
    clause with the figures: ``"4032x3024 -> 2016x1512"``.
    """

    kind: str
    subject: str
    detail: str

    def to_json(self) -> dict[str, JSON]:
        return {"kind": self.kind, "subject": self.subject, "detail": self.detail}

    def __str__(self) -> str:
        return f"{self.subject}: {self.kind}, {self.detail}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing about an answer: truncated, refusal, markup removed, local analysis."""

    kind: str
    detail: str

    def to_json(self) -> dict[str, JSON]:
        return {"kind": self.kind, "detail": self.detail}
