"""The sandbox's own addresses, below ``/_sandbox``: scenario, limits, figures, log.

    POST /_sandbox/scenario   a scenario, as TOML or JSON; DELETE ends it
    POST /_sandbox/limits     {"per_model": 8, "total": null, "models": {"glm-4.6v": 2}, "serves": 4}
    POST /_sandbox/release    lets requests go on that a "hold" keeps
    POST /_sandbox/reset      scenario and limits of the start, empty log
    GET  /_sandbox/stats      figures (also /stats); GET /_sandbox/log?newest=100, one JSON line a request

They ask for no key on loopback, where no web page in a browser reaches them (loopback.py), and do not count
as requests of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.accounts import Limits
from visionpipe.sandbox.connection import ClientGone, Connection
from visionpipe.sandbox.replies import Refusal
from visionpipe.sandbox.scenario import Scenario, parse_scenario
from visionpipe.sandbox.service import Service

MOST_BYTES = 4 * 1024 * 1024

Act = Callable[[bytes, Mapping[str, str]], Any]


class Control:
    """One control address: an ASGI application.

    Args:
        service: the sandbox.
        acts: what is done by HTTP method, given the body and the query.
        keyed: ask for a key (a sandbox that is not bound to loopback).
    """

    def __init__(self, service: Service, acts: Mapping[str, Act], keyed: bool) -> None:
        self._service = service
        self._acts = acts
        self._keyed = keyed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope, receive, send)
        try:
            response = self._respond(scope, connection, await connection.read(MOST_BYTES))
        except ClientGone:
            return
        except Refusal as refusal:
            response = JSONResponse({"error": refusal.message}, refusal.status)
        await response(scope, receive, send)

    def _respond(self, scope: Scope, connection: Connection, body: bytes) -> Response:
        if self._keyed:
            self._service.keys.identify(connection.headers)
        act = self._acts.get(scope["method"])
        if act is None:
            raise Refusal("405")
        try:
            value = act(body, Request(scope).query_params)
        except ConfigurationError as error:
            return JSONResponse({"error": str(error)}, 400)
        if isinstance(value, bytes):
            return Response(value, media_type="application/x-ndjson")
        return JSONResponse(value)


def routes(service: Service, keyed: bool) -> list[Route]:
    """The control addresses of one sandbox."""

    def set_scenario(body: bytes, _: Mapping[str, str]) -> Any:
        scenario = parse_scenario(body)
        service.set_scenario(scenario)
        return {"seed": scenario.seed, "rules": len(scenario.rule), "answers": len(scenario.answer)}

    def end_scenario(_: bytes, __: Mapping[str, str]) -> Any:
        service.set_scenario(Scenario())
        return {}

    def show_scenario(_: bytes, __: Mapping[str, str]) -> Any:
        return service.fault_plan.scenario.model_dump(exclude_defaults=True)

    def set_limits(body: bytes, _: Mapping[str, str]) -> Any:
        service.gate.limits = _limits(body)
        return service.gate.limits.to_json()

    def release(_: bytes, __: Mapping[str, str]) -> Any:
        service.release()
        return {}

    def reset(_: bytes, __: Mapping[str, str]) -> Any:
        service.reset()
        return {}

    def stats(_: bytes, __: Mapping[str, str]) -> Any:
        return service.figures()

    def log(_: bytes, query: Mapping[str, str]) -> Any:
        newest = query.get("newest", "")
        return b"".join(service.log.lines(int(newest) if newest.isdigit() else None))

    acts: dict[str, dict[str, Act]] = {
        "/_sandbox/scenario": {"POST": set_scenario, "DELETE": end_scenario, "GET": show_scenario},
        "/_sandbox/limits": {"POST": set_limits, "GET": lambda _, __: service.gate.limits.to_json()},
        "/_sandbox/release": {"POST": release},
        "/_sandbox/reset": {"POST": reset},
        "/_sandbox/stats": {"GET": stats},
        "/stats": {"GET": stats},
        "/_sandbox/log": {"GET": log},
    }
    return [Route(path, Control(service, by_method, keyed)) for path, by_method in acts.items()]


def _limits(body: bytes) -> Limits:
    try:
        given = orjson.loads(body)
        limits = Limits(**given)
        figures = [limits.per_model, limits.total, limits.serves, *limits.models.values()]
        if all(figure is None or (type(figure) is int and figure >= 0) for figure in figures):
            return limits
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        pass  # the one error below says it all
    raise ConfigurationError(
        "the limits cannot be used",
        cure='Send {"per_model": 8, "total": 20, "models": {"glm-4.6v": 2}, "serves": 4}, each a whole '
        "number or null.",
    )
