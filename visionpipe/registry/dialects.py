"""What services say when an answer ends, or when none comes: the table ``dialects.toml``, read and asked.

The words are data; here is only how a rule is found. The first rule whose conditions all hold decides, so a
service's own codes stand before words that many use, and those before bare HTTP statuses.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from visionpipe.errors import (
    AccessError,
    AccountError,
    AuthenticationError,
    ContentPolicyError,
    QuotaError,
    RateLimitError,
    RejectedRequestError,
    Scope,
    ServerError,
    ServiceError,
    UnknownModelError,
)

Ending: TypeAlias = Literal["complete", "cut", "filtered", "broken"]
"""What a finish_reason means. cut: the output's limit was reached. filtered: because of this item's content.
broken: the service gave up, and another try may pass."""

_READING = threading.Lock()
_TABLE = Path(__file__).with_name("dialects.toml")
_SOURCE = re.compile(r"\{([a-z0-9-]+)\}")
_KINDS: dict[str, type[ServiceError]] = {
    "authentication": AuthenticationError,
    "account": AccountError,
    "quota": QuotaError,
    "access": AccessError,
    "unknown_model": UnknownModelError,
    "rejected": RejectedRequestError,
    "content_policy": ContentPolicyError,
    "rate_limit": RateLimitError,
    "server": ServerError,
}


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """What one refusal means for the caller.

    Attributes:
        dialect: whose codes these are; None: words that mean the same everywhere.
        codes: the error's code or type, in lower case; empty: any.
        says: what the message holds; None: anything, or nothing.
        statuses: HTTP statuses, as (first, last); empty: any.
        error: the class.
        reason: one clause.
        cure: one sentence, where the service gave a message; ``silent_cure`` where it gave none.
        retry, scope: None: as the class has it.
        source: where this was read, and when.
    """

    dialect: str | None
    codes: frozenset[str]
    says: re.Pattern[str] | None
    statuses: tuple[tuple[int, int], ...]
    error: type[ServiceError]
    reason: str
    cure: str
    silent_cure: str
    retry: bool | None
    scope: Scope | None
    source: str

    def fits(self, codes: Sequence[str], message: str, status: int | None, dialects: frozenset[str]) -> bool:
        """Whether all of the rule's conditions hold."""
        if self.dialect is not None and self.dialect not in dialects:
            return False
        if self.codes and self.codes.isdisjoint(codes):
            return False
        if self.says is not None and not self.says.search(message):
            return False
        if not self.statuses:
            return True
        if status is None:
            return bool(self.codes) or self.says is not None
        return any(first <= status <= last for first, last in self.statuses)


@dataclass(frozen=True, slots=True)
class Dialects:
    """The whole table. ``families``: patterns of the ids of models that bring their maker's codes with them,
    by dialect. ``otherwise``: what a refusal says where it asks for another form, by the form's name."""

    otherwise: dict[str, re.Pattern[str]]
    endings: dict[str, Ending]
    families: dict[str, tuple[str, ...]]
    rules: tuple[RefusalRule, ...]

    def ending(self, finish_reason: str) -> Ending:
        """What a service's ``finish_reason`` means; a word that nobody knows counts as complete."""
        return self.endings.get(finish_reason.strip().lower(), "complete")

    def asks_for(self, message: str) -> tuple[str, ...]:
        """The other forms of a request that a refusal's words ask for; mostly none."""
        return tuple(form for form, says in self.otherwise.items() if says.search(message))

    def rule(
        self,
        codes: Sequence[str],
        message: str,
        *,
        status: int | None,
        dialect: str,
        model_id: str | None = None,
    ) -> RefusalRule:
        """The rule for a refusal.

        Args:
            codes: every code and type in it, in any case.
            message: the service's words; may be empty.
            status: of HTTP; None where the refusal came inside an answer.
            dialect: the endpoint's.
            model_id: the model asked, whose maker's codes a gateway may pass on.
        """
        low = [code.lower() for code in codes]
        spoken = frozenset((dialect, *self._family(model_id)))
        return next(rule for rule in self.rules if rule.fits(low, message, status, spoken))

    def _family(self, model_id: str | None) -> list[str]:
        name = (model_id or "").lower()
        return [
            dialect
            for dialect, patterns in self.families.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        ]


def dialects() -> Dialects:
    """The built-in table, read once, also where many threads have their first answers at the same moment."""
    with _READING:
        return _read_table()


@cache
def _read_table() -> Dialects:
    import tomllib

    data = tomllib.loads(_TABLE.read_text("utf-8"))
    return Dialects(
        otherwise={form: _any_of(says) for form, says in data["otherwise"].items()},
        endings={word: ending for ending, words in data["finish"].items() for word in words},
        families={name: tuple(entry["models"]) for name, entry in data["dialect"].items()},
        rules=tuple(_rule(**entry, cures=data["cure"], sources=data["source"]) for entry in data["rule"]),
    )


def _rule(
    *,
    error: str,
    reason: str,
    cure: str,
    source: str,
    cures: dict[str, dict[str, str]],
    sources: dict[str, str],
    dialect: str | None = None,
    codes: Sequence[str] = (),
    says: Sequence[str] = (),
    statuses: Sequence[str] = (),
    retry: bool | None = None,
    scope: Scope | None = None,
) -> RefusalRule:
    """A rule from its table in the file; the names are the file's."""
    sentence = cures.get(cure, {"said": cure})
    return RefusalRule(
        dialect=dialect,
        codes=frozenset(codes),
        says=_any_of(says) if says else None,
        statuses=tuple(_range(text) for text in statuses),
        error=_KINDS[error],
        reason=reason,
        cure=sentence["said"],
        silent_cure=sentence.get("silent", sentence["said"]),
        retry=retry,
        scope=scope,
        source=_SOURCE.sub(lambda match: sources[match[1]], source),
    )


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
