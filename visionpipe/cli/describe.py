"""``visionpipe describe``: one answer about one or several images, streamed to a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from visionpipe.cli import options as connection

if TYPE_CHECKING:
    from visionpipe.reply import Reply


def describe(
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, URLs or places in an object store; - reads one from stdin."),
    ],
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="Ask this instead.")] = None,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    header: connection.Header = None,
    lang: connection.Lang = None,
    max_tokens: connection.MaxTokens = None,
    temperature: connection.Temperature = None,
    top_p: connection.TopP = None,
    thinking: connection.Thinking = None,
    reasoning_effort: connection.Effort = None,
    system: connection.System = None,
    extra: connection.Extra = None,
    max_side: connection.MaxSide = None,
    max_pixels: connection.MaxPixels = None,
    fetch: connection.Fetch = False,
    allow_private: connection.AllowPrivate = False,
    publish: connection.Publish = None,
    as_json: connection.AsJson = False,
) -> None:
    """Describe images, or ask about them, in one answer."""
    import orjson

    from visionpipe.prompts.presets import describe as preset

    options = connection.call_options(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        thinking=thinking,
        reasoning_effort=reasoning_effort,
        system=system,
        extra=extra,
        max_side=max_side,
        max_pixels=max_pixels,
        fetch=fetch,
        allow_private=allow_private,
    )
    if publish is not None:
        options["publisher"] = connection.publisher_named(publish)
    sources = [sys.stdin.buffer.read() if image == "-" else image for image in images]
    with connection.make_client(model, base_url, catalog, lang, header) as client:
        if prompt is not None:
            from visionpipe.pipeline.job_setup import refuse_purpose

            refuse_purpose(client.settings.model, prompt, None)
        question = prompt or preset.text(client.settings.lang)
        if as_json or not sys.stdout.isatty():
            reply = client.ask(question, *sources, **options)
            typer.echo(orjson.dumps(reply.to_json(), option=orjson.OPT_INDENT_2) if as_json else reply.text)
        else:
            with client.stream(question, *sources, **options) as stream:
                for piece in stream:
                    typer.echo(piece, nl=False)
                typer.echo()
                reply = stream.reply
        if not as_json:
            _say_what_happened(reply)


def _say_what_happened(reply: Reply) -> None:
    for adjustment in reply.adjustments:
        typer.echo(f"adjusted: {adjustment}", err=True)
    for note in reply.notes:
        typer.echo(f"note: {note.kind}, {note.detail}", err=True)
