"""Call a function of the caller's on behalf of the model.

Whatever it raises is a result, told to the model and kept in the reply; only what ends the program
or the task goes on upwards. With asyncio, plain functions run in a worker thread.
"""

from __future__ import annotations

import asyncio
import inspect

from visionpipe.stages.exchange import Invoke, Invoked


def invoke(effect: Invoke) -> Invoked:
    """Call it here and now."""
    try:
        value = effect.function(**effect.arguments)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("the function returned a coroutine, which only AsyncClient can await")
    except Exception as error:
        return Invoked(exception=error)
    return Invoked(value)


async def invoke_async(effect: Invoke) -> Invoked:
    """Await it, or run it in a thread."""
    try:
        if inspect.iscoroutinefunction(effect.function):
            value = await effect.function(**effect.arguments)
        else:
            value = await asyncio.to_thread(effect.function, **effect.arguments)
            if inspect.isawaitable(value):
                value = await value
    except Exception as error:
        return Invoked(exception=error)
    return Invoked(value)
