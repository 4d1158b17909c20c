"""Asynchronous tasks as the caller holds them: submit now, take the reply later, in this process or another.

task = client.tasks.submit("What is this?", "cat.jpg")
task.wait().text
client.tasks.wait("8239375684858666781")      # by id, at any later time
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.options import CallOptions
from visionpipe.client.preparation import Prepared
from visionpipe.client.service.task_calls import TaskCalls, TaskRecord
from visionpipe.errors import VisionPipeError
from visionpipe.reply import Reply


@dataclass(frozen=True, slots=True)
class Task(TaskRecord):
    """A task of this client; see :class:`visionpipe.client.service.task_calls.TaskRecord` for its fields."""

    _tasks: Tasks | None = field(default=None, repr=False, compare=False)

    def wait(self, deadline: float | None = None) -> Reply:
        """As :meth:`Tasks.wait`."""
        assert self._tasks is not None, "a task is made by Tasks"
        return self._tasks.wait(self, deadline)


class Tasks:
    """``client.tasks``."""

    def __init__(self, calls: TaskCalls, run: Run, prepare: Callable[..., Prepared]) -> None:
        self._calls = calls
        self._run = run
        self._prepare = prepare

    def submit(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Task:
        """Hand a question in without waiting for its answer.

        Args:
            prompt, images, options: as for ``client.ask``.

        Raises:
            UnsupportedError: the endpoint or the model has no tasks; the cure names those that have.
            VisionPipeError: as for ``client.ask``.
        """
        self._calls.check()
        return self._own(self._run(self._calls.submit(self._prepare(prompt, *images, **options))))

    def get(self, task_id: str) -> Task:
        """How the task with this id stands, whoever submitted it and whenever."""
        return self._own(self._run(self._calls.get(task_id)))

    def wait(self, task: TaskRecord | str, deadline: float | None = None) -> Reply:
        """The task's reply, the same as ``client.ask`` would have given.

        Args:
            task: a task, or the id of one.
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "task_in_progress"); the task goes on.
            ServiceError: the service failed at the task (code "task_failed", or its own).
            AnswerError: the answer cannot be used.
        """
        return self._run(self._calls.wait(task, deadline))

    def gather(
        self, tasks: Sequence[TaskRecord | str], deadline: float | None = None
    ) -> list[Reply | VisionPipeError]:
        """Wait for many tasks at once.

        Returns:
            In the order of ``tasks``; where a task ended badly, its error stands in the reply's place.

        Raises:
            VisionPipeError: of scope "job", such as a refused key.
        """
        return self._run(self._calls.gather(tasks, deadline))

    def _own(self, record: TaskRecord) -> Task:
        return Task(
            record.id,
            record.model,
            record.request_id,
            record.status,
            record.adjustments,
            record.attempts,
            self,
        )


@dataclass(frozen=True, slots=True)
class AsyncTask(TaskRecord):
    """As :class:`Task`, awaited."""

    _tasks: AsyncTasks | None = field(default=None, repr=False, compare=False)

    async def wait(self, deadline: float | None = None) -> Reply:
        """As :meth:`Tasks.wait`."""
        assert self._tasks is not None, "a task is made by AsyncTasks"
        return await self._tasks.wait(self, deadline)


class AsyncTasks:
    """As :class:`Tasks`, awaited."""

    def __init__(self, calls: TaskCalls, run: AsyncRun, prepare: Callable[..., Awaitable[Prepared]]) -> None:
        self._calls = calls
        self._run = run
        self._prepare = prepare

    async def submit(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> AsyncTask:
        """As :meth:`Tasks.submit`."""
        self._calls.check()
        return self._own(await self._run(self._calls.submit(await self._prepare(prompt, *images, **options))))

    async def get(self, task_id: str) -> AsyncTask:
        """As :meth:`Tasks.get`."""
        return self._own(await self._run(self._calls.get(task_id)))

    async def wait(self, task: TaskRecord | str, deadline: float | None = None) -> Reply:
        """As :meth:`Tasks.wait`."""
        return await self._run(self._calls.wait(task, deadline))

    async def gather(
        self, tasks: Sequence[TaskRecord | str], deadline: float | None = None
    ) -> list[Reply | VisionPipeError]:
        """As :meth:`Tasks.gather`."""
        return await self._run(self._calls.gather(tasks, deadline))

    def _own(self, record: TaskRecord) -> AsyncTask:
        return AsyncTask(
            record.id,
            record.model,
            record.request_id,
            record.status,
            record.adjustments,
            record.attempts,
            self,
        )
