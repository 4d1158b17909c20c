"""``visionpipe sandbox``: the GLM-protocol server on loopback, with faults on demand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visionpipe.errors import ConfigurationError, missing_extra

if TYPE_CHECKING:
    import socket

    from visionpipe.sandbox.service import Service


_OWN_KEY = "Give a key of your own with --key id.secret."


def sandbox(
    host: Annotated[
        str, typer.Option(help="Address to bind to; another than loopback needs --key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8011,
    key: Annotated[list[str] | None, typer.Option(help="A key to take (id.secret); may be repeated.")] = None,
    answers: Annotated[
        Literal["engine", "saw", "saw_json", "script"],
        typer.Option(help="Who answers: the embedded engine, a report of what arrived, or the scenario."),
    ] = "engine",
    scenario: Annotated[
        Path | None, typer.Option(help="File of faults and scripted answers (TOML, JSON).")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Most requests in flight per key and model.")
    ] = None,
    total: Annotated[int | None, typer.Option(help="Most requests in flight in all.")] = None,
    serves: Annotated[
        int | None,
        typer.Option(help="Answer so many at once and let the rest wait, as a model server does.", min=1),
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A further model id; may be repeated.")] = None,
    lenient: Annotated[
        bool, typer.Option(help="Take data URIs, base64 videos and unknown keys too.")
    ] = False,
    url_only: Annotated[bool, typer.Option(help="Refuse base64 where the model's own page does.")] = False,
    decode: Annotated[bool, typer.Option(help="Decode every image's pixels, not only its header.")] = False,
    fetch_links: Annotated[
        bool, typer.Option(help="Fetch linked images and videos, from private addresses too.")
    ] = False,
    max_body_mb: Annotated[int, typer.Option(help="Refuse larger request bodies, in MiB.")] = 384,
    state: Annotated[
        Path | None, typer.Option(help="SQLite file for files, batches, tasks and jobs.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Append one JSON line a request to this file.")] = None,
    catalog: Annotated[Path | None, typer.Option(help="Registry overlay file.")] = None,
) -> None:
    """Serve the GLM protocol on loopback, strictly, with faults on demand."""
    try:
        from visionpipe.sandbox.loopback import address
        from visionpipe.sandbox.server import serve
    except ImportError as error:
        raise missing_extra(f"the sandbox needs {error.name}", "sandbox") from error
    from visionpipe.sandbox.scenario import DEFAULT_KEY, Options, Scenario, read_scenario
    from visionpipe.sandbox.service import Service

    options = Options(
        keys=tuple(key or [DEFAULT_KEY]),
        answers=answers,
        lenient=lenient,
        url_only=url_only,
        decode=decode,
        fetch_links=fetch_links,
        per_model=concurrency,
        total=total,
        serves=serves,
        models=tuple(model or ()),
        max_body_bytes=max_body_mb * 1024 * 1024,
        scenario=read_scenario(scenario) if scenario else Scenario(),
        state=state,
        log=log,
        overlay=catalog,
    )
    listener = listen(host, port, secret=bool(key), open_to="with its published key", cure=_OWN_KEY)
    try:
        service = Service(options)
    except BaseException:
        listener.close()
        raise
    url = address(listener)
    typer.echo(f"GLM     {url}/api/paas/v4", err=True)
    typer.echo(f"OpenAI  {url}/v1", err=True)
    typer.echo(f"key     {options.keys[0]}", err=True)
    typer.echo(f"stats   {url}/stats   (Ctrl+C stops)", err=True)
    serve(service, listener)
    typer.echo(_last_line(service), err=True)


def listen(host: str, port: int, *, secret: bool, open_to: str, cure: str) -> socket.socket:
    """A socket bound for a server of this command line.

    Args:
        secret: whether callers need what only the user knows; else no address but loopback will do.
        open_to: how others could reach it without, in words.
        cure: how such a secret is given.

    Raises:
        ConfigurationError: the address is none, is open to others without a secret, or cannot be had.
    """
    from ipaddress import ip_address

    from visionpipe.sandbox.loopback import bind

    name = "127.0.0.1" if host == "localhost" else host
    try:
        local = ip_address(name).is_loopback
    except ValueError:
        raise ConfigurationError(
            "it is not an IP address", subject=host, cure="Give --host as an address, such as 127.0.0.1."
        ) from None
    if not local and not secret:
        raise ConfigurationError(
            f"others could reach it {open_to}",
            subject=host,
            cure=cure,
        )
    try:
        return bind(name, port)
    except OSError as error:
        raise ConfigurationError(
            f"the address cannot be had: {error.strerror}",
            subject=f"{host}:{port}",
            cure="Choose another --port, or --port 0 for a free one.",
        ) from error


def _last_line(service: Service) -> str:
    figures = service.figures()
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(figures["per_code"].items()))
    most = figures["in_flight_max"]
    return f"{figures['requests']} requests, {most} at most in flight, refused: {codes or 'none'}"
