"""What a client offers besides asking: tasks, files, batches, agents, fine-tuning, and token counts.

Each is made when it is first looked at, so that a client which only asks loads none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from visionpipe.client.calls import Calls
from visionpipe.client.drive import drive, drive_async
from visionpipe.stages.exchange import Effect
from visionpipe.transport.sender import AsyncSender, Sender

if TYPE_CHECKING:
    from visionpipe.client.options import CallOptions
    from visionpipe.client.preparation import Prepared
    from visionpipe.client.service.agents import Agents, AsyncAgents
    from visionpipe.client.service.batches import AsyncBatches, Batches
    from visionpipe.client.service.files import AsyncFiles, Files
    from visionpipe.client.service.tasks import AsyncTasks, Tasks
    from visionpipe.client.service.tuning import AsyncFineTuning, FineTuning
    from visionpipe.wire.tokenizer import TokenCount

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
        from visionpipe.client.service.task_calls import TaskCalls
        from visionpipe.client.service.tasks import Tasks

        return Tasks(TaskCalls(self._calls), self._run, self.prepare)

    @property
    def files(self) -> Files:
        """Files kept at the service."""
        from visionpipe.client.service.file_calls import FileCalls
        from visionpipe.client.service.files import Files

        return Files(FileCalls(self._calls), self._run)

    @property
    def batches(self) -> Batches:
        """Many questions in one file, at a lower price."""
        from visionpipe.client.service.batch_calls import BatchCalls
        from visionpipe.client.service.batches import Batches
        from visionpipe.client.service.file_calls import FileCalls

        return Batches(BatchCalls(self._calls), FileCalls(self._calls), self._run)

    @property
    def agents(self) -> Agents:
        """The service's agents, and the older applications."""
        from visionpipe.client.service.agent_calls import AgentCalls
        from visionpipe.client.service.agents import Agents

        return Agents(AgentCalls(self._calls), self._run)

    @property
    def fine_tuning(self) -> FineTuning:
        """Fine-tuning jobs, where the account has them."""
        from visionpipe.client.service.tuning import FineTuning
        from visionpipe.client.service.tuning_calls import TuningCalls

        return FineTuning(TuningCalls(self._calls), self._run)

    def count_tokens(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> TokenCount:
        """The input tokens of a question as the service counts them; nothing is answered.

        Args:
            prompt, images, options: as for ``ask``.

        Raises:
            UnsupportedError: the endpoint or the model has no counting; the cure names what has.
        """
        return self.count_prepared(self.prepare(prompt, *images, **options))

    def count_prepared(self, prepared: Prepared) -> TokenCount:
        """As :meth:`count_tokens`, for what ``prepare`` gave."""
        from visionpipe.client.service.counting import count_call

        return self._run(count_call(self._calls, prepared))

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
        from visionpipe.client.service.task_calls import TaskCalls
        from visionpipe.client.service.tasks import AsyncTasks

        return AsyncTasks(TaskCalls(self._calls), self._run, self.prepare)

    @property
    def files(self) -> AsyncFiles:
        """Files kept at the service."""
        from visionpipe.client.service.file_calls import FileCalls
        from visionpipe.client.service.files import AsyncFiles

        return AsyncFiles(FileCalls(self._calls), self._run)

    @property
    def batches(self) -> AsyncBatches:
        """Many questions in one file, at a lower price."""
        from visionpipe.client.service.batch_calls import BatchCalls
        from visionpipe.client.service.batches import AsyncBatches
        from visionpipe.client.service.file_calls import FileCalls

        return AsyncBatches(BatchCalls(self._calls), FileCalls(self._calls), self._run)

    @property
    def agents(self) -> AsyncAgents:
        """The service's agents, and the older applications."""
        from visionpipe.client.service.agent_calls import AgentCalls
        from visionpipe.client.service.agents import AsyncAgents

        return AsyncAgents(AgentCalls(self._calls), self._run)

    @property
    def fine_tuning(self) -> AsyncFineTuning:
        """Fine-tuning jobs, where the account has them."""
        from visionpipe.client.service.tuning import AsyncFineTuning
        from visionpipe.client.service.tuning_calls import TuningCalls

        return AsyncFineTuning(TuningCalls(self._calls), self._run)

    async def count_tokens(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> TokenCount:
        """The input tokens of a question as the service counts them; nothing is answered.

        Args:
            prompt, images, options: as for ``ask``.

        Raises:
            UnsupportedError: the endpoint or the model has no counting; the cure names what has.
        """
        return await self.count_prepared(await self.prepare(prompt, *images, **options))

    async def count_prepared(self, prepared: Prepared) -> TokenCount:
        """As :meth:`count_tokens`, for what ``prepare`` gave."""
        from visionpipe.client.service.counting import count_call

        return await self._run(count_call(self._calls, prepared))

    async def _run(self, call: Generator[Effect, Any, T]) -> T:
        return await drive_async(call, self._sender, self._sleep)
