"""The turns of a conversation so far, and what of them is sent along with the next one.

An exchange is a user's message with everything up to the next one; it goes as a whole, so that no
answer stands without its question and no function's result without its call. Input is at most the context
less the output asked for (the platform's FAQ).

The whole history is kept; each request sends as much of it as its model takes. Media of earlier
turns give way to a line of text, oldest first, then whole exchanges are left out, oldest first. The newest
turn and the system text stay as they are, and everything left out is an adjustment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from visionpipe.media import Image, LinkedFile, LinkedImage, LinkedVideo, Media, Part, Text, Video
from visionpipe.registry.estimates import Calibration
from visionpipe.registry.records import ModelRecord
from visionpipe.request import Message, Parameters
from visionpipe.stages.check import input_room
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


_KINDS: dict[str, tuple[type, ...]] = {
    "image": (Image, LinkedImage),
    "video": (Video, LinkedVideo),
    "file": (LinkedFile,),
}
_PLACEHOLDERS = {
    "en": {
        "image": "[Image {n} of this conversation is not shown again.]",
        "video": "[Video {n} of this conversation is not shown again.]",
        "file": "[File {n} of this conversation is not shown again.]",
    },
    "zh": {
        "image": "[本次对话的第{n}张图片不再显示。]",
        "video": "[本次对话的第{n}个视频不再显示。]",
        "file": "[本次对话的第{n}个文件不再显示。]",
    },
}


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said (users' turns with their media, answers, function calls and their results), and how the
    service's own counts correct the estimates."""

    messages: tuple[Message, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be said next; ``tools_tokens`` are those of the tools offered with it."""

    prompt: str
    media: tuple[Media, ...] = ()
    system: str | None = None
    tools_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """The earlier messages as they will be sent, and what was left out of them."""

    messages: tuple[Message, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()


def fit_history(
    transcript: Transcript, turn: Turn, model: ModelRecord, parameters: Parameters, lang: str = "en"
) -> Fitted:
    """Bring what was said before ``turn`` within what ``model`` takes in one request."""
    if not transcript.messages:
        return Fitted()
    messages, calls = _without_calls(transcript.messages, model)
    messages, hidden = _with_placeholders(messages, turn.media, model, lang)
    room = input_room(parameters, model)
    messages, trimmed = trim(
        messages,
        Message("user", (*turn.media, Text(f"{turn.system or ''}\n\n{turn.prompt}"))),
        model,
        room=None if room is None else room - turn.tools_tokens,
        calibration=transcript.calibration,
    )
    return Fitted(messages, (*calls, *hidden, *trimmed))


def _without_calls(
    messages: tuple[Message, ...], model: ModelRecord
) -> tuple[tuple[Message, ...], tuple[Adjustment, ...]]:
    """Without function calls and results where the model knows none of them; the answers stay."""
    if "function" in model.tools:
        return messages, ()
    kept = tuple(m for m in messages if m.role != "tool" and not m.tool_calls)
    calls = sum(len(m.tool_calls) for m in messages)
    if not calls:
        return messages, ()
    note = f"{calls} function calls of earlier turns and their results; {model.id} takes none"
    return kept, (Adjustment("left_out", "history", note),)


def _with_placeholders(
    messages: tuple[Message, ...], newest: Sequence[Media], model: ModelRecord, lang: str
) -> tuple[tuple[Message, ...], tuple[Adjustment, ...]]:
    """With a line of text for each of the media that the request cannot hold beside those of the newest turn,
    the latest kept."""
    places = list(_media_places(messages))
    kept = _kept(places, newest, model)
    numbers = dict.fromkeys(_KINDS, 0)
    changed: dict[tuple[int, int], Text] = {}
    notes = []
    for place, part in places:
        kind = _kind(part)
        numbers[kind] += 1
        if place in kept:
            continue
        changed[place] = Text(_PLACEHOLDERS[lang][kind].format(n=numbers[kind]))
        detail = f"{kind} of an earlier turn; {_reason(kind, model)}, so a line of text stands for it"
        notes.append(Adjustment("left_out", part.name, detail))
    if not changed:
        return messages, ()
    told = tuple(
        replace(message, parts=tuple(changed.get((m, p), part) for p, part in enumerate(message.parts)))
        for m, message in enumerate(messages)
    )
    return told, tuple(notes)


def _kept(
    places: Sequence[tuple[tuple[int, int], Media]], newest: Sequence[Media], model: ModelRecord
) -> set[tuple[int, int]]:
    limits = {
        "image": model.images.max_count if model.images else 0,
        "video": model.video.max_count if model.video else 0,
        "file": model.files.max_count if model.files else 0,
    }
    used = dict.fromkeys(_KINDS, 0)
    for part in newest:
        used[_kind(part)] += 1
    # One kind a request where the model wants that: the newest turn's, else the latest shown.
    latest = [*newest, *(part for _, part in reversed(places))]
    only = _kind(latest[0]) if latest and not model.mixed_media else None
    kept = set()
    for place, part in reversed(places):
        kind = _kind(part)
        most = limits[kind]
        if (only is None or kind == only) and (most is None or used[kind] < most):
            used[kind] += 1
            kept.add(place)
    return kept


def _reason(kind: str, model: ModelRecord) -> str:
    rules = {"image": model.images, "video": model.video, "file": model.files}[kind]
    if rules is None or rules.max_count is None:
        return f"{model.id} does not take it beside the other media"
    return f"{model.id} takes {rules.max_count} in one request"


def _media_places(messages: Sequence[Message]) -> Iterator[tuple[tuple[int, int], Media]]:
    for m, message in enumerate(messages):
        for p, part in enumerate(message.parts):
            if not isinstance(part, Text):
                yield (m, p), part


def _kind(part: Part) -> str:
    return next(kind for kind, types in _KINDS.items() if isinstance(part, types))
