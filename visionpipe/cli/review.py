"""``visionpipe review``: a page on this machine to look through a job's answers and correct them."""

from __future__ import annotations

import getpass
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from visionpipe.errors import ConfigurationError, missing_extra


def review(
    journal: Annotated[Path, typer.Argument(help="The job's journal, such as captions.jsonl.journal.")],
    images: Annotated[
        Path | None,
        typer.Option(help="The folder the images are in now; default where the job found them."),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Your name in the history; default the login name.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Look through a job's answers in the browser: edit, accept, reject, undo."""
    try:
        from visionpipe.serve.app import ReviewApp, refused_name, serve
    except ImportError as error:
        raise missing_extra(f"the review page needs {error.name}", "serve") from error
    from visionpipe.cli.outputs import Locator
    from visionpipe.sandbox.loopback import LOOPBACK, bind
    from visionpipe.serve.review import Reviewer

    name = _login() if who is None else who
    refused = refused_name(name)
    if refused is not None:
        raise refused
    with closing(Locator(journal, images)) as locate, closing(Reviewer(journal, name, locate)) as reviewer:
        try:
            listener = bind(LOOPBACK, port)
        except OSError as error:
            raise ConfigurationError(
                f"the address cannot be had: {error.strerror}",
                subject=f"{LOOPBACK}:{port}",
                cure="Choose another --port, or leave it out for a free one.",
            ) from error
        app = ReviewApp(reviewer, listener)
        typer.echo(f"review  {app.url}", err=True)
        typer.echo("The address works once, in one browser of this machine. Ctrl+C stops.", err=True)
        if browser:
            import webbrowser

            webbrowser.open(app.url)
        serve(app, listener)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reviewer"
