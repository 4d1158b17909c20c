"""Everything a running sandbox holds; made once, passed to all of its work."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from typing import Any

from visionpipe.logs import logger as log_of
from visionpipe.registry.lookup import Registry
from visionpipe.sandbox.accounts import Gate, KeyRing, Limits, RequestIds
from visionpipe.sandbox.answers import ChatAnswerer, Script
from visionpipe.sandbox.log import RequestLog
from visionpipe.sandbox.models import ModelList
from visionpipe.sandbox.scenario import FaultPlan, Options, Scenario
from visionpipe.sandbox.store import Store

logger = log_of("sandbox")


class Service:
    """The sandbox apart from its sockets.

    Args:
        options: how it is set up.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the overlay cannot be used, or a key is not of the form ``id.secret``.
    """

    def __init__(self, options: Options, clock: Callable[[], float] = time.time) -> None:
        self.options = options
        self.clock = clock
        registry = Registry.load([options.overlay] if options.overlay else [])
        self.models = ModelList(registry, options.models)
        self.keys = KeyRing(options.keys, clock)
        self.gate = Gate(_limits(options))
        self.request_ids = RequestIds()
        self.log = RequestLog(options.log)
        self.store = Store(options, clock)
        self.answerer = ChatAnswerer(options.answers)
        self.released = asyncio.Event()
        self.fault_plan = FaultPlan()
        self._works: dict[str, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)
        self.set_scenario(options.scenario)

    def set_scenario(self, scenario: Scenario) -> None:
        """Begin a scenario from its first request; what waits in a hold goes on."""
        self.release()
        self.fault_plan = FaultPlan(scenario)
        self.answerer.script = Script(scenario.answer)

    def release(self) -> None:
        """Let every request that is held go on; later ones are held anew."""
        self.released.set()
        self.released = asyncio.Event()

    def reset(self) -> None:
        """Back to the first scenario and limits, with an empty log; stored files and jobs stay."""
        self.set_scenario(self.options.scenario)
        self.gate.limits = _limits(self.options)
        self.gate.forget_peaks()
        self.request_ids.clear()
        self.log.clear()

    def new_id(self) -> str:
        """A number that no other answer of this run has, of the service's length."""
        return f"{int(self.clock() * 1000)}{next(self._numbers) % 1_000_000:06d}"

    def new_head(self, model: str, request_id: str | None) -> dict[str, Any]:
        """The fields that open every chat answer."""
        identity = self.new_id()
        return {
            "id": identity,
            "request_id": request_id or identity,
            "created": int(self.clock()),
            "model": model,
        }

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin work that goes on beside the requests; one at a time of each name."""
        task = asyncio.get_running_loop().create_task(work)
        self._works[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._works.get(name) is task:
            del self._works[name]
        if not task.cancelled() and task.exception() is not None:
            logger.error("the sandbox failed at %s", name, exc_info=task.exception())
            self.log.internal_errors += 1

    def runs(self, name: str) -> bool:
        """Whether work of this name goes on."""
        return name in self._works

    def stop(self, name: str) -> None:
        """Break off work; nothing where none goes on."""
        task = self._works.pop(name, None)
        if task is not None:
            task.cancel()

    def figures(self) -> dict[str, Any]:
        """The log's figures with those of the gate."""
        return {
            **self.log.figures(),
            "in_flight": self.gate.now,
            "in_flight_max": self.gate.most,
            "waiting_max": self.gate.most_waiting,
            "in_flight_max_per_model": dict(self.gate.most_per_model),
        }

    def close(self) -> None:
        self.answerer.close()
        self.log.close()
        self.store.close()


def _limits(options: Options) -> Limits:
    return Limits(per_model=options.per_model, total=options.total, serves=options.serves)
