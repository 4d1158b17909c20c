"""``visionpipe models``: what the registry knows, as a table, or one record with its sources."""

from __future__ import annotations

from dataclasses import asdict, astuple, fields
from typing import TYPE_CHECKING, Annotated

import typer

from visionpipe.cli import connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visionpipe.registry.records import ModelRecord
    from visionpipe.registry.table import EndpointRow, ModelRow


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


def _print_table(rows: Sequence[ModelRow] | Sequence[EndpointRow]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heads = [field.name.replace("_", " ") for field in fields(rows[0])]
    for head in heads:
        table.add_column(head, no_wrap=head in {"model", "endpoint"}, overflow="fold")
    for row in rows:
        table.add_row(*astuple(row))
    console.print(table, width=max(console.width, 160) if not console.is_terminal else None)


def _print_record(record: ModelRecord) -> None:
    for field_name, value in record.model_dump(mode="json", exclude={"sources", "doubts"}).items():
        if value not in (None, [], {}, ""):
            typer.echo(f"{field_name}: {value}")
    for title, texts in (("sources", record.sources), ("doubts", record.doubts)):
        if texts:
            typer.echo(f"\n{title}")
            for field_name, text in texts.items():
                typer.echo(f"  {field_name}: {text}")
