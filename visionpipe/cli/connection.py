"""Options that say whom to ask, shared by the commands that ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from visionpipe.client.client import Client
    from visionpipe.client.options import CallOptions

Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Model id; default the endpoint's own. See `models`.")
]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="An endpoint's URL, its registered name (zai, ollama, ...), or name+URL."),
]
Catalog = Annotated[
    Path | None, typer.Option(help="A TOML file with models and endpoints of your own.", dir_okay=False)
]
Lang = Annotated[str | None, typer.Option(help="Language of the built-in prompts: en or zh.")]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens of an answer.")]
Temperature = Annotated[float | None, typer.Option(help="0.0 to 1.0; not together with --top-p.")]
TopP = Annotated[float | None, typer.Option(help="0.0 to 1.0; not together with --temperature.")]
Thinking = Annotated[str | None, typer.Option(help="on or off, where the model can switch.")]
MaxSide = Annotated[int | None, typer.Option(help="Shrink images over this many pixels a side.", min=16)]
Fetch = Annotated[bool, typer.Option("--fetch", help="Download linked images and send their bytes.")]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Let --fetch reach private and loopback addresses.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def make_client(model: str | None, base_url: str | None, catalog: Path | None, lang: str | None) -> Client:
    """A client from the options; keys come from the environment, never from the command line."""
    from visionpipe.client.client import Client

    return Client(model, base_url=base_url, catalog=catalog, lang=lang)


def planning_client(
    model: str | None, base_url: str | None, catalog: Path | None, lang: str | None
) -> Client:
    """A client that prepares and estimates, and needs no key."""
    from visionpipe.client.client import Client

    return Client(model, base_url=base_url, catalog=catalog, lang=lang, plan_only=True)


def call_options(
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    thinking: str | None = None,
    max_side: int | None = None,
    fetch: bool = False,
    allow_private: bool = False,
) -> CallOptions:
    """The options that were given, and no others.

    Raises:
        ParameterError: ``thinking`` is neither on nor off.
    """
    from visionpipe.client.options import CallOptions
    from visionpipe.errors import ParameterError

    options = CallOptions(fetch=fetch, allow_private=allow_private)
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if temperature is not None:
        options["temperature"] = temperature
    if top_p is not None:
        options["top_p"] = top_p
    match thinking:
        case None:
            pass
        case "on":
            options["thinking"] = "on"
        case "off":
            options["thinking"] = "off"
        case _:
            raise ParameterError(f"{thinking!r} is neither", cure="Use on or off.", subject="--thinking")
    if max_side is not None:
        options["max_side"] = max_side
    return options
