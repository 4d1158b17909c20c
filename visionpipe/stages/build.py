"""Put prompt, media and parameters together as a Request, in the order its model wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from visionpipe.errors import ParameterError
from visionpipe.media import Image, LinkedVideo, Media, Part, Text, Video
from visionpipe.registry.records import EndpointRecord, ModelRecord
from visionpipe.request import Message, Parameters, Request
from visionpipe.stages.check import settle_thinking
from visionpipe.values import Adjustment


def build_request(
    prompt: str,
    media: Sequence[Media],
    *,
    model: ModelRecord,
    endpoint: EndpointRecord,
    parameters: Parameters,
    system: str | None = None,
    history: Sequence[Message] = (),
    published: bool = False,
) -> Request:
    """One user turn with its media before its text; a video comes first of all, as some models demand.

    Earlier turns, ``history``, begin with a user's. Where the model has no system role, ``system`` stands
    before the first user's text.

    With ``published``, media are put where the service can fetch them before the request goes out.

    The request's adjustments are those of its media, and what is done or doubtful about the form.

    Raises:
        ParameterError: the prompt is empty (the service answers 1214 to empty text).
    """
    if not prompt.strip():
        raise ParameterError("the prompt is empty", cure="Say what the model shall do.", subject="prompt")
    notes: list[Adjustment] = []
    videos = [part for part in media if isinstance(part, Video | LinkedVideo)]
    others = [part for part in media if not isinstance(part, Video | LinkedVideo)]
    parts: list[Part] = [*videos, *others]
    for part in parts:
        if isinstance(part, Image | Video):
            notes.extend(part.adjustments)
    if not published:
        notes.extend(_transfer_doubts(media, model, endpoint))
    messages = [*history, Message("user", (*parts, Text(prompt)))]
    if system and model.system_role:
        messages.insert(0, Message("system", (Text(system),)))
    elif system:
        notes.append(Adjustment("moved", "system", f"{model.id} has no system role: put before the prompt"))
        messages[0] = _before_text(system, messages[0])
    parameters, thinking = settle_thinking(parameters, model, endpoint)
    notes.extend(_sent_elsewhere(model, endpoint))
    if parameters.detail is not None and endpoint.dialect == "glm":
        # The schema of an image there has no other field than its url.
        notes.append(Adjustment("dropped", "detail", f"{endpoint.title} does not know the word"))
        parameters = replace(parameters, detail=None)
    return Request(
        model=model.id,
        messages=tuple(messages),
        parameters=parameters,
        adjustments=(*notes, *thinking),
    )


def _sent_elsewhere(model: ModelRecord, endpoint: EndpointRecord) -> list[Adjustment]:
    """A service of its own offers the models it offers; what somebody's own server has, nobody else knows."""
    if not model.endpoints or endpoint.id in model.endpoints or not endpoint.key_required:
        return []
    known = ", ".join(model.endpoints)
    return [Adjustment("doubt", model.id, f"the catalog knows it at {known}, not at {endpoint.title}")]


def _before_text(system: str, message: Message) -> Message:
    at = next(n for n, part in enumerate(message.parts) if isinstance(part, Text))
    joined = Text(f"{system}\n\n{message.parts[at].text}")  # type: ignore[union-attr]  # it is a Text
    return replace(message, parts=(*message.parts[:at], joined, *message.parts[at + 1 :]))


def _transfer_doubts(
    media: Sequence[Media], model: ModelRecord, endpoint: EndpointRecord
) -> list[Adjustment]:
    if model.images is None or model.images.transfer != "url_preferred" or endpoint.local:
        return []
    inline = [part for part in media if isinstance(part, Image)]
    return [
        Adjustment(
            "doubt",
            image.name,
            f"sent as base64; {model.id}'s own page asks for a URL, the platform's FAQ allows base64",
        )
        for image in inline
    ]
