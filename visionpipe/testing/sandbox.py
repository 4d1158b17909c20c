"""A sandbox for tests: a real HTTP server on a free loopback port, in a thread, gone at the end.

    from visionpipe.testing.sandbox import running_sandbox

    with running_sandbox() as sandbox:
        client = MyClient(base_url=sandbox.base_url, api_key=sandbox.key)
        sandbox.set_scenario({"rule": [{"count": 1, "fault": {"kind": "error", "code": "1302"}}]})
        ...
        assert sandbox.stats()["per_code"] == {"1302": 1}

It needs the extra ``sandbox``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import orjson

from visionpipe.errors import missing_extra
from visionpipe.sandbox.accounts import Limits
from visionpipe.sandbox.scenario import AnswerMode, Options, Scenario, parse_scenario
from visionpipe.sandbox.service import Service

if TYPE_CHECKING:
    from visionpipe.sandbox.server import ServerThread


class SandboxHandle:
    """A sandbox that is running.

    Attributes:
        url: ``http://127.0.0.1:port``.
        base_url: of the GLM dialect (``.../api/paas/v4``).
        openai_url: of the OpenAI dialect (``.../v1``).
        agents_url: of the agents (``.../api/v1/agents``).
        applications_url: of the older application API (``.../api/llm-application/open``).
        key: an API key that it takes.
    """

    def __init__(self, service: Service, thread: ServerThread, url: str) -> None:
        self._service = service
        self._thread = thread
        self.url = url
        self.base_url = f"{url}/api/paas/v4"
        self.openai_url = f"{url}/v1"
        self.agents_url = f"{url}/api/v1/agents"
        self.applications_url = f"{url}/api/llm-application/open"
        self.key = service.options.keys[0]

    def stats(self) -> dict[str, Any]:
        """Counts: requests, in flight now and at most, per code and status, bytes, duplicates."""
        figures: dict[str, Any] = self._thread.call(self._service.figures)
        return figures

    def log(self) -> list[dict[str, Any]]:
        """One record a finished request, oldest first: path, model, status, code, fault, bytes, and what
        media it brought (format, width, height, size, sha256)."""
        records: list[dict[str, Any]] = self._thread.call(self._service.log.records)
        return records

    def set_scenario(self, scenario: Scenario | Mapping[str, Any] | str) -> None:
        """Begin a scenario, given as a value, as a mapping, or as TOML or JSON text.

        Raises:
            ConfigurationError: it holds what a scenario does not know.
        """
        if isinstance(scenario, Mapping):
            scenario = parse_scenario(orjson.dumps(dict(scenario)))
        elif isinstance(scenario, str):
            scenario = parse_scenario(scenario)
        self._thread.call(self._service.set_scenario, scenario)

    def set_limits(
        self,
        *,
        per_model: int | None = None,
        total: int | None = None,
        models: Mapping[str, int] | None = None,
        serves: int | None = None,
    ) -> None:
        """Set the most requests in flight: per key and model, in all, and for models by name; and how many
        of them are answered at once while the rest waits."""
        limits = Limits(per_model, total, models or {}, serves)
        self._thread.call(setattr, self._service.gate, "limits", limits)

    def release(self) -> None:
        """Let the requests go on that a "hold" fault keeps waiting."""
        self._thread.call(self._service.release)

    def reset(self) -> None:
        """Back to the scenario and limits of the start, with an empty log."""
        self._thread.call(self._service.reset)

    def stop(self) -> None:
        """Stop the server and end its connections. A second call does nothing."""
        self._thread.stop()


@contextmanager
def running_sandbox(answers: AnswerMode = "saw", **options: Any) -> Iterator[SandboxHandle]:
    """Run a sandbox while the block runs.

    Args:
        answers: who answers; here by default a sentence that tells what arrived (see ``Options``).
        options: any other field of ``visionpipe.sandbox.scenario.Options``.

    Raises:
        ConfigurationError: the extra is not installed, or the scenario or overlay cannot be used.
        TypeError: there is no such option.
    """
    unknown = set(options) - {field.name for field in fields(Options)}
    if unknown:
        raise TypeError(f"a sandbox has no option {', '.join(sorted(unknown))}")
    try:
        from visionpipe.sandbox.loopback import address, bind
        from visionpipe.sandbox.server import ServerThread
    except ImportError as error:
        raise missing_extra(f"the sandbox needs {error.name}", "sandbox") from error
    service = Service(Options(answers=answers, **options))
    listener = bind()
    thread = ServerThread(service, listener)
    handle = SandboxHandle(service, thread, address(listener))
    thread.start()
    try:
        yield handle
    finally:
        handle.stop()
