"""What a request needs before it is sent: a place under the service's limit, and room in the job's budget.

A gate gives both as one lease. ``LocalGate`` holds the limiter and the budget of one process; others
share them between processes. Whoever sends takes a lease for each request and gives it back exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from visionpipe.errors import ParameterError
from visionpipe.pipeline.budget import NOTHING, Amount, Budget, Caps
from visionpipe.pipeline.limiter import Limiter, Permit
from visionpipe.values import Money

LeaseOutcome: TypeAlias = Literal["ok", "refused", "unused"]
"""An answer, or a failure other than a 429; a 429; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What requests were, or may have been, billed; None where nobody said, and the estimate holds.

    Attributes:
        requests: more than one where an answer did not fit and was asked for again.
    """

    tokens: int | None = None
    cost: Money | None = None
    requests: int = 1


@dataclass(frozen=True, slots=True)
class GateState:
    """A gate at one moment.

    Attributes:
        level: requests allowed at once.
        busy: requests under way.
        pause_s: seconds until anything may be sent.
        refusals: so far (429).
        holders: processes that share it.
        spent, reserved: of the job's budget; nothing where it has none.
    """

    level: int
    busy: int
    pause_s: float
    refusals: int
    holders: int = 1
    spent: Amount = NOTHING
    reserved: Amount = NOTHING


class Lease(Protocol):
    """The right to have one request under way, and what was set aside for it."""

    @property
    def spare(self) -> bool:
        """Whether a second question about the same item has its room."""
        ...


def never() -> bool:
    """For a wait that nothing ends early."""
    return False


class Gate(Protocol):
    """Hands out leases, to any number of threads."""

    @property
    def state(self) -> GateState: ...

    def acquire(
        self,
        tokens: int | None = None,
        cost: Money | None = None,
        *,
        spare: bool = False,
        stopped: Callable[[], bool] = never,
    ) -> Lease | None:
        """Waits for a place and for room in the budget.

        Args:
            tokens: estimated, of prompt and answer; None where nobody knows.
            cost: estimated.
            spare: whether a second question may follow, for which room is set aside where there is some.
            stopped: ends the waiting; asked again after ``wake``.

        Returns:
            The lease, to be released; None where a cap is reached, or ``stopped``.

        Raises:
            ConfigurationError: a cap in money, and no price in its currency.
            ConnectionFailedError: a shared gate is out of reach; of scope "job".
        """
        ...

    def repeat(self, lease: Lease, bill: Bill) -> bool:
        """Settles a lease's first answer, for a second question. False where that has no room; the lease is
        to be released in either case."""
        ...

    def release(
        self,
        lease: Lease,
        outcome: LeaseOutcome,
        *,
        bill: Bill | None = None,
        retry_after: float | None = None,
    ) -> bool:
        """Gives a lease back.

        Args:
            lease: held.
            outcome: how its request ended.
            bill: None: nothing was billed.
            retry_after: seconds, with "refused".

        Returns:
            Whether the level changed.
        """
        ...

    def reached(self) -> str | None:
        """Which cap stands in the way of one more request of the largest size seen; None: none does."""
        ...

    def wake(self) -> None:
        """Has every waiting thread ask its ``stopped`` again."""
        ...

    def close(self) -> None:
        """Gives back what a shared gate holds for this process."""
        ...


@dataclass(slots=True)
class LocalLease:
    """A permit, the amount reserved for the request under way, and the one for a second."""

    permit: Permit
    tokens: int | None
    reserved: Amount | None = None
    second: Amount | None = field(default=None)

    @property
    def spare(self) -> bool:
        return self.second is not None


class LocalGate:
    """A limiter and a budget in this process, as a ``Gate``.

    Args:
        limiter: may be shared with others on the same endpoint and model.
        budget: of the job; None: no caps.
    """

    def __init__(self, limiter: Limiter, budget: Budget | None = None) -> None:
        self._limiter = limiter
        self._budget = budget

    @property
    def state(self) -> GateState:
        found = self._limiter.state
        spent, reserved = (NOTHING, NOTHING) if self._budget is None else self._budget.amounts
        return GateState(found.level, found.busy, found.pause_s, found.refusals, 1, spent, reserved)

    def acquire(
        self,
        tokens: int | None = None,
        cost: Money | None = None,
        *,
        spare: bool = False,
        stopped: Callable[[], bool] = never,
    ) -> LocalLease | None:
        """As ``Gate.acquire``."""
        permit = self._limiter.enter(stopped)
        return None if permit is None else self._leased(permit, tokens, cost, spare, stopped, wait=True)

    def acquire_now(
        self, tokens: int | None = None, cost: Money | None = None, *, spare: bool = False
    ) -> LocalLease | None:
        """As ``acquire``, but never waits: None as well where it would have to."""
        permit = self._limiter.try_enter()
        if not isinstance(permit, Permit):
            return None
        return self._leased(permit, tokens, cost, spare, never, wait=False)

    def _leased(
        self,
        permit: Permit,
        tokens: int | None,
        cost: Money | None,
        spare: bool,
        stopped: Callable[[], bool],
        *,
        wait: bool,
    ) -> LocalLease | None:
        lease = LocalLease(permit, tokens)
        if self._budget is not None:
            found = None
            try:
                if spare:
                    found = self._budget.reserve_spare(tokens, cost, stopped, wait=wait)
                elif (amount := self._budget.reserve(tokens, cost, stopped, wait=wait)) is not None:
                    found = amount, None
            finally:
                if found is None:
                    self._limiter.leave_unused(permit)
            if found is None:
                return None
            lease.reserved, lease.second = found
        self._limiter.spend(tokens)
        return lease

    def repeat(self, lease: Lease, bill: Bill) -> bool:
        """As ``Gate.repeat``."""
        assert isinstance(lease, LocalLease), "of this gate"
        if bill.tokens is not None:
            self._limiter.correct(lease.tokens, bill.tokens)
        if self._budget is not None and lease.reserved is not None:
            self._budget.settle(lease.reserved, bill.tokens, bill.cost, bill.requests)
            lease.reserved, lease.second = lease.second, None
            if lease.reserved is None:
                return False
        self._limiter.spend(lease.tokens)
        return True

    def release(
        self,
        lease: Lease,
        outcome: LeaseOutcome,
        *,
        bill: Bill | None = None,
        retry_after: float | None = None,
    ) -> bool:
        """As ``Gate.release``."""
        assert isinstance(lease, LocalLease), "of this gate"
        changed = False
        if outcome == "refused":
            changed = self._limiter.leave_refused(lease.permit, retry_after)
        elif outcome == "unused":
            self._limiter.leave_unused(lease.permit)
        else:
            changed = self._limiter.leave(lease.permit)
        if bill is not None and bill.tokens is not None:
            self._limiter.correct(lease.tokens, bill.tokens)
        if self._budget is None:
            return changed
        if bill is not None and lease.reserved is not None:
            self._budget.settle(lease.reserved, bill.tokens, bill.cost, bill.requests)
            lease.reserved = None
        for amount in (lease.reserved, lease.second):
            if amount is not None:
                self._budget.release(amount)
        lease.reserved = lease.second = None
        return changed

    def reached(self) -> str | None:
        """As ``Gate.reached``."""
        return None if self._budget is None else self._budget.reached()

    def wake(self) -> None:
        """As ``Gate.wake``."""
        self._limiter.wake()
        if self._budget is not None:
            self._budget.wake()

    def close(self) -> None:
        """Nothing is held elsewhere."""


@dataclass(frozen=True, slots=True)
class GateTerms:
    """What a shared gate is opened for.

    Attributes:
        name: of endpoint, model and account; holders with one name share its limit.
        job: whose budget it is.
        ceiling, start: of the limiter.
        caps: of the job.
        spent: what the ledger knows to be spent; an empty gate begins with it.
        outage_seconds: how long to wait for a gate out of reach; None: for ever.
    """

    name: str
    job: str
    ceiling: int
    start: int = 4
    caps: Caps | None = None
    spent: Amount = NOTHING
    outage_seconds: float | None = 3600.0


OpenGate: TypeAlias = Callable[[str, GateTerms], Gate]

GATES: dict[str, OpenGate] = {}
"""What opens a shared gate, by the scheme of its address; an adapter adds its own."""


def open_gate(address: str, terms: GateTerms) -> Gate:
    """The shared gate at ``address``.

    Raises:
        ParameterError: no gate has such an address.
        ConfigurationError: what it needs is not installed.
        ConnectionFailedError: it is out of reach.
    """
    scheme, colon, _ = address.partition(":")
    opened = GATES.get(scheme) if colon else None
    if opened is None:
        raise ParameterError(
            "no gate has such an address",
            cure=f"Give one that begins with {', '.join(f'{name}:' for name in GATES)}.",
            subject=address,
            scope="job",
        )
    return opened(address, terms)
