"""``visionpipe review``: a page on this machine to look through a job's answers and correct them."""

from __future__ import annotations

import getpass
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionpipe.cli import options as connection
from visionpipe.errors import VisionPipeError, missing_extra

if TYPE_CHECKING:
    from visionpipe.client import Client
    from visionpipe.pipeline.ledger import Ledger
    from visionpipe.pipeline.part_mirror import PartMirror

LOOK_EVERY_S = 10.0
"""Between two looks for what others have stored in a directory of parts."""


def review(
    journal: Annotated[
        str,
        typer.Argument(
            metavar="JOURNAL",
            help="The job's journal, such as captions.jsonl.journal, or directory of parts.",
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder the images are in now; default where the job found them. A directory of parts "
            "does not know that."
        ),
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
        with closing(Locator(reviewer.journal, images)) as own:
            options = SinkOptions(
                locate=own,
                start_over=True,
                schema=recorded_schema(reviewer.journal),
                answers=own.answers,
                prompt=own.prompt,
            )
            outputs = list(export_outputs(reviewer.journal, [str(asked["output"])], options))
        lines = [f"{done.spec}: {done.written}" for done in outputs]
        return {"lines": lines + [str(error) for done in outputs for error in done.refused]}

    listener = listen(LOOPBACK, port, secret=True, open_to="", cure="")
    with ExitStack() as ends:
        ends.callback(listener.close)
        mirror = ends.enter_context(_mirrored(journal, name)) if _is_parts(journal) else None
        path = Path(journal) if mirror is None else mirror.path
        locate = ends.enter_context(closing(Locator(path, images)))
        edits = None if mirror is None else mirror.edits
        reviewer = ends.enter_context(closing(Reviewer(path, name, locate, edits=edits, title=journal)))
        arrivals = Arrivals((lambda: False) if mirror is None else mirror.refresh)
        parts = None if mirror is None else partial(_writer, journal, mirror)
        asking = AskingAgain(reviewer, make_client, caps, own_presets(), parts, arrivals.look_now)
        again = ends.enter_context(closing(asking))
        presets = [*PRESETS, *own_presets()]
        app = ReviewApp(
            reviewer,
            listener,
            {"ask": again.start, "export": export},
            lambda: {"asking": again.state, "presets": presets, "exports": True, **arrivals.look()},
        )
        # Once before anybody waits for it, so that the first page is as quick as the others.
        reviewer.page(reviewer.filter({}), None, 60)
        typer.echo(f"review  {app.url}", err=True)
        typer.echo("The address works once, in one browser of this machine. Ctrl+C stops.", err=True)
        if browser:
            import webbrowser

            webbrowser.open(app.url)
        serve(app, listener)


class Arrivals:
    """Looks for what others have stored in a directory of parts, now and then.

    Args:
        refresh: looks, and says whether there was anything.
    """

    def __init__(self, refresh: Callable[[], bool]) -> None:
        self._refresh = refresh
        self._lock = threading.Lock()
        self._count = 0
        self._at = time.monotonic()
        self._trouble: str | None = None

    def look(self) -> dict[str, Any]:
        """How often there was something, and why looking failed the last time."""
        with self._lock:
            if time.monotonic() - self._at >= LOOK_EVERY_S:
                try:
                    self._count += self._refresh()
                    self._trouble = None
                except VisionPipeError as error:
                    self._trouble = str(error)
                self._at = time.monotonic()
            return {"fresh": self._count, "trouble": self._trouble}

    def look_now(self) -> None:
        """Looks at once.

        Raises:
            VisionPipeError: what is there cannot be read.
        """
        with self._lock:
            self._count += self._refresh()


def _is_parts(place: str) -> bool:
    from visionpipe.cli.parts import is_parts

    return is_parts(place) or Path(place).is_dir()


@contextmanager
def _mirrored(address: str, who: str) -> Iterator[PartMirror]:
    """What is in a directory of parts, in a journal that is gone afterwards."""
    from visionpipe.files.stores import open_store

    try:
        from visionpipe.pipeline.part_mirror import PartMirror
    except ImportError as missing:
        raise missing_extra("a directory of parts needs pyarrow", "parquet", subject=address) from missing

    def tell(read: int, total: int) -> None:
        if read % 100 == 0 or read == total:
            typer.echo(f"read {read} of {total} parts", err=True)

    with tempfile.TemporaryDirectory(prefix="visionpipe-review-") as folder:
        yield PartMirror(open_store(address), Path(folder) / "parts.journal", who, tell)


def _writer(address: str, mirror: PartMirror) -> Ledger:
    """A writer of further answers, which are older than the job's, so that outputs show the job's."""
    from visionpipe.pipeline.part_writer import PartsLedger

    begun = mirror.begun - 1.0
    return PartsLedger(address, now=lambda: begun)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reviewer"
