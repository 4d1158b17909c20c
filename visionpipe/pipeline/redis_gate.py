"""One limit and one budget for many processes, kept in a Redis server.

The law is the limiter's (``limiter.lua`` beside it), and one script (``gate.lua``) does a whole call: what a
process gives back, and what it asks for next. A free place is announced to those who wait and never granted
to them, since one that was killed would go on collecting. While others wait nobody takes more than its share.
A holder that is silent for the time to live loses its leases: their places are free again, and what they
reserved counts as spent, since it may have been billed.

Without its server a holder finishes what is under way and begins nothing; it never goes on ungated.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from visionpipe.errors import ConfigurationError, ConnectionFailedError, ParameterError, missing_extra
from visionpipe.pipeline import limiter
from visionpipe.pipeline.budget import NOTHING, Amount, Caps
from visionpipe.pipeline.gate import Bill, GateState, Lease, LeaseOutcome
from visionpipe.values import Money

if TYPE_CHECKING:
    import redis

TTL_S = 6.0
"""Seconds of silence after which a holder is taken for dead."""

BEAT_S = 1.0
"""Between two signs of life: a dead holder is found so late at most where nobody has anything to say."""

MOST_WANTED = 32
"""Leases asked for in one call."""

PASSWORD = "VISIONPIPE_GATE_PASSWORD"
_KEPT_S = 14 * 24 * 3600
"""After two weeks without a holder the server forgets, and the ledger tells it anew."""

_FIGURES = (
    *("PROBE_AFTER", "ROUND", "FULL_USE", "PAYS", "SLOWER", "NEIGHBOUR", "UP_PAYS", "FREE", "LOST_NOTHING"),
    *("REST", "MOST_PATIENCE", "DECREASE"),
)
_BILLION = Decimal(10**9)
_AMOUNT_UNKNOWN = -1


def law_script() -> str:
    """The law in Lua, with the figures of the law in Python before it."""
    figures: dict[str, float] = {name: getattr(limiter, name) for name in _FIGURES}
    figures |= {
        "FIRST_PAUSE_MS": limiter.FIRST_PAUSE_S * 1000,
        "LONGEST_PAUSE_MS": limiter.LONGEST_PAUSE_S * 1000,
    }
    text = Path(__file__).with_name("limiter.lua").read_text("utf-8")
    return "".join(f"local {name} = {figure!r}\n" for name, figure in figures.items()) + text


@dataclass(slots=True)
class SharedLease:
    """The right to have one request under way, and what was set aside for it.

    Attributes:
        spare: whether a second question has its room.
    """

    number: int
    row: str = field(repr=False)
    spare: bool = False


@dataclass(frozen=True, slots=True)
class _Want:
    number: int
    tokens: int
    money: int
    spare: bool
    lease: Future[SharedLease | None]
    changed: threading.Condition
    """Its own, so that an end of one wakes nobody else; on the gate's lock."""

    def tell(self, lease: SharedLease | None) -> None:
        self.lease.set_result(lease)
        self.changed.notify_all()

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, "t": self.tokens, "m": self.money, "spare": self.spare}


class RedisGate:
    """Leases for one endpoint, model and key, and the budget of one job; from any number of threads.

    Args:
        address: ``redis://host:port/0``, ``rediss://`` with TLS, or ``unix:///path``. Its password comes from
            the environment (VISIONPIPE_GATE_PASSWORD).
        name: what the limit belongs to; holders with one name share it.
        job: whose budget it is.
        ceiling, start, rpm, tpm: as for ``Limiter``.
        caps: of the job.
        spent: what its ledger knows to be spent; an empty gate begins with it.
        outage_seconds: how long to wait for the server; None: for ever.
        ttl_s, beat_s: seconds after which a silent holder is dead, and between two signs of life.
        clock: monotonic seconds.

    Raises:
        ConfigurationError: the extra is not installed, or the server refuses.
        ConnectionFailedError: there is no server at the address.
        ParameterError: the address has a password in it.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        job: str = "",
        ceiling: int = 64,
        start: int = 4,
        rpm: float | None = None,
        tpm: float | None = None,
        caps: Caps | None = None,
        spent: Amount = NOTHING,
        outage_seconds: float | None = 3600.0,
        ttl_s: float = TTL_S,
        beat_s: float = BEAT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caps = caps or Caps()
        self._outage_seconds = outage_seconds
        self._beat_s = beat_s
        self._clock = clock
        self._key = key_of(name)
        self._holder = uuid.uuid4().hex
        self._server = connected(address, timeout=ttl_s / 2)
        self._script = self._server.register_script(_gate_script())
        self._listening = connected(address, timeout=ttl_s + beat_s)
        self._fixed: dict[str, Any] = {
            "holder": self._holder,
            "ttl": int(ttl_s * 1000),
            "keep": _KEPT_S * 1000,
            "ceiling": ceiling,
            "start": start,
            "rpm": rpm or 0,
            "tpm": tpm or 0,
            "job": job,
            "caps": _caps_json(self._caps),
        }
        self._known = _parts(spent)
        self._largest = NOTHING
        self._born = 0
        self._number = 0
        self._lock = threading.RLock()
        self._condition = threading.Condition(self._lock)
        self._wants: dict[int, _Want] = {}
        self._told_waiting = False
        self._ask_at: float | None = None
        self._asked: set[int] = set()
        self._ended: list[dict[str, Any]] = []
        self._repeats: list[tuple[dict[str, Any], Future[bool]]] = []
        self._held: dict[int, SharedLease] = {}
        self._beat_at = 0.0
        self._lost: tuple[float, Exception] | None = None
        self._changes = 0
        self._closed = False
        self.trips = 0
        self._state = GateState(start, 0, 0.0, 0, 0, spent, NOTHING)
        try:
            self._take(self._trip({}, [], [], []))
        except _server_errors() as error:
            self._disconnect()
            raise _away(address, error) from error
        self._threads = [
            threading.Thread(target=loop, name=f"gate {loop.__name__}", daemon=True)
            for loop in (self._call_all, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def state(self) -> GateState:
        """As the last call found it, at most one beat old."""
        return self._state

    def acquire(
        self,
        tokens: int | None = None,
        cost: Money | None = None,
        *,
        spare: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> SharedLease | None:
        """Waits for a place and for room in the budget.

        Args:
            tokens: estimated; None where nobody knows (as for ``Budget``).
            cost: estimated.
            spare: whether a second question may follow, for which room is set aside where there is some.
            stopped: ends the waiting (call ``wake``).

        Returns:
            The lease, to be released; None where the cap is reached, or ``stopped``.

        Raises:
            ConfigurationError: a cap in money, and no price in its currency.
            ConnectionFailedError: the server was out of reach for too long; of scope "job".
        """
        wanted = self.want(tokens, cost, spare=spare)
        with self._condition:
            while not wanted.lease.done():
                if stopped():
                    self._withdraw(wanted.number)
                    break
                wanted.changed.wait()
        return wanted.lease.result() if wanted.lease.done() else None

    def want(self, tokens: int | None, cost: Money | None, *, spare: bool = False) -> _Want:
        """As ``acquire``, with the lease to come."""
        self._caps.check_price(cost)
        with self._condition:
            self._number += 1
            wanted = _Want(
                self._number,
                _AMOUNT_UNKNOWN if tokens is None else tokens,
                _billionths(cost.amount) if cost is not None else 0,
                spare,
                Future(),
                threading.Condition(self._lock),
            )
            self._wants[wanted.number] = wanted
            if not self._told_waiting:
                self._ask_at = self._clock()
            self._condition.notify_all()
        return wanted

    def repeat(self, lease: Lease, bill: Bill) -> bool:
        """Settles the first answer of a lease by its ``bill``, for a second question. False where that has
        no room; the lease is to be released in either case."""
        assert isinstance(lease, SharedLease), "of this gate"
        told: Future[bool] = Future()
        with self._condition:
            self._repeats.append(({"number": lease.number, "used": _used_json(bill)}, told))
            self._condition.notify_all()
            while not told.done() and not self._closed:
                self._condition.wait()
        return told.done() and told.result()

    def release(
        self,
        lease: Lease,
        outcome: LeaseOutcome,
        *,
        bill: Bill | None = None,
        retry_after: float | None = None,
    ) -> bool:
        """Gives a lease back; the next call takes it along.

        Args:
            lease: held.
            outcome: an answer or a failure ("ok"), a 429 ("refused"), nothing was sent ("unused").
            bill: what the request was, or may have been, billed; None: nothing.
            retry_after: seconds, with a 429.

        Returns:
            Whether the level has changed since the last release.
        """
        assert isinstance(lease, SharedLease), "of this gate"
        row: dict[str, Any] = {"number": lease.number, "outcome": outcome}
        row["retry_ms"] = int((retry_after or 0.0) * 1000)
        if bill is not None:
            row["used"] = _used_json(bill)
        with self._condition:
            self._held.pop(lease.number, None)
            self._ended.append(row)
            self._condition.notify_all()
            changed, self._changes = self._changes > 0, 0
        return changed

    def reached(self) -> str | None:
        """Which cap stands in the way of one more request of the largest size seen; None: none does."""
        return self._caps.in_the_way(self._state.spent, self._largest)

    def wake(self) -> None:
        """Has every waiting thread check its ``stopped`` again."""
        with self._condition:
            for wanted in self._wants.values():
                wanted.changed.notify_all()

    def close(self) -> None:
        """Gives everything back, and leaves. What is still held counts as spent."""
        with self._condition:
            if self._closed:
                return
            self._closed = True
            self._condition.notify_all()
        self._threads[0].join()
        hints = f"{self._key}:hints:{self._holder}"
        with suppress(*_server_errors()):
            self._server.rpush(hints, "end")
            self._server.pexpire(hints, int(self._beat_s * 1000))
        self._threads[1].join()
        self._disconnect()

    def _disconnect(self) -> None:
        self._server.connection_pool.disconnect()
        self._server.close()
        self._listening.close()

    def _withdraw(self, number: int) -> None:
        wanted = self._wants.pop(number, None)
        if wanted is not None and number in self._asked:
            # The call under way may bring its lease, which then goes back unused.
            wanted.lease.add_done_callback(self._return_unused)

    def _return_unused(self, told: Future[SharedLease | None]) -> None:
        if not told.cancelled() and told.exception() is None and (lease := told.result()) is not None:
            self.release(lease, "unused")

    def _call_all(self) -> None:
        """The calls, one at a time: as many ends and wishes as there are go along with each."""
        while True:
            with self._condition:
                while not self._closed and (rest := self._idle_for()) > 0:
                    self._condition.wait(rest)
                closing = self._closed
                ended, self._ended = self._ended, []
                repeats, self._repeats = self._repeats, []
                wants = [] if closing else list(self._wants.values())
                now = self._clock()
                beat = closing or self._lost is not None or now >= self._beat_at
                self._ask_at = None
                asked = wants[:MOST_WANTED]
                self._asked = {want.number for want in asked}
                more = {"more": len(wants) - len(asked)}
            try:
                answer = self._trip(
                    {**more, "leave": True} if closing else more, ended, repeats, asked, beat=beat
                )
            except _server_errors() as error:
                with self._condition:
                    self._ended[:0] = ended
                    self._repeats[:0] = repeats
                    self._out_of_reach(error)
                    if closing:
                        return
                    self._condition.wait(0.1)
                continue
            with self._condition:
                self._lost = None
                if beat:
                    self._beat_at = now + self._beat_s
                self._take(answer, asked, repeats)
                self._condition.notify_all()
            if closing:
                return

    def _idle_for(self) -> float:
        """Seconds until the next call; 0 where there is something to say."""
        if self._ended or self._repeats or self._lost is not None:
            return 0.0
        at = self._beat_at if self._ask_at is None else min(self._beat_at, self._ask_at)
        return at - self._clock()

    def _listen(self) -> None:
        """Waits for the word that a place is free."""
        lost: tuple[type[Exception], ...] = (*_server_errors(), ValueError)
        while not self._closed:
            try:
                hint = self._listening.blpop([f"{self._key}:hints:{self._holder}"], timeout=self._beat_s)
            except lost:
                with self._condition:
                    if not self._closed:
                        self._condition.wait(self._beat_s)
                continue
            if hint is not None:
                with self._condition:
                    self._ask_at = self._clock()
                    self._condition.notify_all()

    def _trip(
        self,
        more: dict[str, Any],
        ended: Sequence[dict[str, Any]],
        repeats: Sequence[tuple[dict[str, Any], Future[bool]]],
        wants: Sequence[_Want],
        *,
        beat: bool = False,
    ) -> dict[str, Any]:
        call = {**self._fixed, **more, "born": self._born, "done": list(ended)}
        call["again"] = [row for row, _ in repeats]
        call["want"] = [want.to_json() for want in wants]
        if beat:
            going = {row["number"] for row in ended}
            with self._condition:
                call["holds"] = [number for number in self._held if number not in going]
        answer = self._called(call)
        if answer.get("strange"):
            with self._condition:
                rows = [[str(number), lease.row] for number, lease in self._held.items()]
            call["born"] = answer["born"]
            call["join"] = {"spent": self._known, "leases": rows}
            answer = self._called(call)
        return answer

    def _called(self, call: dict[str, Any]) -> dict[str, Any]:
        self.trips += 1
        answer: dict[str, Any] = orjson.loads(self._script(keys=[self._key], args=[orjson.dumps(call)]))
        return answer

    def _take(
        self,
        answer: dict[str, Any],
        asked: Sequence[_Want] = (),
        repeats: Sequence[tuple[dict[str, Any], Future[bool]]] = (),
    ) -> None:
        """What a call brought."""
        self._born = answer["born"]
        self._known = answer["spent"]
        self._largest = _amount(answer["largest"])
        self._changes += answer["level"] != self._state.level
        self._state = GateState(
            level=int(answer["level"]),
            busy=int(answer["busy"]),
            pause_s=answer["pause_ms"] / 1000,
            refusals=int(answer["refusals"]),
            holders=int(answer["holders"]),
            spent=_amount(answer["spent"]),
            reserved=_amount(answer["reserved"]),
        )
        self._asked = set()
        by_number = {want.number: want for want in asked}
        for number, row in answer["granted"] or ():
            number = int(number)
            lease = SharedLease(number, row, "second" in orjson.loads(row))
            self._held[number] = lease
            self._wants.pop(number, None)
            by_number[number].tell(lease)
        for number in answer["reached"] or ():
            self._wants.pop(int(number), None)
            by_number[int(number)].tell(None)
        yes = {int(number) for number in answer["repeated"] or ()}
        for row, told in repeats:
            told.set_result(row["number"] in yes)
        self._told_waiting = bool(self._wants.keys() & by_number.keys())
        if self._wants and (answer["wait_ms"] > 0 or not self._told_waiting):
            at = self._clock() + answer["wait_ms"] / 1000
            self._ask_at = at if self._ask_at is None else min(self._ask_at, at)

    def _out_of_reach(self, error: Exception) -> None:
        now = self._clock()
        if self._lost is None:
            self._lost = (now, error)
        since = self._lost[0]
        if self._outage_seconds is None or now - since < self._outage_seconds:
            return
        for want in self._wants.values():
            want.lease.set_exception(
                ConnectionFailedError(
                    f"the gate has been out of reach for {now - since:.0f} s ({error})",
                    cure="Start its server again, and run again; nothing is lost.",
                    subject="gate",
                    scope="job",
                )
            )
            want.changed.notify_all()
        self._wants.clear()


def key_of(name: str) -> str:
    """Where a gate's keys begin, with the hash tag that keeps them on one server of a cluster."""
    return f"visionpipe:{{{name}}}"


def connected(address: str, *, timeout: float) -> redis.Redis:
    """The server at ``address``, not yet asked anything.

    Raises:
        ConfigurationError: the extra is not installed.
        ParameterError: the address is none of a Redis server, or has a password in it.
    """
    found = urlsplit(address)
    if found.scheme not in ("redis", "rediss", "unix"):
        raise ParameterError(
            "this is no address of a gate",
            cure="Give one such as redis://host:6379/0.",
            subject=address,
            scope="job",
        )
    if found.password is not None:
        raise ParameterError(
            "the address has a password in it",
            cure=f"Leave it out, and set {PASSWORD}.",
            subject=f"{found.scheme}://{found.hostname}",
            scope="job",
        )
    try:
        import redis
    except ImportError as missing:
        raise missing_extra("a shared gate needs redis", "redis", subject=address) from missing
    # Trying again is the gate's own affair, which knows what may have come through.
    return redis.Redis.from_url(
        address, password=os.environ.get(PASSWORD) or None, socket_timeout=timeout, retry=None
    )


def gate_states(address: str) -> dict[str, GateState]:
    """Every gate that the server at ``address`` keeps, by its name.

    Raises:
        ConnectionFailedError: there is no server at the address.
        ConfigurationError, ParameterError: as ``connected``.
    """
    server = connected(address, timeout=TTL_S)
    try:
        keys = sorted(key.decode() for key in server.scan_iter("visionpipe:{*}"))
        return {key.partition("{")[2][:-1]: _read(server, key) for key in keys if key.endswith("}")}
    except _server_errors() as error:
        raise _away(address, error) from error
    finally:
        server.close()


def _read(server: Any, key: str) -> GateState:
    law = {name.decode(): float(value) for name, value in server.hgetall(key).items()}
    seconds, microseconds = server.time()
    totals = [0.0] * 6
    for purse in server.scan_iter(f"{key}:spent:*"):
        found = server.hmget(purse, "r", "t", "m", "reserved_r", "reserved_t", "reserved_m")
        totals = [total + float(value) for total, value in zip(totals, found, strict=True)]
    return GateState(
        level=int(law["level"]),
        busy=int(law["busy"]),
        pause_s=max(0.0, law["paused_until"] / 1000 - seconds - microseconds / 1e6),
        refusals=int(law["refusals"]),
        holders=server.zcard(f"{key}:holders"),
        spent=_amount(totals[:3]),
        reserved=_amount(totals[3:]),
    )


def _away(address: str, error: Exception) -> ConfigurationError | ConnectionFailedError:
    import redis

    if isinstance(error, redis.exceptions.AuthenticationError):
        return ConfigurationError(
            f"the gate refuses ({error})",
            cure=f"Set {PASSWORD} to its password, and name the user in the address if it has one.",
            subject=address,
        )
    return ConnectionFailedError(
        f"the gate is out of reach ({error})",
        cure="Start the server, or check the address.",
        subject=address,
        scope="job",
    )


def _server_errors() -> tuple[type[Exception], ...]:
    import redis

    return (redis.exceptions.RedisError, OSError)


def _gate_script() -> str:
    return law_script() + Path(__file__).with_name("gate.lua").read_text("utf-8")


def _billionths(amount: Decimal) -> int:
    """Money as the script counts it, rounded up."""
    return int((amount * _BILLION).to_integral_value(ROUND_CEILING))


def _parts(amount: Amount) -> list[int]:
    return [amount.requests, amount.tokens, _billionths(amount.money)]


def _amount(parts: Sequence[float]) -> Amount:
    return Amount(int(parts[0]), int(parts[1]), Decimal(int(parts[2])) / _BILLION)


def _used_json(bill: Bill) -> dict[str, int]:
    tokens = -1 if bill.tokens is None else bill.tokens
    return {"r": bill.requests, "t": tokens, "m": -1 if bill.cost is None else _billionths(bill.cost.amount)}


def _caps_json(caps: Caps) -> dict[str, int]:
    return {
        "r": -1 if caps.requests is None else caps.requests,
        "t": -1 if caps.tokens is None else caps.tokens,
        "m": -1 if caps.money is None else int(caps.money.amount * _BILLION),
    }
