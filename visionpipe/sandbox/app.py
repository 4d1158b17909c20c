"""The routes: which address does what, in which dialect."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from visionpipe.sandbox import (
    agents,
    applications,
    batches,
    chat,
    control,
    files,
    openai_face,
    tasks,
    tokenizer,
    tuning,
)
from visionpipe.sandbox.course import Course, Work
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.refusals import Dialect, Refusal
from visionpipe.sandbox.replies import Reply
from visionpipe.sandbox.service import Service

GLM = "/api/paas/v4"
APPLICATIONS = "/api/llm-application/open"

ADDRESSES: Mapping[Dialect, Mapping[str, Mapping[str, Work]]] = {
    Dialect.GLM: {
        f"{GLM}/chat/completions": {"POST": chat.complete},
        f"{GLM}/async/chat/completions": {"POST": tasks.submit},
        f"{GLM}/async-result/{{id}}": {"GET": tasks.result},
        f"{GLM}/tokenizer": {"POST": tokenizer.count},
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
        "/v1/chat/completions": {"POST": openai_face.complete},
        "/v1/models": {"GET": openai_face.models},
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
        Route(path, Course(service, works, dialect))
        for dialect, addresses in ADDRESSES.items()
        for path, works in addresses.items()
    ]
    return Router(
        routes=[*routes, *control.routes(service, keyed_control)],
        default=Course(service, {}, otherwise=_unknown),
        redirect_slashes=False,
    )
