"""``--publish``: where media are put for the service to fetch, written as one word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from visionpipe.loaders.publish import Publisher

Publish = Annotated[
    str | None,
    typer.Option(
        help="Where clips are put for the service to fetch: a store (s3://bucket/prefix), or "
        "FOLDER=URL for a folder that a web server shows at URL.",
    ),
]


def publisher_named(text: str) -> Publisher:
    """The publisher that ``text`` names; a store's credentials come from its own environment variables.

    Raises:
        ParameterError: neither form.
        ConfigurationError: the store's library is not installed, or it is not known.
    """
    from visionpipe.errors import ParameterError
    from visionpipe.loaders.publish import FolderPublisher, StorePublisher

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
