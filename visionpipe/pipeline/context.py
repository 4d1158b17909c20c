"""What a run works with: who answers, what is recorded, and the bounds of it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from visionpipe.pipeline.answerer import Answerer, Judge
from visionpipe.pipeline.budget import Budget
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.limiter import Limiter
from visionpipe.pipeline.near_duplicates import Resemblance
from visionpipe.pipeline.outage import LONGEST_OUTAGE_S
from visionpipe.pipeline.triage import Triage


@dataclass(frozen=True, slots=True)
class RunContext:
    """The parts of a run.

    Attributes:
        triage: decides what has to be asked about.
        judge: holds each answer to a policy; None takes them as they come.
        resemblance: how near duplicates are judged; None where they are not asked for.
        workers: threads that ask, at least the limiter's ceiling to make use of it.
        preparers: most threads that read, hash and repair; the first does it alone while that is quick.
        outage_seconds: how long to wait for a service out of reach; None: for ever.
        item_seconds: of sending, before an item fails.
        deadline: monotonic seconds at which no item is begun any more.
    """

    answerer: Answerer
    journal: Journal
    triage: Triage
    limiter: Limiter
    budget: Budget | None = None
    judge: Judge | None = None
    resemblance: Resemblance | None = None
    workers: int = 8
    preparers: int = 2
    item_seconds: float | None = None
    outage_seconds: float | None = LONGEST_OUTAGE_S
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic
