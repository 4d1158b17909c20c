"""A job as a value: what is asked about every item, without the items, and without a key.

    with Job(presets.alt_text, model="glm-4.6v-flash").open(concurrency=16) as worker:
        for result in worker.map(Item(name, data) for name, data in rows):
            print(result.source, result.caption)

It can be sent to other processes and machines; each opens a worker there, with the key of its own
environment.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from visionpipe.client.options import CallOptions
from visionpipe.errors import ConfigurationError, ParameterError, missing_extra
from visionpipe.pipeline.budget import NOTHING, Amount, Budget, Caps
from visionpipe.pipeline.events import Event, report
from visionpipe.pipeline.gate import GATES, Gate, GateTerms
from visionpipe.pipeline.job_setup import JobSetup, Prompt, judge_of_job, renderer, schema_asked
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Ledger
from visionpipe.pipeline.limiter import MOST_AT_ONCE, Limiter
from visionpipe.pipeline.outage import LONGEST_OUTAGE_S
from visionpipe.pipeline.pool import local_gate, shared_gate
from visionpipe.pipeline.triage import Triage
from visionpipe.pipeline.worker import Worker, WorkerParts
from visionpipe.prompts.presets import Language
from visionpipe.stages.extraction import Schema
from visionpipe.stages.quality_policy import STANDARD, QualityPolicy

_UNPORTABLE = ("headers", "publisher", "messages")
"""Options that may hold a key, or something of this machine alone."""


@dataclass(frozen=True)
class Job:
    """What is asked about every item. Frozen, and can be pickled.

    Attributes:
        prompt: words, a ``Template`` with fields, or a preset.
        model: default the environment's, where the worker is opened.
        endpoint: a base URL, or several of servers of one kind, which share the work; default the
            environment's. No password in it: the key comes from there too.
        options: for every call, see ``CallOptions``.
        schema: of structured data to ask for; default the preset's. A class that cannot be imported elsewhere
            is pickled as its JSON Schema.
        quality: what to do about poor answers; None takes them as they come.
        lang: the language of a preset's prompt and of its answers; default the environment's.
        item_seconds: the longest an item may take to answer, waiting for its place not counted.
        outage_seconds: how long to wait for a service out of reach; None: for ever.
        sticky: of several servers, one answers all items that begin alike; see ``Client``.

    Raises:
        ParameterError: a password in the endpoint's address, an option that may hold a key or that no other
            process has, or no time.
    """

    prompt: Prompt
    model: str | None = None
    endpoint: str | Sequence[str] | None = None
    options: CallOptions = field(default_factory=CallOptions)
    schema: Any = None
    quality: QualityPolicy | None = STANDARD
    lang: Language | None = None
    item_seconds: float | None = None
    outage_seconds: float | None = LONGEST_OUTAGE_S
    sticky: bool = False

    def __post_init__(self) -> None:
        if self.endpoint is not None and not isinstance(self.endpoint, str):
            object.__setattr__(self, "endpoint", tuple(self.endpoint))
        for url in (self.endpoint,) if isinstance(self.endpoint, str) else self.endpoint or ():
            if urlsplit(url).password is None:
                continue
            _, _, rest = url.rpartition("@")
            raise ParameterError(
                "the endpoint's address has a password in it",
                cure="Leave it out, and set the key in the environment of whoever asks.",
                subject=f"endpoint ...@{rest}",
                scope="job",
            )
        unportable = [name for name in _UNPORTABLE if name in self.options]
        if unportable:
            raise ParameterError(
                "a job cannot carry it to another process",
                cure="Leave it out; a key belongs into the environment of whoever asks.",
                subject=f"options: {unportable[0]}",
                scope="job",
            )
        for name in ("item_seconds", "outage_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and seconds <= 0:
                raise ParameterError(
                    f"{seconds} is not more than 0", cure="Give more.", subject=name, scope="job"
                )

    def __getstate__(self) -> dict[str, Any]:
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.schema is not None and not isinstance(self.schema, Mapping):
            try:
                pickle.dumps(self.schema)
            except (pickle.PicklingError, AttributeError, TypeError):
                state["schema"] = Schema(self.schema).json_schema
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @cached_property
    def fingerprint(self) -> str:
        """The key of this job in a ledger, as for ``Pipeline.job``. It needs no key of an
        account.

        Raises:
            VisionPipeError: of scope "job", what every item would meet.
        """
        try:
            setup = self._setup(None)
        except ConfigurationError as error:
            if error.code != "no_key":
                raise
            # Nothing is sent for it, so any will do.
            setup = self._setup(None, "none")
        try:
            return setup.recipe.job
        finally:
            setup.close()

    def open(
        self,
        *,
        gate: Gate | str | None = None,
        budget: Caps | None = None,
        ledger: Ledger | str | None = None,
        concurrency: int = MOST_AT_ONCE,
        api_key: str | None = None,
        retry_failed: bool = False,
        force: bool = False,
        on_event: Callable[[Event], object] | None = None,
    ) -> Worker:
        """A worker of this process, with the key of its environment.

        Args:
            gate: what limits requests: one that is open already, and stays so; the address of a shared one
                (``redis://host:6379/0``); None limits this worker alone.
            budget: caps, which count the job: what the ledger knows to be spent is part of them. With a gate
                that is open already they are that gate's.
            ledger: what keeps the results: one that is open already, and is closed with the worker; the path
                of a journal; a directory of parts where it ends in a slash (``s3://bucket/out/``); None
                remembers them until the worker is closed.
            concurrency: most requests at once; fewer where the service refuses more, or only lets them wait.
            api_key: default the environment's.
            retry_failed: ask again about recorded failures that may pass.
            force: ask again about everything.
            on_event: told of changes of the level, and of a service or server that is out of reach or back,
                in the thread that meets it; must not block.

        Raises:
            VisionPipeError: of scope "job", what every item would meet; a gate or a ledger out of reach.
        """
        if concurrency < 1:
            raise ParameterError(
                f"{concurrency} is not more than 0", cure="Give more.", subject="concurrency", scope="job"
            )
        setup = self._setup(budget, api_key)
        held: Ledger | None = None
        try:
            held = _ledger(ledger) if ledger is None or isinstance(ledger, str) else ledger
            held.begin(setup.recipe)
            spent = NOTHING if budget is None else budget.used(held.spent(job=setup.recipe.job))
            shared = isinstance(gate, str)
            if gate is None:
                gate = local_gate(
                    setup.servers,
                    lambda: Limiter(concurrency, start=setup.concurrency),
                    None if budget is None else Budget(budget, spent),
                )
            elif isinstance(gate, str):
                terms = self._terms(setup, budget, spent, concurrency)
                gate = shared_gate(setup.servers, gate, terms)
        except BaseException:
            if held is not None:
                held.close()
            setup.close()
            raise
        opened, record = gate, held

        def close() -> None:
            try:
                record.end("complete")
            finally:
                if shared:
                    opened.close()
                setup.close()

        parts = WorkerParts(
            answerer=setup.answerer,
            ledger=record,
            triage=Triage(
                record,
                setup.recipe,
                renderer(self.prompt, setup.lang),
                retry_failed=retry_failed,
                force=force,
            ),
            gate=opened,
            judge=judge_of_job(self.quality, self.prompt, setup.lang, self.lang),
            item_seconds=self.item_seconds,
            outage_seconds=self.outage_seconds,
        )
        return Worker(parts, concurrency=concurrency, close=close, tell=lambda event: report(event, on_event))

    def _terms(
        self, setup: JobSetup, caps: Caps | None, spent: Amount, concurrency: int
    ) -> Callable[[str | None], GateTerms]:
        assert setup.client is not None, "a job asks through a client"
        settings = setup.client.settings
        account = sha256((settings.api_key or "").encode()).hexdigest()[:16]

        def terms(url: str | None) -> GateTerms:
            return GateTerms(
                name=f"{url or settings.endpoint.base_url} {setup.recipe.model} {account}",
                job=setup.recipe.job,
                ceiling=concurrency,
                start=setup.concurrency,
                caps=caps,
                spent=spent,
                outage_seconds=self.outage_seconds,
            )

        return terms

    def _setup(self, budget: Caps | None, api_key: str | None = None) -> JobSetup:
        schema = schema_asked(self.prompt, self.schema)
        return JobSetup.of_client(
            self.prompt,
            None,
            self.model,
            self.options,
            schema,
            self.lang,
            budget,
            self.endpoint,
            api_key,
            self.sticky,
        )


def _ledger(place: str | None) -> Ledger:
    if place is None or not place.endswith("/"):
        return Journal(place)
    try:
        from visionpipe.pipeline.part_writer import PartsLedger
    except ImportError as missing:
        raise missing_extra("a directory of parts needs pyarrow", "parquet", subject=place) from missing
    return PartsLedger(place)


def _redis(address: str, terms: GateTerms) -> Gate:
    from visionpipe.pipeline.redis_gate import RedisGate

    return RedisGate(
        address,
        terms.name,
        job=terms.job,
        ceiling=terms.ceiling,
        start=terms.start,
        caps=terms.caps,
        spent=terms.spent,
        outage_seconds=terms.outage_seconds,
    )


GATES.update(dict.fromkeys(("redis", "rediss", "unix"), _redis))
