"""One gate over several servers: a gate for each, and a budget for all of them.

A request goes to the server with the most room, by its level and what is under way there; where none has
room it waits at the one with the shortest line, and is called to another that has room and nobody waiting.
Which servers are up is told by the requests themselves (``visionpipe.client.servers``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from time import monotonic

from visionpipe.client.servers import Servers, is_away
from visionpipe.errors import VisionPipeError
from visionpipe.pipeline.budget import NOTHING, Budget
from visionpipe.pipeline.gate import (
    Bill,
    Gate,
    GateState,
    GateTerms,
    Lease,
    LeaseOutcome,
    LocalGate,
    never,
    open_gate,
)
from visionpipe.pipeline.limiter import Limiter
from visionpipe.values import Money

_LOOK_AGAIN_S = 0.5
"""A level that others have changed is known at the latest by then."""

UNBOUNDED = 1_000_000
"""The level of a gate that keeps a budget alone."""


@dataclass(slots=True)
class PoolLease:
    """A lease at one of the servers, and the one of the budget where that is apart."""

    server: int
    lease: Lease
    budgeted: Lease | None = None

    @property
    def spare(self) -> bool:
        return (self.budgeted or self.lease).spare


@dataclass(slots=True)
class _Line:
    """What is known of a server without asking its gate: requests allowed, under way for others and for this
    process, and threads that wait."""

    level: int = 1
    others: int = 0
    paused_until: float = 0.0
    held: int = 0
    waiting: int = 0
    looked_at: float = 0.0

    def load(self) -> float:
        return (self.others + self.held + self.waiting + 1) / self.level

    def has_room(self) -> bool:
        return self.others + self.held + self.waiting < self.level and monotonic() >= self.paused_until


class PoolGate:
    """Several gates as one.

    Args:
        servers: which are up.
        members: a gate for each, in the same order, without caps.
        budget: a gate that has the job's caps, and never makes anybody wait for a place; None: no caps.
    """

    def __init__(self, servers: Servers, members: Sequence[Gate], budget: Gate | None = None) -> None:
        self.servers = servers
        self._members = members
        self._budget = budget
        # Held only for a moment, and never while a member is asked: they ask this gate under their own lock.
        self._lock = Lock()
        self._lines = [_Line() for _ in members]
        self._called: set[int] = set()
        for server in range(len(members)):
            self._look(server)
        servers.watch(self._changed)

    @property
    def state(self) -> GateState:
        """Of the servers that are up, taken together."""
        states = [self._members[server].state for server in self.servers.up()]
        money = self._members[0].state if self._budget is None else self._budget.state
        spent, reserved = money.spent, money.reserved
        if self._budget is None:
            for member in self._members[1:]:
                spent, reserved = spent + member.state.spent, reserved + member.state.reserved
        return GateState(
            sum(state.level for state in states),
            sum(state.busy for state in states),
            min(state.pause_s for state in states),
            sum(member.state.refusals for member in self._members),
            max(state.holders for state in states),
            spent,
            reserved,
        )

    def acquire(
        self,
        tokens: int | None = None,
        cost: Money | None = None,
        *,
        spare: bool = False,
        stopped: Callable[[], bool] = never,
        prefix: bytes | None = None,
    ) -> PoolLease | None:
        """As ``Gate.acquire``, at the server that requests with this ``prefix`` want, or at any."""
        while True:
            server = self._choose(prefix)
            try:
                lease = self._members[server].acquire(
                    tokens, cost, spare=spare, stopped=partial(self._ends, stopped, server)
                )
            except BaseException:
                self._leave(server, waited=True)
                raise
            self._leave(server, waited=True, got=lease is not None)
            if lease is not None:
                break
            if stopped():
                return None
        found = PoolLease(server, lease)
        if self._budget is not None:
            try:
                found.budgeted = self._budget.acquire(tokens, cost, spare=spare, stopped=stopped)
            finally:
                if found.budgeted is None:
                    self._members[server].release(lease, "unused")
                    self._leave(server)
            if found.budgeted is None:
                return None
        self._call()
        return found

    def repeat(self, lease: Lease, bill: Bill) -> bool:
        """As ``Gate.repeat``."""
        assert isinstance(lease, PoolLease), "of this gate"
        may = self._members[lease.server].repeat(lease.lease, bill)
        if self._budget is not None and lease.budgeted is not None:
            may = self._budget.repeat(lease.budgeted, bill) and may
        return may

    def release(
        self,
        lease: Lease,
        outcome: LeaseOutcome,
        *,
        bill: Bill | None = None,
        retry_after: float | None = None,
    ) -> bool:
        """As ``Gate.release``."""
        assert isinstance(lease, PoolLease), "of this gate"
        changed = self._members[lease.server].release(
            lease.lease, outcome, bill=bill, retry_after=retry_after
        )
        if self._budget is not None and lease.budgeted is not None:
            self._budget.release(lease.budgeted, "unused" if outcome == "unused" else "ok", bill=bill)
        self._leave(lease.server, look=changed or outcome == "refused")
        self._call()
        return changed

    def moves(self, lease: Lease, error: VisionPipeError) -> bool:
        """Whether a request that ended with ``error`` should be asked of another server: it was not worked
        on, and one is up."""
        assert isinstance(lease, PoolLease), "of this gate"
        return is_away(error) and self.servers.any_up()

    def reached(self) -> str | None:
        """As ``Gate.reached``."""
        return None if self._budget is None else self._budget.reached()

    def wake(self) -> None:
        """As ``Gate.wake``."""
        for gate in self._all():
            gate.wake()

    def close(self) -> None:
        """As ``Gate.close``."""
        for gate in self._all():
            gate.close()

    @property
    def is_local(self) -> bool:
        """Whether giving a lease back takes no trip to another process."""
        return all(isinstance(gate, LocalGate) for gate in self._all())

    def _all(self) -> list[Gate]:
        return [*self._members, *([] if self._budget is None else [self._budget])]

    def _choose(self, prefix: bytes | None) -> int:
        """Where to wait for a place; it counts as waiting there."""
        with self._lock:
            up = self.servers.up()
            with_room = [server for server in up if self._lines[server].has_room()]
            if prefix is not None:
                server = next(s for s in self.servers.ranked(prefix) if s in (with_room or up))
            else:
                server = min(with_room or up, key=lambda each: self._lines[each].load())
            if self._called:
                called = self._called.pop()
                server = server if prefix is not None or called not in up else called
            self._lines[server].waiting += 1
            return server

    def _ends(self, stopped: Callable[[], bool], server: int) -> bool:
        """Whether who waits there should stop or choose anew: it is away, or another has room and nobody
        waiting."""
        if stopped():
            return True
        if not self.servers.is_up(server) and self.servers.any_up():
            return True
        with self._lock:
            return bool(self._called - {server})

    def _look(self, server: int) -> None:
        """Asks the gate how it stands, which may be a trip to another process."""
        state, now = self._members[server].state, monotonic()
        with self._lock:
            line = self._lines[server]
            line.level = max(1, state.level)
            line.others = max(0, state.busy - line.held) if state.holders > 1 else 0
            line.paused_until = now + state.pause_s
            line.looked_at = now

    def _leave(self, server: int, *, waited: bool = False, got: bool = False, look: bool = False) -> None:
        """A thread waits no more, with or without a lease, or gives one back."""
        if look or monotonic() - self._lines[server].looked_at > _LOOK_AGAIN_S:
            self._look(server)
        with self._lock:
            line = self._lines[server]
            if waited:
                line.waiting -= 1
                line.held += got
            else:
                line.held -= 1

    def _call(self) -> None:
        """Calls one of those who wait elsewhere to each server that has room and nobody waiting."""
        with self._lock:
            waiting = [server for server, line in enumerate(self._lines) if line.waiting]
            if not waiting:
                self._called.clear()
                return
            self._called = {
                server
                for server in self.servers.up()
                if not self._lines[server].waiting and self._lines[server].has_room()
            }
            called = bool(self._called)
        if called:
            for server in waiting:
                self._members[server].wake()

    def _changed(self, url: str, reason: str | None, seconds: float) -> None:
        """A server was left, or is back."""
        self._call()
        if reason is not None:
            self._members[self.servers.urls.index(url)].wake()


def local_gate(servers: Servers | None, limiter: Callable[[], Limiter], budget: Budget | None) -> Gate:
    """The gate of a process: one limiter, or one for each server, and a budget."""
    if servers is None:
        return LocalGate(limiter(), budget)
    keeper = None if budget is None else LocalGate(Limiter(UNBOUNDED, start=UNBOUNDED), budget)
    return PoolGate(servers, [LocalGate(limiter()) for _ in servers.urls], keeper)


def shared_gate(servers: Servers | None, address: str, terms: Callable[[str | None], GateTerms]) -> Gate:
    """The gate that processes share at ``address``: one, or one for each server, and one for the budget.

    Args:
        servers: None where there is one.
        address: of the gate.
        terms: for a server's base URL; for None, those of the budget, or of the only server.

    Raises:
        VisionPipeError: as ``open_gate``.
    """
    if servers is None:
        return open_gate(address, terms(None))
    opened: list[Gate] = []
    try:
        opened.extend(
            open_gate(address, replace(terms(url), caps=None, spent=NOTHING)) for url in servers.urls
        )
        whole = terms(None)
        if whole.caps is None:
            return PoolGate(servers, opened)
        kept = replace(whole, name=f"budget of {whole.job}", ceiling=UNBOUNDED, start=UNBOUNDED)
        return PoolGate(servers, opened, open_gate(address, kept))
    except BaseException:
        for gate in opened:
            gate.close()
        raise
