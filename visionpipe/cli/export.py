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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="XMP: replace descriptions that somebody else wrote.")
    ] = False,
) -> None:
    """Write an output from a job's journal."""
    from visionpipe.cli.outputs import Locator
    from visionpipe.errors import ParameterError
    from visionpipe.pipeline.reading import recorded_results, recorded_schema
    from visionpipe.sinks.opening import SinkOptions, open_sink
    from visionpipe.sinks.sink import export as write_all

    if not output:
        raise ParameterError("no output is named", cure="Name one with -o.", subject="--output")
    failed = False
    with closing(Locator(journal, images)) as locate:
        options = SinkOptions(
            locate=locate, naming=naming, overwrite=overwrite, schema=recorded_schema(journal)
        )
        for spec in output:
            written, refused = write_all(recorded_results(journal), open_sink(spec, options))
            typer.echo(f"{spec}: {written} items", err=True)
            for error in refused:
                typer.echo(f"not written: {error}", err=True)
                failed = True
    if failed:
        raise typer.Exit(1)
