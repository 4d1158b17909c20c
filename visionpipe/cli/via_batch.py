"""``caption --via batch``: which options a batch file knows, and what is told while it is on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from visionpipe.errors import ParameterError

if TYPE_CHECKING:
    from visionpipe.pipeline.provider_batch.work import BatchEvent

WAYS = ("calls", "batch")


def in_batches(via: str, **meaningless: object) -> bool:
    """Whether ``via`` asks for batch files.

    Args:
        via: what stood after ``--via``.
        meaningless: options that have no meaning in a batch, by name; None where they were not given.

    Raises:
        ParameterError: another word, or an option that a batch cannot keep to.
    """
    if via not in WAYS:
        raise ParameterError(f"{via!r} is no way to ask", cure="Use calls or batch.", subject="--via")
    if via == "calls":
        return False
    for name, value in meaningless.items():
        if value is not None:
            raise ParameterError(
                "a batch file knows no such option",
                cure="Leave it out, or ask with --via calls.",
                subject=f"--{name.replace('_', '-')}",
            )
    return True


def step_teller(*, silent: bool) -> Callable[[BatchEvent], None]:
    """Writes each new state of each batch file to stderr, once."""
    told: dict[str, str] = {}

    def tell(event: BatchEvent) -> None:
        if silent:
            return
        if event.trouble is not None:
            typer.echo(f"the batch cannot be asked after at the moment: {event.trouble}", err=True)
        elif told.get(event.file) != event.state:
            told[event.file] = event.state
            named = f", {event.batch_id}" if event.batch_id else ""
            typer.echo(f"batch file of {event.lines} requests: {event.state}{named}", err=True)

    return tell
