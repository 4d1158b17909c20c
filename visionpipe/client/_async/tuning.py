"""Fine-tuning.

    job = client.fine_tuning.create("glm-4-flash", client.files.upload("pairs.jsonl", "fine-tune").id)
    job = client.fine_tuning.wait(job)
    Path("mine.toml").write_text(client.fine_tuning.catalog_entry(job))
    Client(job.tuned_model, catalog="mine.toml")        # held to its base's limits

The service offers it by application only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from visionpipe.client._async.calls import AsyncCalls, poll_async
from visionpipe.client.settings import require
from visionpipe.errors import ParameterError, ReplyTimeoutError, UnsupportedError
from visionpipe.reply import Answered
from visionpipe.stages.retry import LONG, Looked
from visionpipe.values import JSON
from visionpipe.wire.answers import Page
from visionpipe.wire.errors import retry_after
from visionpipe.wire.http import HttpRequest, HttpResponse
from visionpipe.wire.tuning import (
    JOBS_PATH,
    TuningEvent,
    TuningJob,
    cancel_path,
    catalog_entry,
    encode_job,
    events_path,
    job_path,
    list_path,
    read_events,
    read_job,
    read_jobs,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AsyncFineTuning:
    """``client.fine_tuning``. What needs no connection (``catalog_entry``, ``download``) is never awaited."""

    _calls: AsyncCalls

    async def create(
        self,
        model: str,
        training_file: str,
        *,
        validation_file: str | None = None,
        suffix: str | None = None,
        hyperparameters: Mapping[str, JSON] | None = None,
    ) -> TuningJob:
        """Begin a job.

        Args:
            model: the base.
            training_file: id of a file uploaded for "fine-tune".
            validation_file: id of another.
            suffix: becomes a part of the new model's id.
            hyperparameters: n_epochs, batch_size, learning_rate_multiplier; each a number or "auto".

        Raises:
            UnsupportedError: the endpoint has no fine-tuning.
        """
        calls = self._calls
        require(calls.settings, "fine_tuning")

        def make(request_id: str) -> HttpRequest:
            body = encode_job(
                model,
                training_file,
                validation_file=validation_file,
                suffix=suffix,
                hyperparameters=hyperparameters,
                request_id=request_id,
            )
            return HttpRequest("POST", JOBS_PATH, body, timeouts=calls.timeouts)

        return await calls.service(make, lambda response, _: read_job(response.body))

    async def get(self, job_id: str) -> TuningJob:
        """A job as it stands."""
        return await self._asked(job_path(job_id), read_job)

    async def list(self, *, after: str | None = None, limit: int | None = None) -> Page[TuningJob]:
        """One page of the jobs; pass its ``after`` on for the next one."""
        return await self._asked(list_path(after=after, limit=limit), read_jobs)

    async def events(
        self, job_id: str, *, after: str | None = None, limit: int | None = None
    ) -> Page[TuningEvent]:
        """One page of what a job tells of itself."""
        return await self._asked(events_path(job_id, after=after, limit=limit), read_events)

    async def cancel(self, job_id: str) -> TuningJob:
        """Stop a job."""
        calls = self._calls
        require(calls.settings, "fine_tuning")
        return await calls.service(
            lambda _: HttpRequest("POST", cancel_path(job_id), timeouts=calls.timeouts),
            lambda response, _: read_job(response.body),
        )

    async def wait(self, job: TuningJob | str, deadline: float | None = None) -> TuningJob:
        """The job once it has succeeded, failed or been cancelled.

        Args:
            job: or its id.
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "job_in_progress"); the job goes on.
        """
        calls = self._calls
        require(calls.settings, "fine_tuning")
        job_id = job if isinstance(job, str) else job.id
        return await poll_async(
            lambda: self._look(job_id),
            policy=LONG,
            sleep=calls.sleep,
            clock=calls.clock,
            deadline=deadline,
            late=lambda: ReplyTimeoutError(
                "the job has not ended in the time given; the service goes on with it",
                cure=f"Wait for it again: client.fine_tuning.wait({job_id!r}).",
                subject=f"job {job_id}",
                code="job_in_progress",
            ),
        )

    def catalog_entry(self, job: TuningJob) -> str:
        """A finished job's model, on its base's limits, as TOML for a catalog file.

        Raises:
            ParameterError: the job has no model yet, or does not say on which base.
        """
        if job.tuned_model is None or job.model is None:
            raise ParameterError(
                f"the job has no model yet (it is {job.status})",
                cure="Wait until it has succeeded.",
                subject=f"job {job.id}",
            )
        return catalog_entry(job.tuned_model, job.model)

    def download(self, model: str) -> NoReturn:
        """Not to be had.

        Raises:
            UnsupportedError: always: tuned models stay at the service.
        """
        raise UnsupportedError(
            "fine-tuned models cannot be downloaded: they stay at the service and run there only (the "
            "platform's FAQ)",
            cure="Ask it by its id, as any other model; the FAQ is at docs.bigmodel.cn/cn/faq/api-issues.",
            subject=model,
        )

    async def _look(self, job_id: str) -> Looked[TuningJob]:
        def read(response: HttpResponse, _: Answered) -> Looked[TuningJob]:
            job = read_job(response.body)
            return Looked(job, job.done, retry_after(response))

        return await self._calls.service(
            lambda _: HttpRequest("GET", job_path(job_id), timeouts=self._calls.timeouts), read
        )

    async def _asked(self, path: str, read: Callable[[bytes], T]) -> T:
        calls = self._calls
        require(calls.settings, "fine_tuning")
        return await calls.service(
            lambda _: HttpRequest("GET", path, timeouts=calls.timeouts),
            lambda response, _: read(response.body),
        )
