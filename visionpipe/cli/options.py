"""Options that several commands share: whom to ask, what to do about poor answers, schemas, publishing; and
names and messages as one line of text that is safe to show.

A file's name may hold anything, a line break or a terminal's escape sequence too; what is printed about it
stays one line and steers no terminal. Files and JSON hold names as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from visionpipe.stages.quality_policy import KINDS, STANDARD, Action, QualityPolicy

if TYPE_CHECKING:
    from visionpipe.client import Client
    from visionpipe.client.options import CallOptions
    from visionpipe.client.settings import Settings
    from visionpipe.sources.publish import Publisher

# Controls and line ends, the marks that turn the direction of writing, and halves of characters, which no
# encoding takes (a name on disk that is not UTF-8).
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSAFE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def one_line(text: str) -> str:
    """``text`` with what cannot be shown in a line written as in Python's string literals."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if char in _TURNING or unicodedata.category(char) in _UNSAFE
        else char
        for char in text
    )


Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Model id; default the endpoint's own. See `models`.")
]
BaseUrl = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="An endpoint's URL, its registered name (zai, ollama, ...), or name+URL. Repeatable: several "
        "servers of one kind share the work.",
    ),
]
Sticky = Annotated[
    bool,
    typer.Option(
        "--sticky",
        help="Of several servers, ask one about all that begins alike (system prompt, first picture or "
        "text), for servers that cache what they have read.",
    ),
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
MaxPixels = Annotated[
    int | None, typer.Option(help="Refuse images of more pixels, width x height; default 179 million.", min=1)
]
Fetch = Annotated[bool, typer.Option("--fetch", help="Download linked images and send their bytes.")]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Let --fetch reach private and loopback addresses.")
]
System = Annotated[str | None, typer.Option(help="Instructions that stand before the question.")]
Effort = Annotated[str | None, typer.Option(help="How much to think, where the model has such steps.")]
Extra = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=JSON", help="A further field of the request, such as seed=7. Repeatable."),
]
Header = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="An HTTP header for every request, such as a gateway's own key; shown and logged nowhere. "
        "Repeatable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def make_client(
    model: str | None,
    base_url: Sequence[str] | None,
    catalog: Path | None,
    lang: str | None,
    header: Sequence[str] | None = None,
    *,
    sticky: bool = False,
) -> Client:
    """A client from the options; keys come from the environment, never from the command line.

    Raises:
        ParameterError: a ``header`` is not KEY=VALUE.
    """
    from visionpipe.client import Client

    client = Client(
        model, base_url=base_url, catalog=catalog, lang=lang, headers=headers_of(header), sticky=sticky
    )
    hint_at_model(client.settings)
    return client


def headers_of(given: Sequence[str] | None) -> dict[str, str]:
    """What ``--header`` gave, by name.

    Raises:
        ParameterError: one is not KEY=VALUE.
    """
    return dict(map(_header, given or ()))


def hint_at_model(settings: Settings) -> None:
    """An id that the catalog does not know may be right; one that nearly is what it knows is rather not."""
    if settings.registry.knows(settings.model.id):
        return
    near = settings.registry.suggest(settings.model.id)
    if near:
        wanted = one_line(settings.model.id)
        typer.echo(
            f"visionpipe: the catalog does not know {wanted}; did you mean {' or '.join(near)}?", err=True
        )


def planning_client(
    model: str | None,
    base_url: Sequence[str] | None,
    catalog: Path | None,
    lang: str | None,
    header: Sequence[str] | None = None,
) -> Client:
    """A client that prepares and estimates, and needs no key; nothing is sent, and so no header."""
    from visionpipe.client import Client

    client = Client(model, base_url=base_url, catalog=catalog, lang=lang, plan_only=True)
    hint_at_model(client.settings)
    return client


def call_options(
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    thinking: str | None = None,
    max_side: int | None = None,
    max_pixels: int | None = None,
    fetch: bool = False,
    allow_private: bool = False,
    system: str | None = None,
    reasoning_effort: str | None = None,
    extra: Sequence[str] | None = None,
) -> CallOptions:
    """The options that were given, and no others.

    Raises:
        ParameterError: ``thinking`` is neither on nor off, or an ``extra`` is not KEY=JSON.
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
    if system is not None:
        options["system"] = system
    if reasoning_effort is not None:
        options["reasoning_effort"] = reasoning_effort
    if extra:
        options["extra"] = dict(map(_extra_field, extra))
    if max_pixels is not None:
        options["max_pixels"] = max_pixels
    return options


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        from visionpipe.errors import ParameterError

        # What was given may hold a key, and is not shown.
        raise ParameterError(
            "one of them is not KEY=VALUE",
            cure="Such as X-Gateway-Key=abc, with an equals sign and no colon.",
            subject="--header",
        )
    return name.strip(), value.strip()


def _extra_field(text: str) -> tuple[str, Any]:
    import orjson

    from visionpipe.errors import ParameterError

    key, equals, value = text.partition("=")
    try:
        if not key or not equals:
            raise ValueError("there is no = in it" if key else "there is no key")
        return key, orjson.loads(value)
    except ValueError as cause:
        raise ParameterError(
            f"{text!r} is not KEY=JSON ({cause})",
            cure="Such as seed=7, or 'user=\"me\"': a text stands in double quotes.",
            subject="--extra",
        ) from cause


_ACTIONS: dict[str, Action] = {name: name for name in get_args(Action)}


def _standing(action: str) -> str:
    return ", ".join(kind for kind in KINDS if STANDARD.action(kind) == action)


Quality = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=ACTION",
        help="What to do about a kind of poor answer: keep it with a note, reask once, or fail the item. By "
        f"default {_standing('reask')} are asked again, and {_standing('keep')} kept. Several may be given.",
    ),
]


def quality_policy(given: Sequence[str] | None) -> QualityPolicy:
    """The standard policy with what was given changed.

    Raises:
        ParameterError: not KIND=ACTION, or no such kind or action.
    """
    policy = STANDARD
    for entry in given or ():
        kind, _, action = entry.partition("=")
        if kind not in KINDS or action not in _ACTIONS:
            from visionpipe.errors import ParameterError

            raise ParameterError(
                f"{entry!r} does not say what to do about which answers",
                cure=f"Give KIND=ACTION: one of {', '.join(KINDS)}, and {' or '.join(_ACTIONS)}.",
                subject="--quality",
            )
        policy = replace(policy, **{kind: _ACTIONS[action]})
    return policy


SchemaFile = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        help="A file with a JSON Schema: answers are data that fits it, and tables have a column for each of "
        "its fields. Default the preset's.",
        dir_okay=False,
    ),
]


def chosen_schema(file: Path | None, prompt: Any) -> Any:
    """The schema in the file where one is given, else the preset's; None for plain text.

    Raises:
        ParameterError: the file cannot be read, or holds no JSON object.
    """
    if file is None:
        return getattr(prompt, "schema", None)
    import orjson

    from visionpipe.errors import ParameterError

    try:
        schema = orjson.loads(file.read_bytes())
    except (OSError, ValueError) as cause:
        raise ParameterError(
            f"no JSON Schema can be read from it ({cause})",
            cure="Give a file that holds one.",
            subject=str(file),
        ) from cause
    if not isinstance(schema, dict):
        raise ParameterError("it holds no JSON object", cure="Give a JSON Schema.", subject=str(file))
    return schema


Publish = Annotated[
    str | None,
    typer.Option(
        help="Where clips, and images for models that want links, are put for the service to fetch: "
        "a store (s3://bucket/prefix), or FOLDER=URL for a folder that a web server shows at URL.",
    ),
]


def publisher_named(text: str) -> Publisher:
    """The publisher that ``text`` names; a store's credentials come from its own environment variables.

    Raises:
        ParameterError: neither form.
        ConfigurationError: the store's library is not installed, or it is not known.
    """
    from visionpipe.errors import ParameterError
    from visionpipe.sources.publish import FolderPublisher, StorePublisher

    folder, equals, url = text.partition("=")
    if equals and folder and url.startswith(("http://", "https://")):
        return FolderPublisher(Path(folder), url)
    if "://" in text and not text.startswith(("http://", "https://")):
        return StorePublisher(text)
    raise ParameterError(
        "this names no place to publish at",
        cure="Give a store such as s3://bucket/prefix, or FOLDER=https://host/path.",
        subject=f"--publish {text}",
    )
