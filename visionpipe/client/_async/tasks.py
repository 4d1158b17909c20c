"""Asynchronous tasks: submit now, take the reply later, in this process or another.

task = client.tasks.submit("What is this?", "cat.jpg")
task.wait().text
client.tasks.wait("8239375684858666781")      # by id, at any later time
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Unpack

from visionpipe.client._async.calls import AsyncCalls, poll_all_async, poll_async
from visionpipe.client.options import CallOptions, MediaSources
from visionpipe.client.preparation import Prepared
from visionpipe.client.settings import Settings, require, require_model
from visionpipe.errors import ReplyTimeoutError, ServerError, ServiceError, VisionPipeError
from visionpipe.reply import Answered, Reply
from visionpipe.request import Request
from visionpipe.stages.retry import Looked, PollPolicy
from visionpipe.wire.chat import (
    SUBMIT_PATH,
    TaskRecord,
    TaskState,
    TaskStatus,
    encode_chat,
    read_task,
    result_path,
)
from visionpipe.wire.errors import retry_after, service_error
from visionpipe.wire.http import HttpRequest, HttpResponse
from visionpipe.wire.reply import ReadingContext, image_names, read_reply


@dataclass(frozen=True, slots=True)
class AsyncTask(TaskRecord):
    """A task of this client; see ``TaskRecord`` for its fields."""

    _tasks: AsyncTasks | None = field(default=None, repr=False, compare=False)

    async def wait(self, deadline: float | None = None) -> Reply:
        """As ``AsyncTasks.wait``."""
        assert self._tasks is not None, "a task is made by its client's tasks"
        return await self._tasks.wait(self, deadline)


@dataclass(frozen=True, slots=True)
class AsyncTasks:
    """``client.tasks``."""

    _calls: AsyncCalls
    _prepare: Callable[..., Awaitable[Prepared]]

    async def submit(self, prompt: str, *images: MediaSources, **options: Unpack[CallOptions]) -> AsyncTask:
        """Hand a question in without waiting for its answer.

        Args:
            prompt: as for ``client.ask``.
            images: as for ``client.ask``.
            options: as for ``client.ask``.

        Raises:
            UnsupportedError: the endpoint or the model has no tasks; the cure names those that have.
            VisionPipeError: as for ``client.ask``.
        """
        calls = self._calls
        require(calls.settings, "tasks")
        prepared = await self._prepare(prompt, *images, **options)
        require_model(calls.settings, prepared.model, "tasks")
        request = prepared.single("task")

        def make(request_id: str) -> HttpRequest:
            body = encode_chat(request, calls.settings.endpoint, request_id=request_id)
            return HttpRequest("POST", SUBMIT_PATH, body, request.headers, timeouts=calls.timeouts)

        def read(response: HttpResponse, answered: Answered) -> AsyncTask:
            state = read_task(response.body)
            return AsyncTask(
                state.id,
                state.model or prepared.model.id,
                answered.request_id,
                state.status,
                request.adjustments,
                answered.attempts,
                image_names(request),
                self,
            )

        return await calls.service(make, read)

    async def get(self, task_id: str) -> AsyncTask:
        """How the task with this id stands, whoever submitted it and whenever."""
        looked = await self._look(task_id)
        state = looked.value
        return AsyncTask(state.id, state.model or "", state.request_id, state.status, _tasks=self)

    async def wait(self, task: TaskRecord | str, deadline: float | None = None) -> Reply:
        """The task's reply, the same as ``client.ask`` would have given.

        Args:
            task: a task, or the id of one.
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "task_in_progress"); the task goes on.
            ServiceError: the service failed at the task (code "task_failed", or its own).
            AnswerError: the answer cannot be used.
        """
        calls = self._calls
        require(calls.settings, "tasks")
        record = _record(task)
        try:
            state = await poll_async(
                self._looker(record.id),
                policy=PollPolicy(),
                sleep=calls.sleep,
                clock=calls.clock,
                deadline=deadline,
                late=lambda: _late(record),
            )
        except VisionPipeError as error:
            error.add_note(f"The task is {record.id}; it never expires, and can be waited for again.")
            raise
        return _reply(calls.settings, record, state)

    async def gather(
        self, tasks: Sequence[TaskRecord | str], deadline: float | None = None
    ) -> list[Reply | VisionPipeError]:
        """Wait for many tasks at once.

        Returns:
            In the order of ``tasks``; where a task ended badly, its error stands in the reply's place.

        Raises:
            VisionPipeError: of scope "job", such as a refused key.
        """
        calls = self._calls
        require(calls.settings, "tasks")
        records = [_record(task) for task in tasks]
        ends = await poll_all_async(
            {record.id: self._looker(record.id) for record in records},
            policy=PollPolicy(),
            sleep=calls.sleep,
            clock=calls.clock,
            deadline=deadline,
        )
        replies: list[Reply | VisionPipeError] = []
        for record in records:
            end = ends.get(record.id)
            try:
                if end is None:
                    raise _late(record)
                reply = end if isinstance(end, VisionPipeError) else _reply(calls.settings, record, end.value)
                replies.append(reply)
            except VisionPipeError as error:
                replies.append(error)
        return replies

    def _looker(self, task_id: str) -> Callable[[], Awaitable[Looked[TaskState]]]:
        return lambda: self._look(task_id)

    async def _look(self, task_id: str) -> Looked[TaskState]:
        """Ask once how a task stands."""
        calls = self._calls
        require(calls.settings, "tasks")

        def read(response: HttpResponse, _: Answered) -> Looked[TaskState]:
            state = read_task(response.body, task_id, response.oddities)
            return Looked(state, state.status is not TaskStatus.PROCESSING, retry_after(response))

        return await calls.service(
            lambda _: HttpRequest("GET", result_path(task_id), timeouts=calls.timeouts), read
        )


def _reply(settings: Settings, task: TaskRecord, state: TaskState) -> Reply:
    """The same reply as a whole call's; FAIL and unusable answers are raised."""
    if state.status is TaskStatus.FAIL:
        raise _failure(settings, task, state)
    model = settings.registry.model(state.model or task.model or settings.model.id, settings.endpoint.id)
    request = Request(model=model.id, messages=(), adjustments=task.adjustments)
    answered = Answered(task.request_id or state.request_id or "", task.attempts)
    context = ReadingContext(request, model, settings.endpoint, settings.api_key)
    reply = read_reply(state.body, context, answered, state.oddities)
    return replace(reply, images=task.images)


def _failure(settings: Settings, task: TaskRecord, state: TaskState) -> ServiceError:
    request_id = task.request_id or state.request_id or ""
    if state.error_code or state.error_message:
        return service_error(
            state.error_code,
            state.error_message,
            status=None,
            endpoint=settings.endpoint,
            request_id=request_id,
            key=settings.api_key,
        )
    return ServerError(
        "the service failed at this task and does not say why",
        cure="Submit it again; if it fails again, ask without a task: the service then says why.",
        subject=f"task {task.id}",
        code="task_failed",
        request_id=request_id or None,
    )


def _record(task: TaskRecord | str) -> TaskRecord:
    return TaskRecord(task, "") if isinstance(task, str) else task


def _late(task: TaskRecord) -> ReplyTimeoutError:
    return ReplyTimeoutError(
        "the task has not ended in the time given; the service goes on with it",
        cure=f"Wait for it again: client.tasks.wait({task.id!r}), in this or any other process.",
        subject=f"task {task.id}",
        code="task_in_progress",
        request_id=task.request_id,
    )
