"""Asynchronous tasks as effect generators: submit, ask after, wait, and read the reply."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from visionpipe.client.calls import Calls
from visionpipe.client.preparation import Prepared
from visionpipe.client.service.surfaces import require, require_model
from visionpipe.errors import ReplyTimeoutError, ServerError, ServiceError, VisionPipeError
from visionpipe.reply import Attempt, Reply
from visionpipe.request import Request
from visionpipe.stages.exchange import Answered, Effect
from visionpipe.stages.polling import Look, Looked, PollPolicy, poll, poll_all
from visionpipe.values import Adjustment
from visionpipe.wire.chat import encode_chat
from visionpipe.wire.errors import retry_after, service_error
from visionpipe.wire.http import HttpRequest, HttpResponse
from visionpipe.wire.reply import ReadingContext, read_reply
from visionpipe.wire.tasks import SUBMIT_PATH, TaskState, TaskStatus, read_task, result_path


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task, as it was when it was last asked after.

    Attributes:
        id: what to keep: with it any process can take the task up at any time.
        model: the model asked.
        request_id: the id sent with the submission; None where it is not known.
        status: PROCESSING, SUCCESS or FAIL.
        adjustments: what was changed before it was submitted; known to the submitting process only.
        attempts: the tries at submitting it.
    """

    id: str
    model: str
    request_id: str | None = None
    status: TaskStatus = TaskStatus.PROCESSING
    adjustments: tuple[Adjustment, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def done(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self.status is not TaskStatus.PROCESSING


@dataclass(frozen=True, slots=True)
class TaskCalls:
    """Makes the generators.

    Attributes:
        calls: of the client.
        policy: how long to wait between two questions.
    """

    calls: Calls
    policy: PollPolicy = field(default_factory=PollPolicy)

    def check(self) -> None:
        """Raise UnsupportedError where the endpoint has no tasks."""
        require(self.calls.settings, "tasks")

    def submit(self, prepared: Prepared) -> Generator[Effect, Any, TaskRecord]:
        """Hand the request in; nothing is waited for.

        Raises:
            UnsupportedError: no tasks at this endpoint or for this model, or several requests.
        """
        self.check()
        require_model(self.calls.settings, prepared.model, "tasks")
        request = prepared.single("task")

        def make(request_id: str) -> HttpRequest:
            body = encode_chat(request, self.calls.settings.endpoint, request_id=request_id)
            return HttpRequest("POST", SUBMIT_PATH, body, timeouts=self.calls.timeouts)

        def read(response: HttpResponse, answered: Answered) -> TaskRecord:
            state = read_task(response.body)
            return TaskRecord(
                state.id,
                state.model or prepared.model.id,
                answered.request_id,
                state.status,
                request.adjustments,
                answered.attempts,
            )

        return self.calls.service(make, read)

    def state(self, task_id: str) -> Look[TaskState]:
        """Ask once how a task stands."""
        self.check()

        def make(_: str) -> HttpRequest:
            return HttpRequest("GET", result_path(task_id), timeouts=self.calls.timeouts)

        def read(response: HttpResponse, _: Answered) -> Looked[TaskState]:
            state = read_task(response.body, task_id)
            return Looked(state, state.status is not TaskStatus.PROCESSING, retry_after(response))

        return self.calls.service(make, read)

    def get(self, task_id: str) -> Generator[Effect, Any, TaskRecord]:
        """The task's record from its id alone."""
        looked = yield from self.state(task_id)
        state = looked.value
        return TaskRecord(state.id, state.model or "", state.request_id, state.status)

    def wait(self, task: TaskRecord | str, deadline: float | None) -> Generator[Effect, Any, Reply]:
        """Ask until the task has ended, and read its reply."""
        self.check()
        record = _record(task)
        try:
            state = yield from poll(
                lambda: self.state(record.id),
                policy=self.policy,
                clock=self.calls.clock,
                deadline=deadline,
                late=lambda: _late(record),
            )
        except VisionPipeError as error:
            error.add_note(f"The task is {record.id}; it never expires, and can be waited for again.")
            raise
        return self._reply(record, state)

    def gather(
        self, tasks: Sequence[TaskRecord | str], deadline: float | None
    ) -> Generator[Effect, Any, list[Reply | VisionPipeError]]:
        """Ask in turn until all have ended; errors stand in the place of replies."""
        self.check()
        records = [_record(task) for task in tasks]
        looks = {record.id: self._looker(record.id) for record in records}
        ends = yield from poll_all(looks, policy=self.policy, clock=self.calls.clock, deadline=deadline)
        replies: list[Reply | VisionPipeError] = []
        for record in records:
            end = ends.get(record.id)
            try:
                if end is None:
                    raise _late(record)
                replies.append(end if isinstance(end, VisionPipeError) else self._reply(record, end.value))
            except VisionPipeError as error:
                replies.append(error)
        return replies

    def _looker(self, task_id: str) -> Callable[[], Look[TaskState]]:
        return lambda: self.state(task_id)

    def _reply(self, task: TaskRecord, state: TaskState) -> Reply:
        """The same reply as a whole call's; FAIL and unusable answers are raised."""
        if state.status is TaskStatus.FAIL:
            raise self._failure(task, state)
        settings = self.calls.settings
        model = settings.registry.model(state.model or task.model or settings.model.id, settings.endpoint.id)
        request = Request(model=model.id, messages=(), adjustments=task.adjustments)
        answered = Answered(task.request_id or state.request_id or "", task.attempts)
        return read_reply(
            state.body, ReadingContext(request, model, settings.endpoint, settings.api_key), answered
        )

    def _failure(self, task: TaskRecord, state: TaskState) -> ServiceError:
        request_id = task.request_id or state.request_id or ""
        if state.error_code or state.error_message:
            return service_error(
                state.error_code,
                state.error_message,
                status=None,
                endpoint=self.calls.settings.endpoint,
                request_id=request_id,
                key=self.calls.settings.api_key,
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
