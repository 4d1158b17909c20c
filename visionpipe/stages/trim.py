"""Leave the oldest exchanges of a conversation out until the rest fits the context.

The rule: an exchange is a user's message with everything up to the next one; it goes as a whole, so that no
answer stands without its question and no function's result without its call. Input is at most the context
less the output asked for (the platform's FAQ).
"""

from __future__ import annotations

from collections.abc import Sequence

from visionpipe.registry.records import ModelRecord
from visionpipe.request import Message
from visionpipe.stages.estimate import Calibration
from visionpipe.values import Adjustment

NONE = Calibration()


def exchanges(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The messages in whole exchanges, in order."""
    runs: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not runs:
            runs.append([])
        runs[-1].append(message)
    return [tuple(run) for run in runs]


def trim(
    history: Sequence[Message],
    newest: Message,
    model: ModelRecord,
    *,
    room: int | None,
    calibration: Calibration = NONE,
) -> tuple[tuple[Message, ...], tuple[Adjustment, ...]]:
    """The part of ``history`` that fits beside ``newest``, the oldest exchanges left out first.

    Args:
        history: the earlier messages.
        newest: what is said next, with the system text; it stays, whatever it takes.
        model: whose token estimate counts.
        room: the most tokens of input; None: no limit known.
        calibration: how the estimates are corrected.

    Returns:
        The messages kept, and one adjustment where any were left out.
    """
    runs = exchanges(history)
    whole = calibration.tokens((*history, newest), model)
    if room is None or whole <= room or not runs:
        return tuple(history), ()
    total, gone = whole, 0
    while gone < len(runs) and total > room:
        gone += 1
        kept = (message for run in runs[gone:] for message in run)
        total = calibration.tokens((*kept, newest), model)
    note = Adjustment(
        "trimmed",
        "history",
        f"{gone} of {len(runs)} earlier exchanges left out, the oldest: about {whole:,} tokens, and "
        f"{model.id} has room for {room:,}; about {total:,} sent",
    )
    return tuple(message for run in runs[gone:] for message in run), (note,)
