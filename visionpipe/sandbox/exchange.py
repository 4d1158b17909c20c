"""One request on its way through the sandbox, with what is known of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from visionpipe.sandbox.connection import Connection
from visionpipe.sandbox.log import RequestRecord
from visionpipe.sandbox.replies import Dialect, Refusal
from visionpipe.sandbox.scenario import ErrorFault, FaultPlan, HoldFault, PlannedFault

if TYPE_CHECKING:
    from visionpipe.sandbox.call import Call
    from visionpipe.sandbox.service import Service


@dataclass(slots=True)
class Exchange:
    """What a piece of work is given. ``path_values`` come from the route, ``query`` from the address;
    ``fault_plan`` is that of the scenario that held when the request came; a later one leaves it alone."""

    service: Service
    connection: Connection
    record: RequestRecord
    fault_plan: FaultPlan
    dialect: Dialect
    path_values: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""
    planned: PlannedFault = field(default_factory=PlannedFault)
    _inside: str | None = None

    def note(self, call: Call) -> None:
        """Write into the log what a chat request asks for."""
        self.record.model = call.model
        self.record.stream = call.parameters.stream
        self.record.media = call.conversation.media

    async def admit(self, model: str | None = None, stream: bool = False, *, limited: bool = False) -> None:
        """Let a request that is in order go on: count it in, then meet its fault's delay and error.

        Args:
            model: the model it asks for.
            stream: whether it wants a stream.
            limited: whether it counts as in flight until its answer is out.

        Raises:
            Refusal: 1302 beyond the limit, or the scenario's error.
        """
        gate = self.service.gate
        if limited and model is not None:
            gate.enter(self.record.key, model)
            self._inside = model
        self.record.in_flight = gate.now
        self.planned = self.fault_plan.next(self.record.path, model, stream)
        self.record.fault = self.planned.kind
        if self.planned.delay:
            await self.connection.pause(self.planned.delay)
        fault = self.planned.fault
        if isinstance(fault, HoldFault):
            await self.connection.wait_for(self.service.released)
        if isinstance(fault, ErrorFault):
            headers = {"retry-after": fault.retry_after} if fault.retry_after is not None else {}
            raise Refusal(fault.code, fault.message, status=fault.status, headers=headers)

    def leave(self) -> None:
        """Count the request out."""
        if self._inside is not None:
            self.service.gate.leave(self.record.key, self._inside)
            self._inside = None
