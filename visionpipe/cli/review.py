"""``visionpipe review``: a page on this machine to look through a job's answers and correct them."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionpipe.cli import options as connection
from visionpipe.errors import missing_extra

if TYPE_CHECKING:
    from visionpipe.client import Client


def review(
    journal: Annotated[Path, typer.Argument(help="The job's journal, such as captions.jsonl.journal.")],
    images: Annotated[
        Path | None,
        typer.Option(help="The folder the images are in now; default where the job found them."),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Your name in the history; default the login name.")] = None,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    header: connection.Header = None,
    lang: connection.Lang = None,
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
    from visionpipe.cli.caption import caps
    from visionpipe.cli.outputs import Locator, export_outputs
    from visionpipe.cli.sandbox import listen
    from visionpipe.client.settings import own_presets
    from visionpipe.pipeline.reading import recorded_schema
    from visionpipe.prompts.presets import PRESETS
    from visionpipe.sandbox.loopback import LOOPBACK
    from visionpipe.serve.again import AskingAgain
    from visionpipe.serve.review import Reviewer
    from visionpipe.sinks.opening import SinkOptions

    name = _login() if who is None else who
    refused = refused_name(name)
    if refused is not None:
        raise refused

    def make_client(wanted: str | None) -> Client:
        return connection.make_client(wanted or model, base_url, catalog, lang, header)

    def export(reviewer: Reviewer, asked: Mapping[str, Any]) -> dict[str, list[str]]:
        with closing(Locator(journal, images)) as own:
            options = SinkOptions(
                locate=own,
                start_over=True,
                schema=recorded_schema(journal),
                answers=own.answers,
                prompt=own.prompt,
            )
            outputs = list(export_outputs(journal, [str(asked["output"])], options))
        lines = [f"{done.spec}: {done.written}" for done in outputs]
        return {"lines": lines + [str(error) for done in outputs for error in done.refused]}

    listener = listen(LOOPBACK, port, secret=True, open_to="", cure="")
    with ExitStack() as ends:
        ends.callback(listener.close)
        locate = ends.enter_context(closing(Locator(journal, images)))
        reviewer = ends.enter_context(closing(Reviewer(journal, name, locate)))
        again = ends.enter_context(closing(AskingAgain(reviewer, make_client, caps, own_presets())))
        presets = [*PRESETS, *own_presets()]
        app = ReviewApp(
            reviewer,
            listener,
            {"ask": again.start, "export": export},
            lambda: {"asking": again.state, "presets": presets, "exports": True},
        )
        # Once before anybody waits for it, so that the first page is as quick as the others.
        reviewer.page(reviewer.filter({}), None, 60)
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
