"""What one key may do: so many requests at once (1302 beyond), and each request id once (1231).

The service limits concurrency, not a rate; whoever comes beyond is refused at once with 1302 (the platform's
FAQ). The rule: a refused request never counts as in flight, and limits may change while requests are.
How long the service remembers a request id is not documented; here it is the newest hundred thousand.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from visionpipe.sandbox.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """Most requests in flight. ``models`` overrides ``per_model`` by model id; None: no limit."""

    per_model: int | None = None
    total: int | None = None
    models: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {"per_model": self.per_model, "total": self.total, "models": dict(self.models)}


class Gate:
    """Counts who is inside. Used from one event loop, so nothing comes between looking and entering."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._inside: Counter[tuple[str, str]] = Counter()
        self._per_model: Counter[str] = Counter()
        self.now = 0
        self.most = 0
        self.most_per_model: dict[str, int] = {}

    def enter(self, key: str, model: str) -> None:
        """Count one request in; Refusal 1302 where a limit is reached."""
        limits = self.limits
        allowed = limits.models.get(model, limits.per_model)
        if allowed is not None and self._inside[(key, model)] >= allowed:
            raise Refusal("1302", f"{allowed} requests to {model} are in flight")
        if limits.total is not None and self.now >= limits.total:
            raise Refusal("1302", f"{limits.total} requests are in flight")
        self._inside[(key, model)] += 1
        self._per_model[model] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self.most_per_model[model] = max(self.most_per_model.get(model, 0), self._per_model[model])

    def leave(self, key: str, model: str) -> None:
        """Count one request out."""
        self._inside[(key, model)] -= 1
        self._per_model[model] -= 1
        if not self._inside[(key, model)]:
            del self._inside[(key, model)]
        if not self._per_model[model]:
            del self._per_model[model]
        self.now -= 1

    def forget_peaks(self) -> None:
        """Start the figures for the most in flight anew."""
        self.most = self.now
        self.most_per_model = dict(self._per_model)


class RequestIds:
    """The ids each key has used."""

    def __init__(self, remembered: int = 100_000) -> None:
        self._used: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._remembered = remembered

    def claim(self, key: str, request_id: str) -> None:
        """Take the id for this request; Refusal 1231 where it was taken before."""
        if (key, request_id) in self._used:
            raise Refusal("1231", request_id)
        self._used[(key, request_id)] = None
        if len(self._used) > self._remembered:
            self._used.popitem(last=False)

    def clear(self) -> None:
        self._used.clear()
