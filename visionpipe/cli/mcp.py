"""``visionpipe mcp``: tools for agents, over stdio or HTTP on loopback."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionpipe.cli import options as connection
from visionpipe.cli.caption import caps
from visionpipe.cli.sandbox import listen
from visionpipe.errors import missing_extra

if TYPE_CHECKING:
    import socket

    from visionpipe.pipeline.budget import Budget


def mcp(
    root: Annotated[
        list[Path] | None,
        typer.Option(help="A folder whose files may be read; may be repeated. Default the current one."),
    ] = None,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    header: connection.Header = None,
    sticky: connection.Sticky = False,
    lang: connection.Lang = None,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP, at /mcp, instead of stdio.")] = False,
    host: Annotated[
        str, typer.Option(help="Address for --http; another than loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port for --http; 0 takes a free one.", min=0, max=65535)] = 8012,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VISIONPIPE_MCP_TOKEN",
            help="Ask every HTTP request for this bearer token. The environment variable keeps it out of "
            "the list of processes.",
        ),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let links reach private and loopback addresses.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="Most money until the server ends, such as '5 CNY'.")
    ] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Most tokens in all.")] = None,
    budget_requests: Annotated[int | None, typer.Option(help="Most requests in all.")] = None,
) -> None:
    """Offer describe, ask, read_text, extract, compare, watch, check and models to agents (MCP)."""
    import asyncio

    try:
        from visionpipe.serve.mcp import Roots
    except ImportError as error:
        raise missing_extra(f"the server for agents needs {error.name}", "mcp") from error
    from visionpipe.pipeline.budget import Budget

    limits = caps(budget, budget_tokens, budget_requests)
    roots = Roots(root or [Path()])
    arguments = {
        "model": model,
        "base_url": base_url,
        "catalog": catalog,
        "lang": lang,
        "sticky": sticky,
        "headers": connection.headers_of(header),
    }
    listener = None
    if http:
        secret, cure = token is not None, "Give a token in VISIONPIPE_MCP_TOKEN, or with --token."
        listener = listen(host, port, secret=secret, open_to="without a token", cure=cure)
    with suppress(KeyboardInterrupt):
        asyncio.run(
            _serve(arguments, roots, Budget(limits) if limits else None, listener, token, allow_private)
        )


async def _serve(
    arguments: dict[str, Any],
    roots: Any,
    budget: Budget | None,
    listener: socket.socket | None,
    token: str | None,
    allow_private: bool,
) -> None:
    from ipaddress import ip_address

    from visionpipe.sandbox.loopback import address
    from visionpipe.serve.mcp import BudgetedClient, build_server, serve_http

    try:
        async with BudgetedClient(**arguments, budget=budget) as client:
            connection.hint_at_model(client.settings)
            server = build_server(client, roots, allow_private=allow_private)
            if listener is None:
                await server.run_stdio_async()
                return
            typer.echo(f"MCP     {address(listener)}/mcp   (Ctrl+C stops)", err=True)
            local = ip_address(listener.getsockname()[0]).is_loopback
            await serve_http(server, listener, token=token, any_name=not local)
    finally:
        if listener is not None:
            listener.close()
