"""``visionpipe check``: what a caption run would send, change, refuse and cost. Sends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionpipe.cli import caption as main_job
from visionpipe.cli import options as connection
from visionpipe.cli.caption import nothing_found
from visionpipe.cli.options import SchemaFile, chosen_schema, one_line

if TYPE_CHECKING:
    from visionpipe.pipeline.plan import PlanItem, PlanTotals


_MOST_REFUSED = 100
"""Lines of refused items that wait for the totals."""


def check(
    sources: main_job.Sources_,
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="As for caption; names the journal, and is no item of a folder."),
    ] = None,
    prompt: main_job.PromptText = None,
    preset: main_job.PresetNames = None,
    schema: SchemaFile = None,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    header: connection.Header = None,
    lang: connection.Lang = None,
    max_tokens: connection.MaxTokens = None,
    max_side: connection.MaxSide = None,
    max_pixels: connection.MaxPixels = None,
    concurrency: main_job.Concurrency = 64,
    near_duplicates: main_job.Near = None,
    column: main_job.Column = None,
    naming: main_job.Naming = None,
    journal: Annotated[Path | None, typer.Option(help="A job's journal: what it holds is kept.")] = None,
    via: Annotated[
        str, typer.Option(help="As for caption: calls, or batch, which only some models know.")
    ] = "calls",
    count: Annotated[
        bool, typer.Option("--count", help="Have the service count the tokens; sends the pictures to it.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="The totals first, then only what is refused.")
    ] = False,
    as_json: connection.AsJson = False,
) -> None:
    """Show what would be sent, changed, refused, and cost. Sends nothing, but for --count."""
    import orjson

    from visionpipe.cli.outputs import default_journal, own_files
    from visionpipe.client.settings import can_count, require, require_model
    from visionpipe.pipeline.pipeline import Pipeline

    if output and journal is None:
        journal = default_journal(output, sources)
    own = own_files(output or (), sources, journal, naming)
    make = connection.make_client if count else connection.planning_client
    asked = main_job.chosen_prompt(prompt, preset)
    with make(model, base_url, catalog, lang, header) as client:
        if main_job.in_batches(via):
            require(client.settings, "batches")
            require_model(client.settings, client.settings.model, "batches")
        pipeline = Pipeline(
            asked,
            client=client,
            options=connection.call_options(max_tokens=max_tokens, max_side=max_side, max_pixels=max_pixels),
            schema=chosen_schema(schema, asked),
            journal=journal,
            concurrency=concurrency,
            near_duplicates=near_duplicates,
        )
        plan = pipeline.plan(main_job.listing(sources, column, own), count=count)
        refused: list[str] = []
        for item in plan:
            if as_json:
                typer.echo(orjson.dumps(item.to_json()))
            elif not quiet:
                typer.echo(one_line(_line(item)))
            elif item.fate == "refuse" and len(refused) < _MOST_REFUSED:
                refused.append(one_line(_line(item)))
        if as_json:
            typer.echo(orjson.dumps({"totals": plan.totals.to_json()}))
        else:
            record = client.settings.model
            exact = count and can_count(client, record)
            _print_totals(plan.totals, record.id, "the service" if exact else record.tokens.source)
            for line in refused:
                typer.echo(line)
    if plan.totals.items == plan.totals.fates["skip"]:
        typer.echo(f"visionpipe: {nothing_found(sources, plan.totals.reasons)}", err=True)
        raise typer.Exit(1)
    if plan.totals.fates["refuse"]:
        raise typer.Exit(1)


def _line(item: PlanItem) -> str:
    match item.fate:
        case "send":
            tokens = f", about {item.tokens:,} tokens" if item.tokens is not None else ""
            changes = "; ".join(f"{a.kind}: {a.detail}" for a in item.adjustments)
            return f"send       {item.source}  {item.size:,} bytes{tokens}" + (
                f"  [{changes}]" if changes else ""
            )
        case "refuse" if item.failure is not None:
            return f"refuse     {item.source}  {item.failure.reason}. {item.failure.cure}"
        case _:
            return f"{item.fate:<10} {item.source}  {item.reason or ''}"


def _print_totals(totals: PlanTotals, model: str, source: str) -> None:
    counts = ", ".join(f"{count} to {fate}" for fate, count in totals.fates.items())
    typer.echo(f"\n{totals.items} items for {model}: {counts}; {totals.adjusted} with adjustments")
    money = " + ".join(str(amount) for amount in totals.cost.values()) or "not known"
    tokens = f"at most about {totals.tokens:,} tokens"
    if totals.uncounted:
        count = f"{totals.uncounted} item{'s' if totals.uncounted > 1 else ''}"
        tokens = (
            f"{tokens}, not counting {count} whose tokens nobody states"
            if totals.tokens
            else "tokens not known"
        )
    typer.echo(f"{totals.size:,} bytes, {tokens}, cost at most {money}")
    if source:
        typer.echo(f"tokens counted by: {source}")
    measured = "measured in the journal" if totals.measured else "assumed"
    seconds = max(totals.seconds, 1)
    typer.echo(
        f"about {seconds:,.0f} s at {totals.concurrency} at once, {totals.seconds_an_answer:g} s an answer "
        f"({measured})"
    )
