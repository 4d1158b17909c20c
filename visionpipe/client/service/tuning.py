"""Fine-tuning, as the caller holds it.

    job = client.fine_tuning.create("glm-4-flash", client.files.upload("pairs.jsonl", "fine-tune").id)
    job = client.fine_tuning.wait(job)
    Path("mine.toml").write_text(client.fine_tuning.catalog_entry(job))
    Client(job.tuned_model, catalog="mine.toml")        # held to its base's limits

The service offers it by application only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.service.tuning_calls import TuningCalls, entry_of, refuse_download
from visionpipe.values import JSON
from visionpipe.wire.answers import Page
from visionpipe.wire.tuning import TuningEvent, TuningJob


class _Tuned:
    """What needs no connection."""

    def catalog_entry(self, job: TuningJob) -> str:
        """A finished job's model, on its base's limits, as TOML for a catalog file.

        Raises:
            ParameterError: the job has no model yet.
        """
        return entry_of(job)

    def download(self, model: str) -> NoReturn:
        """Not to be had.

        Raises:
            UnsupportedError: always: tuned models stay at the service.
        """
        refuse_download(model)


@dataclass(frozen=True, slots=True)
class FineTuning(_Tuned):
    """``client.fine_tuning``."""

    _calls: TuningCalls
    _run: Run

    def create(
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
        return self._run(self._calls.create(model, training_file, validation_file, suffix, hyperparameters))

    def get(self, job_id: str) -> TuningJob:
        """A job as it stands."""
        return self._run(self._calls.get(job_id))

    def list(self, *, after: str | None = None, limit: int | None = None) -> Page[TuningJob]:
        """One page of the jobs; pass its ``after`` on for the next one."""
        return self._run(self._calls.jobs(after, limit))

    def events(self, job_id: str, *, after: str | None = None, limit: int | None = None) -> Page[TuningEvent]:
        """One page of what a job tells of itself."""
        return self._run(self._calls.events(job_id, after, limit))

    def cancel(self, job_id: str) -> TuningJob:
        """Stop a job."""
        return self._run(self._calls.cancel(job_id))

    def wait(self, job: TuningJob | str, deadline: float | None = None) -> TuningJob:
        """The job once it has succeeded, failed or been cancelled.

        Args:
            job: or its id.
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "job_in_progress"); the job goes on.
        """
        return self._run(self._calls.wait(job, deadline))


@dataclass(frozen=True, slots=True)
class AsyncFineTuning(_Tuned):
    """As :class:`FineTuning`, awaited; ``catalog_entry`` and ``download`` need no connection and are not."""

    _calls: TuningCalls
    _run: AsyncRun

    async def create(
        self,
        model: str,
        training_file: str,
        *,
        validation_file: str | None = None,
        suffix: str | None = None,
        hyperparameters: Mapping[str, JSON] | None = None,
    ) -> TuningJob:
        """As :meth:`FineTuning.create`."""
        call = self._calls.create(model, training_file, validation_file, suffix, hyperparameters)
        return await self._run(call)

    async def get(self, job_id: str) -> TuningJob:
        """As :meth:`FineTuning.get`."""
        return await self._run(self._calls.get(job_id))

    async def list(self, *, after: str | None = None, limit: int | None = None) -> Page[TuningJob]:
        """As :meth:`FineTuning.list`."""
        return await self._run(self._calls.jobs(after, limit))

    async def events(
        self, job_id: str, *, after: str | None = None, limit: int | None = None
    ) -> Page[TuningEvent]:
        """As :meth:`FineTuning.events`."""
        return await self._run(self._calls.events(job_id, after, limit))

    async def cancel(self, job_id: str) -> TuningJob:
        """As :meth:`FineTuning.cancel`."""
        return await self._run(self._calls.cancel(job_id))

    async def wait(self, job: TuningJob | str, deadline: float | None = None) -> TuningJob:
        """As :meth:`FineTuning.wait`."""
        return await self._run(self._calls.wait(job, deadline))
