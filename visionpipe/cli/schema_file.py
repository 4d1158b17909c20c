"""A JSON Schema in a file, as ``--schema`` takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
