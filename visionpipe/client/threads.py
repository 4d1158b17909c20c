"""Where the two clients truly differ: work that blocks, and functions of the caller's.

The blocking client does both here and now; the asyncio one in a worker thread, so that its event loop never
waits for them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it here and now."""
    return work(*args, **kwargs)


async def in_thread_async(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it in a worker thread."""
    return await asyncio.to_thread(work, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Called:
    """What a function of the caller's returned, or raised: that is told to the model, and goes no further.
    Only what ends the program or the task is not caught."""

    value: Any = None
    exception: Exception | None = None


def call_function(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Called:
    """Call it here and now."""
    try:
        value = function(**arguments)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("the function returned a coroutine, which only AsyncClient can await")
    except Exception as error:
        return Called(exception=error)
    return Called(value)


async def call_function_async(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Called:
    """Await it, or run it in a thread."""
    try:
        if inspect.iscoroutinefunction(function):
            value = await function(**arguments)
        else:
            value = await asyncio.to_thread(function, **arguments)
            if inspect.isawaitable(value):
                value = await value
    except Exception as error:
        return Called(exception=error)
    return Called(value)
