"""Asynchronous chat calls: submitted once, asked after by id. A task never expires (the platform's FAQ).

Shapes: docs.bigmodel.cn, asynchronous chat completion and its result, OpenAPI read 2026-04-23. What a failed
task tells besides its status is documented nowhere; an ``error`` object is read where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from visionpipe.reply import Attempt
from visionpipe.values import Adjustment
from visionpipe.wire.answers import needed, read_object, segment, table_of, text_of

SUBMIT_PATH = "/async/chat/completions"


class TaskStatus(StrEnum):
    """The service's words. Any other word counts as still in progress."""

    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as the service last told of it. ``body`` is the whole answer, with the model's in it once the
    status is SUCCESS; ``error_code`` and ``error_message`` are empty where it gave none; ``oddities`` are of
    the exchange, each for a note."""

    id: str
    status: TaskStatus
    model: str | None
    request_id: str | None
    error_code: str = ""
    error_message: str = ""
    body: bytes = field(default=b"", repr=False)
    oddities: tuple[str, ...] = ()


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


def result_path(task_id: str) -> str:
    """Where to ask after a task."""
    return f"/async-result/{segment(task_id)}"


def read_task(body: bytes, task_id: str | None = None, oddities: tuple[str, ...] = ()) -> TaskState:
    """Read what a submission or a question after a task is answered with.

    Args:
        body: of the answer.
        task_id: the id asked after; None for a submission, whose answer must tell it.
        oddities: of the exchange.

    Raises:
        UnreadableAnswerError: it is not a task's.
    """
    what = "a task" if task_id is None else f"task {task_id}"
    answer = read_object(body, what)
    identity = needed(answer, "id", what) if task_id is None else task_id
    word = needed(answer, "task_status", what).upper()
    known = {status.value: status for status in TaskStatus}
    error = table_of(answer, "error")
    return TaskState(
        id=identity,
        status=known.get(word, TaskStatus.PROCESSING),
        model=text_of(answer, "model"),
        request_id=text_of(answer, "request_id"),
        error_code=text_of(error, "code") or "",
        error_message=text_of(error, "message") or "",
        body=body,
        oddities=oddities,
    )
