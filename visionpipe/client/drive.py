"""Carry out the effects of a call: the one place where a generator meets a sender and a clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from visionpipe.client.invoking import invoke, invoke_async
from visionpipe.client.refused import read_refusal, read_refusal_async
from visionpipe.client.service.saving import save, save_async
from visionpipe.errors import VisionPipeError
from visionpipe.stages.exchange import Effect, Invoke, Open, Save, Send, Sleep
from visionpipe.transport.sender import AsyncSender, Sender

T = TypeVar("T")


class Run(Protocol):
    """Carries a call out."""

    def __call__(self, call: Generator[Effect, Any, T]) -> T: ...


class AsyncRun(Protocol):
    """As :class:`Run`, awaited."""

    def __call__(self, call: Generator[Effect, Any, T]) -> Coroutine[Any, Any, T]: ...


def drive(call: Generator[Effect, Any, T], sender: Sender, sleep: Callable[[float], None]) -> T:
    """Run ``call`` to its end. Raises what the call raises."""

    def perform(effect: Effect) -> Any:
        match effect:
            case Send():
                return sender.send(effect.request)
            case Open():
                stream = sender.open(effect.request)
                return stream if 200 <= stream.status < 300 else read_refusal(stream)
            case Save():
                return save(sender.open(effect.request), effect.path)
            case Invoke():
                return invoke(effect)
            case Sleep():
                return sleep(effect.seconds)

    try:
        effect = next(call)
        while True:
            try:
                result = perform(effect)
            except VisionPipeError as error:
                effect = call.throw(error)
            else:
                effect = call.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


async def drive_async(
    call: Generator[Effect, Any, T], sender: AsyncSender, sleep: Callable[[float], Awaitable[None]]
) -> T:
    """As :func:`drive`, awaited."""

    async def perform(effect: Effect) -> Any:
        match effect:
            case Send():
                return await sender.send(effect.request)
            case Open():
                stream = await sender.open(effect.request)
                return stream if 200 <= stream.status < 300 else await read_refusal_async(stream)
            case Save():
                return await save_async(await sender.open(effect.request), effect.path)
            case Invoke():
                return await invoke_async(effect)
            case Sleep():
                return await sleep(effect.seconds)

    try:
        effect = next(call)
        while True:
            try:
                result = await perform(effect)
            except VisionPipeError as error:
                effect = call.throw(error)
            else:
                effect = call.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
