"""Asking again and again until something at the service has come to its end; generators without I/O.

Waits grow, Retry-After is a floor, and a deadline ends the asking, never the thing asked for, so
that it can be taken up again by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from tenacity import RetryCallState, Retrying, wait_exponential
from tenacity.wait import wait_base

from visionpipe.errors import VisionPipeError
from visionpipe.stages.exchange import Effect, Sleep

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Looked(Generic[T]):
    """What one question told: the value, whether it is the end, and the seconds that the service asked to
    wait before the next one."""

    value: T
    done: bool
    retry_after: float | None = None


Look: TypeAlias = Generator[Effect, Any, Looked[T]]


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long to wait between two questions.

    Attributes:
        wait: tenacity's waiting policy, in seconds. The default grows from 1 to 15, for tasks that take
            10 to 30 seconds.
    """

    wait: wait_base = field(default_factory=lambda: wait_exponential(multiplier=1, exp_base=1.6, max=15))

    def seconds(self, asked: int, floor: float | None = None) -> float:
        """Before the next question, after ``asked`` of them (from 1)."""
        # The state is all that tenacity's policies look at; no call runs inside of it.
        state = RetryCallState(Retrying(), fn=None, args=(), kwargs={})
        state.attempt_number = asked
        return max(float(self.wait(state)), floor or 0.0)


LONG = PollPolicy(wait_exponential(multiplier=2, exp_base=1.6, max=60))
"""For what takes minutes to hours: batches and fine-tuning jobs."""


def poll(
    look: Callable[[], Look[T]],
    *,
    policy: PollPolicy,
    clock: Callable[[], float],
    deadline: float | None,
    late: Callable[[], VisionPipeError],
) -> Generator[Effect, Any, T]:
    """Ask until it is the end.

    Args:
        look: asks once.
        policy: how long to wait between.
        clock: monotonic seconds.
        deadline: seconds from now after which ``late()`` is raised; None waits as long as it takes.
        late: the error for a deadline that has passed.
    """
    ends = yield from poll_all({None: look}, policy=policy, clock=clock, deadline=deadline)
    end = ends.get(None)
    if isinstance(end, VisionPipeError):
        raise end
    if end is None:
        raise late()
    return end.value


K = TypeVar("K")


def poll_all(
    looks: Mapping[K, Callable[[], Look[T]]],
    *,
    policy: PollPolicy,
    clock: Callable[[], float],
    deadline: float | None,
) -> Generator[Effect, Any, dict[K, Looked[T] | VisionPipeError]]:
    """Ask after several things in turn until all are at their end.

    Returns:
        What became of each; those that were not at their end by the ``deadline`` are missing.

    Raises:
        VisionPipeError: of scope "job", at once; any other stands in the place of its thing's end.
    """
    began = clock()
    left = dict(looks)
    not_before: dict[K, float] = {}
    ends: dict[K, Looked[T] | VisionPipeError] = {}
    asked = 0
    while left:
        asked += 1
        for key, look in list(left.items()):
            if clock() < not_before.get(key, began):
                continue
            try:
                looked = yield from look()
            except VisionPipeError as error:
                if error.scope == "job":
                    raise
                ends[key] = error
                del left[key]
                continue
            if looked.done:
                ends[key] = looked
                del left[key]
            else:
                not_before[key] = clock() + (looked.retry_after or 0.0)
        if not left:
            break
        now = clock()
        floor = min(not_before[key] for key in left) - now
        wait = policy.seconds(asked, floor)
        if deadline is not None:
            rest = began + deadline - now
            if rest <= 0 or floor > rest:
                break
            wait = min(wait, rest)
        yield Sleep(wait)
    return ends
