"""The routes: which address does what, in which dialect, and what happens to every request.

Whatever comes in, something of the protocol goes out, and the log gets one record; an error of the sandbox
itself is counted, logged with its traceback, and answered as 500.

No page of a browser reaches it, and no name that was bent to this machine. A browser sends ``Origin`` with
what a page asks for across sites, and a page that has its own name resolved to 127.0.0.1 (DNS rebinding)
sends that name as ``Host``. Both are refused at every address, before anything is read. A sandbox that is
bound to other addresses asks for keys of its own everywhere, so there any name is taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from visionpipe.logs import logger as log_of
from visionpipe.sandbox import agents, applications, batches, chat, control, files, tuning
from visionpipe.sandbox.connection import BreakOff, ClientGone, Connection, Exchange
from visionpipe.sandbox.delivery import deliver
from visionpipe.sandbox.loopback import Guard
from visionpipe.sandbox.replies import Dialect, JsonReply, Refusal, Reply, error_body, shaped_error, status_of
from visionpipe.sandbox.scenario import ErrorFault, ResetFault, ShapeFault, SlowReaderFault
from visionpipe.sandbox.service import Service

Work: TypeAlias = Callable[[Exchange], Awaitable[Reply]]

logger = log_of("sandbox")


async def refuse_method(exchange: Exchange) -> Reply:
    """A method that the address does not know: 405."""
    raise Refusal("405", exchange.record.method)


class Handler:
    """One address of the API: an ASGI application.

    Args:
        service: the sandbox.
        works: what is done, by HTTP method.
        dialect: the form of errors and of chat requests.
        otherwise: what is done for any other method.
    """

    def __init__(
        self,
        service: Service,
        works: Mapping[str, Work],
        dialect: Dialect = Dialect.GLM,
        otherwise: Work = refuse_method,
    ) -> None:
        self._service = service
        self._otherwise = otherwise
        self._works = works
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope, receive, send)
        exchange = Exchange(
            service=self._service,
            connection=connection,
            record=self._service.log.begin(scope["method"], scope["path"]),
            fault_plan=self._service.fault_plan,
            dialect=self._dialect,
            path_values=scope.get("path_params", {}),
            query=dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))),
        )
        record = exchange.record
        break_off = False
        try:
            await deliver(connection, await self._answer(exchange), exchange.planned.fault)
        except BreakOff:
            break_off = True
        except ClientGone:
            pass  # the record says how far the answer came
        finally:
            exchange.leave()
            record.status = connection.status
            record.bytes_in, record.bytes_out = connection.bytes_in, connection.bytes_out
            self._service.log.end(record)
        if break_off:
            await connection.reset()
        connection.close()

    async def _answer(self, exchange: Exchange) -> Reply:
        record = exchange.record
        try:
            return await self._work(exchange)
        except Refusal as refusal:
            record.code = refusal.code
            status = status_of(refusal, self._dialect)
            body = error_body(refusal, self._dialect)
            fault = exchange.planned.fault
            form = fault.shape if isinstance(fault, ErrorFault) else None
            form = fault.form if isinstance(fault, ShapeFault) else form
            if form is not None:
                body = shaped_error(body, status, form)
            return JsonReply(body, status, refusal.headers)
        except (ClientGone, BreakOff):
            raise
        except Exception:
            logger.exception("the sandbox failed at %s %s", record.method, record.path)
            self._service.log.internal_errors += 1
            record.code = "500"
            return JsonReply(error_body(Refusal("500"), self._dialect), 500)

    async def _work(self, exchange: Exchange) -> Reply:
        connection, service = exchange.connection, self._service
        work = self._works.get(exchange.record.method, self._otherwise)
        exchange.record.key = service.keys.identify(connection.headers)
        pace: float | None = None
        planned = exchange.fault_plan.early(exchange.record.path)
        if planned.fault is not None:
            exchange.record.fault = planned.kind
        if isinstance(planned.fault, ResetFault):
            raise BreakOff
        if isinstance(planned.fault, SlowReaderFault):
            pace = planned.fault.bytes_per_second
        exchange.body = await connection.read(service.options.max_body_bytes, pace)
        return await work(exchange)


GLM = "/api/paas/v4"
APPLICATIONS = "/api/llm-application/open"

ADDRESSES: Mapping[Dialect, Mapping[str, Mapping[str, Work]]] = {
    Dialect.GLM: {
        f"{GLM}/chat/completions": {"POST": chat.complete},
        f"{GLM}/async/chat/completions": {"POST": chat.submit_task},
        f"{GLM}/async-result/{{id}}": {"GET": chat.task_result},
        f"{GLM}/tokenizer": {"POST": chat.count_tokens},
        f"{GLM}/models": {"GET": chat.text_models},
        f"{GLM}/files": {"POST": files.upload, "GET": files.listed},
        f"{GLM}/files/{{id}}": {"GET": files.retrieve, "DELETE": files.delete},
        f"{GLM}/files/{{id}}/content": {"GET": files.content},
        f"{GLM}/batches": {"POST": batches.create, "GET": batches.listed},
        f"{GLM}/batches/{{id}}": {"GET": batches.retrieve},
        f"{GLM}/batches/{{id}}/cancel": {"POST": batches.cancel},
        f"{GLM}/fine_tuning/jobs": {"POST": tuning.create, "GET": tuning.listed},
        f"{GLM}/fine_tuning/jobs/{{id}}": {"GET": tuning.retrieve, "DELETE": tuning.delete},
        f"{GLM}/fine_tuning/jobs/{{id}}/cancel": {"POST": tuning.cancel},
        f"{GLM}/fine_tuning/jobs/{{id}}/events": {"GET": tuning.events},
        # The documentation names the first address, both official SDKs use the second.
        "/api/v1/agents": {"POST": agents.invoke},
        "/api/v1/agents/async-result": {"POST": agents.result},
        f"{GLM}/v1/agents": {"POST": agents.invoke},
        f"{GLM}/v1/agents/async-result": {"POST": agents.result},
    },
    Dialect.FLAT: {
        f"{APPLICATIONS}/v3/application/invoke": {"POST": applications.invoke},
        f"{APPLICATIONS}/v2/application/{{app_id}}/variables": {"GET": applications.variables},
        f"{APPLICATIONS}/v2/application/{{app_id}}/conversation": {"POST": applications.conversation},
        f"{APPLICATIONS}/v2/application/file_upload": {"POST": applications.upload},
        f"{APPLICATIONS}/v2/application/file_stat": {"POST": applications.file_state},
    },
    Dialect.OPENAI: {
        "/v1/chat/completions": {"POST": chat.complete_as_openai},
        "/v1/models": {"GET": chat.models},
    },
}


async def _unknown(exchange: Exchange) -> Reply:
    raise Refusal("1222" if exchange.record.path.startswith("/api/") else "404", exchange.record.path)


def build_app(service: Service, *, keyed_control: bool = False) -> ASGIApp:
    """The whole sandbox as one ASGI application.

    Args:
        service: what it serves.
        keyed_control: the control addresses ask for a key too.
    """
    tuning.restore(service)
    routes = [
        Route(path, Handler(service, works, dialect))
        for dialect, addresses in ADDRESSES.items()
        for path, works in addresses.items()
    ]
    router = Router(
        routes=[*routes, *control.routes(service, keyed_control)],
        default=Handler(service, {}, otherwise=_unknown),
        redirect_slashes=False,
    )
    return Guard(router, any_name=keyed_control)
