"""A job over a Ray dataset: each actor holds one worker, and all share one gate.

    from visionpipe.adapters import ray
    ray.caption(dataset, vp.Job(vp.presets.alt_text), image="bytes", key="path").write_parquet("out/")

A gate of its own is an actor that all of them ask (``ray-actor:NAME``); ``redis://host`` is one, too. Needs
the extra ``ray``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from visionpipe.adapters.columns import results_column
from visionpipe.errors import ConnectionFailedError, missing_extra
from visionpipe.pipeline.budget import Budget, Caps
from visionpipe.pipeline.gate import (
    GATES,
    Bill,
    Gate,
    GateState,
    GateTerms,
    Lease,
    LeaseOutcome,
    LocalGate,
    never,
)
from visionpipe.pipeline.job import Job
from visionpipe.pipeline.limiter import Limiter
from visionpipe.pipeline.redis_gate import BEAT_S, TTL_S, SharedLease
from visionpipe.values import Money

try:
    import ray
except ImportError as error:
    raise missing_extra("this adapter needs Ray", "ray") from error

SCHEME = "ray-actor"
_ASK_AGAIN_S = 0.2


class GateKeeper:
    """The gate in its actor: a local one, with the leases of each holder beside it. A holder that is silent
    for the time to live loses its leases, and what they reserved counts as spent."""

    def __init__(self, terms: GateTerms) -> None:
        budget = Budget(terms.caps, terms.spent) if terms.caps is not None else None
        self._gate = LocalGate(Limiter(terms.ceiling, start=terms.start), budget)
        self._lock = threading.Lock()
        self._leases: dict[str, dict[int, Lease]] = {}
        self._seen: dict[str, float] = {}
        self._withdrawn: set[int] = set()
        self._number = 0
        threading.Thread(target=self._reap_all, daemon=True).start()

    def acquire(
        self, holder: str, want: int, tokens: int | None, cost: Money | None, spare: bool
    ) -> tuple[int, bool] | None:
        """A lease's number, and whether it has its spare."""
        self.beat(holder)
        lease = self._gate.acquire(
            tokens, cost, spare=spare, stopped=lambda: want in self._withdrawn or holder not in self._seen
        )
        with self._lock:
            self._withdrawn.discard(want)
            if lease is None:
                return None
            self._number += 1
            self._leases.setdefault(holder, {})[self._number] = lease
            return self._number, lease.spare

    def withdraw(self, want: int) -> None:
        """The holder waits no more."""
        self._withdrawn.add(want)
        self._gate.wake()

    def repeat(self, holder: str, number: int, bill: Bill) -> bool:
        """As of a gate."""
        lease = self._leases.get(holder, {}).get(number)
        return lease is not None and self._gate.repeat(lease, bill)

    def release(
        self, holder: str, number: int, outcome: LeaseOutcome, bill: Bill | None, retry_after: float | None
    ) -> bool:
        """As of a gate; of a lease that was lost nothing changes."""
        self.beat(holder)
        with self._lock:
            lease = self._leases.get(holder, {}).pop(number, None)
        return lease is not None and self._gate.release(lease, outcome, bill=bill, retry_after=retry_after)

    def beat(self, holder: str) -> None:
        """A sign of life."""
        with self._lock:
            self._seen[holder] = time.monotonic()

    def leave(self, holder: str) -> None:
        """What it still holds may have been billed."""
        with self._lock:
            self._seen.pop(holder, None)
            lost = self._leases.pop(holder, {})
        for lease in lost.values():
            self._gate.release(lease, "unused", bill=Bill())
        self._gate.wake()

    def state(self) -> GateState:
        """With the holders counted."""
        found = self._gate.state
        return GateState(
            found.level,
            found.busy,
            found.pause_s,
            found.refusals,
            len(self._seen),
            found.spent,
            found.reserved,
        )

    def reached(self) -> str | None:
        """As of a gate."""
        return self._gate.reached()

    def _reap_all(self) -> None:
        while True:
            time.sleep(BEAT_S / 2)
            now = time.monotonic()
            for holder in [name for name, seen in list(self._seen.items()) if now - seen > TTL_S]:
                self.leave(holder)


class ActorGate:
    """The gate as a worker has it.

    Args:
        keeper: the actor.
    """

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._holder = uuid.uuid4().hex
        self._closed = threading.Event()
        threading.Thread(target=self._beat_all, daemon=True).start()

    @property
    def state(self) -> GateState:
        """As of now."""
        found: GateState = self._asked(self._keeper.state.remote())
        return found

    def acquire(
        self,
        tokens: int | None = None,
        cost: Money | None = None,
        *,
        spare: bool = False,
        stopped: Callable[[], bool] = never,
    ) -> SharedLease | None:
        """As ``Gate.acquire``."""
        if stopped():
            return None
        want = uuid.uuid4().int
        asked = self._keeper.acquire.remote(self._holder, want, tokens, cost, spare)
        while not ray.wait([asked], timeout=_ASK_AGAIN_S)[0]:
            if stopped():
                self._keeper.withdraw.remote(want)
        found = self._asked(asked)
        if found is None:
            return None
        lease = SharedLease(found[0], "", found[1])
        if stopped():
            self.release(lease, "unused")
            return None
        return lease

    def repeat(self, lease: Lease, bill: Bill) -> bool:
        """As ``Gate.repeat``."""
        assert isinstance(lease, SharedLease), "of this gate"
        return bool(self._asked(self._keeper.repeat.remote(self._holder, lease.number, bill)))

    def release(
        self,
        lease: Lease,
        outcome: LeaseOutcome,
        *,
        bill: Bill | None = None,
        retry_after: float | None = None,
    ) -> bool:
        """As ``Gate.release``."""
        assert isinstance(lease, SharedLease), "of this gate"
        told = self._keeper.release.remote(self._holder, lease.number, outcome, bill, retry_after)
        return bool(self._asked(told))

    def reached(self) -> str | None:
        """As ``Gate.reached``."""
        found: str | None = self._asked(self._keeper.reached.remote())
        return found

    def wake(self) -> None:
        """Who waits asks by itself."""

    def close(self) -> None:
        """Gives everything back."""
        self._closed.set()
        self._asked(self._keeper.leave.remote(self._holder))

    def _asked(self, told: Any) -> Any:
        try:
            return ray.get(told)
        except ray.exceptions.RayActorError as error:
            raise ConnectionFailedError(
                f"the gate's actor is gone ({error})",
                cure="Run again; with a ledger nothing is paid twice but what was under way.",
                subject="gate",
                scope="job",
            ) from error

    def _beat_all(self) -> None:
        while not self._closed.wait(BEAT_S):
            self._keeper.beat.remote(self._holder)


def open_actor_gate(address: str, terms: GateTerms) -> Gate:
    """The gate of this name, made by whoever comes first; it stays until the cluster goes."""
    name = f"visionpipe {address} {sha256(terms.name.encode()).hexdigest()[:16]} {terms.job}"
    options = {"name": name, "namespace": "visionpipe", "lifetime": "detached", "get_if_exists": True}
    keeper = ray.remote(GateKeeper).options(num_cpus=0, max_concurrency=1000, **options).remote(terms)
    return ActorGate(keeper)


GATES[SCHEME] = open_actor_gate


class Captions:
    """One actor's worker."""

    def __init__(
        self, job: Job, opened: dict[str, Any], image: str, key: str, output: str, fields: Sequence[str]
    ) -> None:
        GATES[SCHEME] = open_actor_gate
        self._worker = job.open(**opened)
        self._image, self._key, self._output, self._fields = image, key, output, fields

    def __call__(self, batch: Any) -> Any:
        told = {name: batch[name].to_pylist() for name in self._fields}
        keys, images = batch[self._key].to_pylist(), batch[self._image].to_pylist()
        return batch.append_column(self._output, results_column(self._worker, keys, images, told))


def caption(
    dataset: Any,
    job: Job,
    *,
    image: str = "bytes",
    key: str = "path",
    output: str = "caption",
    fields: Sequence[str] = (),
    actors: int = 4,
    concurrency: int = 16,
    gate: str | None = None,
    budget: Caps | None = None,
    ledger: str | None = None,
    batch_size: int = 16,
    num_cpus: float = 0.5,
) -> Any:
    """The dataset with a column of results, of ``RESULT_TYPE``.

    Args:
        dataset: a ``ray.data.Dataset``.
        job: what is asked about each row; keys come from the workers' environment.
        image: the column of bytes, paths, URLs, or Hugging Face's ``{bytes, path}``.
        key: the column that names the items; stable between runs.
        output: what the new column is called.
        fields: columns for the prompt's template.
        actors: how many ask.
        concurrency: most requests at once in each.
        gate: the address of a shared gate (``redis://host``); None: an actor of this call's own.
        budget: caps, for all actors together.
        ledger: a directory of parts that remembers what was paid for (``s3://bucket/out/``); None: a batch
            that Ray repeats is asked again.
        batch_size, num_cpus: of each actor, as of ``map_batches``.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    opened = {
        "gate": gate or f"{SCHEME}:{uuid.uuid4().hex}",
        "budget": budget,
        "ledger": ledger,
        "concurrency": concurrency,
    }
    return dataset.map_batches(
        Captions,
        fn_constructor_args=(job, opened, image, key, output, tuple(fields)),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=num_cpus,
    )
