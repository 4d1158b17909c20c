"""What a client offers besides asking: tasks, files, batches, agents, fine-tuning, and token counts.

The rule: each is made when it is first looked at, so that a client which only asks loads none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from visionpipe.client.calls import Calls
from visionpipe.client.drive import drive, drive_async
from visionpipe.stages.exchange import Effect
from visionpipe.transport.sender import AsyncSender, Sender

if TYPE_CHECKING:
    from visionpipe.client.tasks import AsyncTasks, Tasks

T = TypeVar("T")


class Services:
    """The synchronous client's."""

    _calls: Calls
    _sender: Sender
    _sleep: Callable[[float], None]
    prepare: Callable[..., Any]

    @property
    def tasks(self) -> Tasks:
        """Asynchronous calls: submit now, take the reply later."""
        from visionpipe.client.task_calls import TaskCalls
        from visionpipe.client.tasks import Tasks

        return Tasks(TaskCalls(self._calls), self._run, self.prepare)

    def _run(self, call: Generator[Effect, Any, T]) -> T:
        return drive(call, self._sender, self._sleep)


class AsyncServices:
    """The asyncio client's."""

    _calls: Calls
    _sender: AsyncSender
    _sleep: Callable[[float], Awaitable[None]]
    prepare: Callable[..., Awaitable[Any]]

    @property
    def tasks(self) -> AsyncTasks:
        """Asynchronous calls: submit now, take the reply later."""
        from visionpipe.client.task_calls import TaskCalls
        from visionpipe.client.tasks import AsyncTasks

        return AsyncTasks(TaskCalls(self._calls), self._run, self.prepare)

    async def _run(self, call: Generator[Effect, Any, T]) -> T:
        return await drive_async(call, self._sender, self._sleep)
