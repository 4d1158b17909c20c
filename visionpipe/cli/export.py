"""``visionpipe export``: an output written again from a job's journal, also while the job is running."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from visionpipe.cli import caption as main_job


def export(
    journal: Annotated[Path, typer.Argument(help="The job's journal, such as captions.jsonl.journal.")],
    output: main_job.Outputs_ = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder the images are in now, for galleries, shards and sidecars; default where "
            "the job found them."
        ),
    ] = None,
    naming: main_job.Naming = None,
    existing: main_job.Existing_ = "keep",
    include_skipped: main_job.IncludeSkipped = False,
    prefix: main_job.Prefix = "",
    suffix: main_job.Suffix = "",
) -> None:
    """Write an output from a job's journal."""
    from visionpipe.cli.outputs import Locator, export_outputs, kept_line, tidied_line
    from visionpipe.errors import ParameterError
    from visionpipe.pipeline.reading import recorded_schema
    from visionpipe.sinks.opening import SinkOptions
    from visionpipe.sinks.ownership import chosen_existing
    from visionpipe.stages.plain_text import TextForm

    if not output:
        raise ParameterError("no output is named", cure="Name one with -o.", subject="--output")
    failed = False
    with closing(Locator(journal, images)) as locate:
        options = SinkOptions(
            locate=locate,
            naming=naming,
            existing=chosen_existing(existing),
            include_skipped=include_skipped,
            start_over=True,
            text=TextForm(prefix, suffix),
            schema=recorded_schema(journal),
        )
        for done in export_outputs(journal, output, options):
            typer.echo(f"{done.spec}: {done.written} items", err=True)
            if done.unreadable:
                words = "results in the journal cannot be read; run the job again to ask for them"
                typer.echo(f"{done.unreadable} {words}", err=True)
            if done.kept:
                typer.echo(kept_line(done.kept), err=True)
            if done.tidied:
                typer.echo(tidied_line(done.tidied), err=True)
            for error in done.refused:
                typer.echo(f"not written: {error}", err=True)
                failed = True
    if failed:
        raise typer.Exit(1)
