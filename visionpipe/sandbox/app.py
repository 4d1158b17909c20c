"""The routes: which address does what, in which dialect."""

from __future__ import annotations

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from visionpipe.sandbox import chat
from visionpipe.sandbox.course import Course
from visionpipe.sandbox.refusals import Dialect
from visionpipe.sandbox.service import Service

GLM = "/api/paas/v4"


def build_app(service: Service) -> ASGIApp:
    """The whole sandbox as one ASGI application."""
    return Router(
        routes=[
            Route(f"{GLM}/chat/completions", Course(service, {"POST": chat.complete})),
            Route("/v1/chat/completions", Course(service, {"POST": chat.complete}, Dialect.OPENAI)),
        ]
    )
