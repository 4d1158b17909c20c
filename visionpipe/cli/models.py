"""``visionpipe models``: what the registry knows, as a table, or one record with its sources."""

from __future__ import annotations

import sys
from dataclasses import asdict, fields
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from visionpipe.cli import options as connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visionpipe.registry.records import ModelRecord
    from visionpipe.registry.table import EndpointRow, ModelRow

_PIPE_WIDTH = 200
_ONLY_IN_DETAIL = {"image_limit", "tools", "state", "endpoints"}


def models(
    name: Annotated[str | None, typer.Argument(help="Show this model's record, with sources.")] = None,
    endpoints: Annotated[bool, typer.Option("--endpoints", help="List endpoints instead.")] = False,
    catalog: connection.Catalog = None,
    as_json: connection.AsJson = False,
) -> None:
    """Show the known models: limits, abilities, prices and where each fact comes from."""
    import orjson

    from visionpipe.errors import ConfigurationError
    from visionpipe.registry.lookup import Registry
    from visionpipe.registry.table import endpoint_rows, model_rows

    registry = Registry.load([catalog] if catalog else [])
    if name is not None:
        if not registry.knows(name):
            near = registry.suggest(name)
            raise ConfigurationError(
                "the catalog does not know it",
                cure=f"Did you mean {' or '.join(near)}?" if near else "`visionpipe models` lists them all.",
                subject=name,
            )
        record = registry.model(name)
        if as_json:
            typer.echo(record.model_dump_json(indent=2))
        else:
            _print_record(record)
        return
    rows: Sequence[ModelRow] | Sequence[EndpointRow]
    rows = endpoint_rows(registry) if endpoints else model_rows(registry)
    if as_json:
        typer.echo(orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2))
    else:
        _print_table(rows)
        if registry.read is not None:
            typer.echo(_age(registry.read, date.today()))


def _age(read: date, today: date) -> str:
    """How old the built-in catalog is."""
    days = max(0, (today - read).days)
    old = "today" if days == 0 else "1 day ago" if days == 1 else f"{days} days ago"
    return (
        f"Looked up on {read} ({old}); prices and limits change. `visionpipe models NAME` names the sources."
    )


def _print_table(rows: Sequence[ModelRow] | Sequence[EndpointRow]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # What reads the output of a pipe has no width, so nothing is folded there.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heads = [field.name for field in fields(rows[0]) if field.name not in _ONLY_IN_DETAIL]
    for head in heads:
        table.add_column(head.replace("_", " "), no_wrap=head in {"model", "endpoint"}, overflow="fold")
    for row in rows:
        table.add_row(*(getattr(row, head) for head in heads))
    console.print(table)


def _print_record(record: ModelRecord) -> None:
    for field_name, value in record.model_dump(mode="json", exclude={"sources", "doubts"}).items():
        if value not in (None, [], {}, ""):
            typer.echo(f"{field_name}: {value}")
    for title, texts in (("sources", record.sources), ("doubts", record.doubts)):
        if texts:
            typer.echo(f"\n{title}")
            for field_name, text in texts.items():
                typer.echo(f"  {field_name}: {text}")
