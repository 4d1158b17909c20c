"""Ask again and again until something at the service has come to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from visionpipe.errors import VisionPipeError
from visionpipe.stages.polling import Looked, Polling, PollPolicy

K = TypeVar("K")
T = TypeVar("T")


async def poll_async(
    look: Callable[[], Awaitable[Looked[T]]],
    *,
    policy: PollPolicy,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
    deadline: float | None,
    late: Callable[[], VisionPipeError],
) -> T:
    """Ask until it is the end.

    Args:
        look: asks once.
        policy: how long to wait between.
        sleep, clock: waiting, and monotonic seconds.
        deadline: seconds from now after which ``late()`` is raised; None waits as long as it takes.
        late: the error for a deadline that has passed.
    """
    ends = await poll_all_async({None: look}, policy=policy, sleep=sleep, clock=clock, deadline=deadline)
    end = ends.get(None)
    if isinstance(end, VisionPipeError):
        raise end
    if end is None:
        raise late()
    return end.value


async def poll_all_async(
    looks: Mapping[K, Callable[[], Awaitable[Looked[T]]]],
    *,
    policy: PollPolicy,
    sleep: Callable[[float], Awaitable[None]],
    clock: Callable[[], float],
    deadline: float | None,
) -> dict[K, Looked[T] | VisionPipeError]:
    """Ask after several things in turn until all are at their end; arguments as for :func:`poll_async`.

    Returns:
        What became of each; those that were not at their end by the ``deadline`` are missing.

    Raises:
        VisionPipeError: of scope "job", at once; any other stands in the place of its thing's end.
    """
    polling: Polling[K, T] = Polling(looks, policy, clock(), deadline)
    while True:
        for key in polling.next_round():
            if not polling.is_due(key, clock()):
                continue
            looked: Looked[T] | VisionPipeError
            try:
                looked = await looks[key]()
            except VisionPipeError as error:
                looked = error
            polling.told(key, looked, clock())
        wait = polling.wait(clock())
        if wait is None:
            return polling.ends
        await sleep(wait)
