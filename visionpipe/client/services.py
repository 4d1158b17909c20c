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
    from visionpipe.client.batches import AsyncBatches, Batches
    from visionpipe.client.files import AsyncFiles, Files
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

    @property
    def files(self) -> Files:
        """Files kept at the service."""
        from visionpipe.client.file_calls import FileCalls
        from visionpipe.client.files import Files

        return Files(FileCalls(self._calls), self._run)

    @property
    def batches(self) -> Batches:
        """Many questions in one file, at a lower price."""
        from visionpipe.client.batch_calls import BatchCalls
        from visionpipe.client.batches import Batches
        from visionpipe.client.file_calls import FileCalls

        return Batches(BatchCalls(self._calls), FileCalls(self._calls), self._run)

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

    @property
    def files(self) -> AsyncFiles:
        """Files kept at the service."""
        from visionpipe.client.file_calls import FileCalls
        from visionpipe.client.files import AsyncFiles

        return AsyncFiles(FileCalls(self._calls), self._run)

    @property
    def batches(self) -> AsyncBatches:
        """Many questions in one file, at a lower price."""
        from visionpipe.client.batch_calls import BatchCalls
        from visionpipe.client.batches import AsyncBatches
        from visionpipe.client.file_calls import FileCalls

        return AsyncBatches(BatchCalls(self._calls), FileCalls(self._calls), self._run)

    async def _run(self, call: Generator[Effect, Any, T]) -> T:
        return await drive_async(call, self._sender, self._sleep)
