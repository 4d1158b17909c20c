"""Fine-tuning jobs as effect generators."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from visionpipe.client.calls import Calls
from visionpipe.client.service.surfaces import require
from visionpipe.errors import ParameterError, ReplyTimeoutError, UnsupportedError
from visionpipe.stages.exchange import Answered, Effect
from visionpipe.stages.polling import LONG, Look, Looked, PollPolicy, poll
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
class TuningCalls:
    """Makes the generators.

    Attributes:
        calls: of the client.
        policy: how long to wait between two questions.
    """

    calls: Calls
    policy: PollPolicy = LONG

    def create(
        self,
        model: str,
        training_file: str,
        validation_file: str | None,
        suffix: str | None,
        hyperparameters: Mapping[str, JSON] | None,
    ) -> Generator[Effect, Any, TuningJob]:
        """Begin one."""
        require(self.calls.settings, "fine_tuning")

        def make(request_id: str) -> HttpRequest:
            body = encode_job(
                model,
                training_file,
                validation_file=validation_file,
                suffix=suffix,
                hyperparameters=hyperparameters,
                request_id=request_id,
            )
            return HttpRequest("POST", JOBS_PATH, body, timeouts=self.calls.timeouts)

        return self.calls.service(make, lambda response, _: read_job(response.body))

    def get(self, job_id: str) -> Generator[Effect, Any, TuningJob]:
        """One as it stands."""
        return self._asked(job_path(job_id), read_job)

    def jobs(self, after: str | None, limit: int | None) -> Generator[Effect, Any, Page[TuningJob]]:
        """One page of the list."""
        return self._asked(list_path(after=after, limit=limit), read_jobs)

    def events(
        self, job_id: str, after: str | None, limit: int | None
    ) -> Generator[Effect, Any, Page[TuningEvent]]:
        """One page of what a job tells."""
        return self._asked(events_path(job_id, after=after, limit=limit), read_events)

    def cancel(self, job_id: str) -> Generator[Effect, Any, TuningJob]:
        """Stop one."""
        require(self.calls.settings, "fine_tuning")
        return self.calls.service(
            lambda _: HttpRequest("POST", cancel_path(job_id), timeouts=self.calls.timeouts),
            lambda response, _: read_job(response.body),
        )

    def wait(self, job: TuningJob | str, deadline: float | None) -> Generator[Effect, Any, TuningJob]:
        """Ask until it has ended, one way or another."""
        require(self.calls.settings, "fine_tuning")
        job_id = job if isinstance(job, str) else job.id
        return poll(
            lambda: self._look(job_id),
            policy=self.policy,
            clock=self.calls.clock,
            deadline=deadline,
            late=lambda: ReplyTimeoutError(
                "the job has not ended in the time given; the service goes on with it",
                cure=f"Wait for it again: client.fine_tuning.wait({job_id!r}).",
                subject=f"job {job_id}",
                code="job_in_progress",
            ),
        )

    def _look(self, job_id: str) -> Look[TuningJob]:
        def read(response: HttpResponse, _: Answered) -> Looked[TuningJob]:
            job = read_job(response.body)
            return Looked(job, job.done, retry_after(response))

        return self.calls.service(
            lambda _: HttpRequest("GET", job_path(job_id), timeouts=self.calls.timeouts), read
        )

    def _asked(self, path: str, read: Callable[[bytes], T]) -> Generator[Effect, Any, T]:
        require(self.calls.settings, "fine_tuning")
        return self.calls.service(
            lambda _: HttpRequest("GET", path, timeouts=self.calls.timeouts),
            lambda response, _: read(response.body),
        )


def entry_of(job: TuningJob) -> str:
    """A finished job's model as TOML for a catalog file.

    Raises:
        ParameterError: the job has no model, or does not say on which base.
    """
    if job.tuned_model is None or job.model is None:
        raise ParameterError(
            f"the job has no model yet (it is {job.status})",
            cure="Wait until it has succeeded.",
            subject=f"job {job.id}",
        )
    return catalog_entry(job.tuned_model, job.model)


def refuse_download(model: str) -> NoReturn:
    """Say why a tuned model cannot be had as a file."""
    raise UnsupportedError(
        "fine-tuned models cannot be downloaded: they stay at the service and run there only (the platform's "
        "FAQ)",
        cure="Ask it by its id, as any other model.",
        subject=model,
    )
