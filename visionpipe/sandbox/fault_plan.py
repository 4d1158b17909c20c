"""When a fault comes: each rule counts the requests that match it and draws from its own seeded source.

The n-th matching request meets the same fault in every run with the same scenario, whatever the
clock says; only the order of arrival can change it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import log

from visionpipe.sandbox.scenario import Fault, LatencyFault, Rule, Scenario


@dataclass(slots=True)
class _Counter:
    """How often one rule has matched, and come."""

    source: random.Random
    matched: int = 0
    met: int = 0
    burst_left: int = 0


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """What one request meets: at most one fault, and a delay in seconds before it or the answer."""

    fault: Fault | None = None
    delay: float = 0.0

    @property
    def kind(self) -> str | None:
        """The fault's kind and form, for the log."""
        fault = self.fault
        if fault is None:
            return "latency" if self.delay else None
        form = getattr(fault, "form", None) or getattr(fault, "when", None) or getattr(fault, "code", None)
        return f"{fault.kind}:{form}" if form else fault.kind


@dataclass(slots=True)
class FaultPlan:
    """A scenario at work."""

    scenario: Scenario = field(default_factory=Scenario)
    _counters: list[_Counter] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._counters = [
            _Counter(random.Random(f"{self.scenario.seed}/{place}"))  # a rule draws apart from the others
            for place in range(len(self.scenario.rule))
        ]

    def early(self, path: str) -> PlannedFault:
        """What comes before the body is read."""
        return self._draw(path, None, None, early=True)

    def next(self, path: str, model: str | None, stream: bool | None) -> PlannedFault:
        """The fault of a request that is read and found in order."""
        return self._draw(path, model, stream, early=False)

    def _draw(self, path: str, model: str | None, stream: bool | None, *, early: bool) -> PlannedFault:
        fault: Fault | None = None
        delay = 0.0
        for rule, counter in zip(self.scenario.rule, self._counters, strict=True):
            if rule.early is not early or not _matches(rule, path, model, stream):
                continue
            if not _due(rule, counter):
                continue
            if isinstance(rule.fault, LatencyFault):
                delay += _latency(rule.fault, counter.source)
            elif fault is None:
                fault = rule.fault
        return PlannedFault(fault, delay)


def _matches(rule: Rule, path: str, model: str | None, stream: bool | None) -> bool:
    if not fnmatchcase(path, rule.path):
        return False
    if rule.model is not None and (model is None or not fnmatchcase(model, rule.model)):
        return False
    return rule.stream is None or rule.stream is bool(stream)


def _due(rule: Rule, counter: _Counter) -> bool:
    counter.matched += 1
    if rule.count is not None and counter.met >= rule.count:
        return False
    if counter.burst_left:
        counter.burst_left -= 1
    else:
        place = counter.matched - rule.after - 1
        if place < 0 or place % rule.every or counter.source.random() >= rule.rate:
            return False
        counter.burst_left = rule.burst - 1
    counter.met += 1
    return True


def _latency(fault: LatencyFault, source: random.Random) -> float:
    if fault.seconds is not None:
        return fault.seconds
    if fault.low is not None and fault.high is not None:
        return source.uniform(fault.low, fault.high)
    if fault.median is not None:
        return source.lognormvariate(log(fault.median), fault.sigma)
    assert fault.mean is not None  # the scenario allows no other case
    return source.expovariate(1 / fault.mean)
