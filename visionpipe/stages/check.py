"""Put prompt, media and parameters together as a request, in the order its model wants them, and hold it
against its model's record before anything is spent.

Nothing here opens a file, and every refusal names what can be done instead.

What the record knows is enforced here with an error that names the limit and the way out; what
it does not know (None) passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from visionpipe.clips.load import refuse_oversize
from visionpipe.errors import (
    ContextLimitError,
    MediaLimitError,
    ParameterError,
    TooManyImagesError,
    UnsupportedError,
)
from visionpipe.media import Image, LinkedFile, LinkedImage, LinkedVideo, Media, Part, Text, Video
from visionpipe.registry.estimates import Estimate
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import (
    USER_ID_LENGTHS,
    EndpointRecord,
    ImageRules,
    ModelRecord,
    VideoRules,
    in_words,
)
from visionpipe.request import CacheUse, Message, Parameters, Request
from visionpipe.stages.tools import Toolbox
from visionpipe.values import JSON, Adjustment


def check_video(video: Video | LinkedVideo, rules: VideoRules | None) -> None:
    """Raises unless the model takes the clip.

    Args:
        video: the clip or the link to one.
        rules: the model's; None: the model takes no video.

    Raises:
        UnsupportedError: the model takes no video, or not this container.
        MediaLimitError: too many bytes or seconds; ``code`` is video_bytes or video_seconds.
    """
    if rules is None:
        raise UnsupportedError(
            "the model takes no video",
            cure="Send frames of it as images (frames), or use a model that takes video.",
            subject=video.name,
            code="no_video",
        )
    if video.size is not None:
        refuse_oversize(video.name, video.size, rules.below_bytes)
    if isinstance(video, LinkedVideo):
        return
    if rules.max_seconds is not None and video.duration_s > rules.max_seconds:
        raise MediaLimitError(
            f"the video lasts {video.duration_s:.3f} s, and may last {rules.max_seconds:g} s",
            cure="Send frames of it (frames), or cut it at key frames (split).",
            subject=video.name,
            code="video_seconds",
        )
    if rules.containers and video.container not in rules.containers:
        raise UnsupportedError(
            f"the container is {video.container}, and the model takes {', '.join(rules.containers)}",
            cure="Put it into another container without re-encoding (remux), or send frames of it (frames).",
            subject=video.name,
            code="video_container",
        )


_NOTHING_SET = Parameters()


def check_parameters(parameters: Parameters, model: ModelRecord) -> None:
    """Raise for the first parameter that ``model`` would refuse.

    Ranges are the platform FAQ's: temperature and top_p in [0.0, 1.0], not both at once.

    Raises:
        ParameterError: a value of another kind or out of its range, or two that exclude one another.
        UnsupportedError: the model has no such switch.
    """
    if parameters == _NOTHING_SET:
        return
    _check_kinds(parameters)
    _check_sampling(parameters, model)
    _check_output(parameters, model)
    _check_thinking(parameters, model)
    own = sorted({"model", "messages", "stream"} & set(parameters.extra))
    if own:
        raise ParameterError(
            f"it holds {own[0]!r}, which the call itself says",
            cure="Use the argument of that name; for stream, client.stream(...).",
            subject="extra",
        )
    if parameters.user_id is not None and len(parameters.user_id) not in USER_ID_LENGTHS:
        raise ParameterError(
            f"user_id has {len(parameters.user_id)} characters",
            cure=f"Use {in_words(USER_ID_LENGTHS)} characters.",
            subject="user_id",
        )


def settle_thinking(
    parameters: Parameters, model: ModelRecord, endpoint: EndpointRecord
) -> tuple[Parameters, tuple[Adjustment, ...]]:
    """Leave the switch out where the model has none and does what is asked for anyway: the older ones do not
    know the field (docs.bigmodel.cn, 2026-04-23: GLM-4.5 and up). Where nobody says whether the model thinks,
    what is sent, or that nothing can be, is told."""
    asked, mode = parameters.thinking, model.thinking.mode
    if (asked, mode) in (("off", "never"), ("on", "always")):
        note = Adjustment("dropped", "thinking", f"{model.id} {mode} thinks, so {asked!r} need not be sent")
        return replace(parameters, thinking=None), (note,)
    if asked is None or mode != "unknown":
        return parameters, ()
    if endpoint.thinking is None:
        doubt = f"it is not known how {endpoint.title} switches thinking, so {asked!r} was not sent"
        return replace(parameters, thinking=None), (Adjustment("doubt", "thinking", doubt),)
    sent = ", ".join(endpoint.thinking.on if asked == "on" else endpoint.thinking.off)
    doubt = f"whether {model.id} thinks is not known; {asked!r} was sent as {sent}"
    return parameters, (Adjustment("doubt", "thinking", doubt),)


def _check_kinds(parameters: Parameters) -> None:
    """Callers without a type checker: what Python or the service would misread is told by its name."""

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def whole(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def text(value: object) -> bool:
        return isinstance(value, str)

    def texts(value: object) -> bool:
        return isinstance(value, tuple | list) and all(isinstance(part, str) for part in value)

    for name, value, fits, wanted in (
        ("temperature", parameters.temperature, number, "a number"),
        ("top_p", parameters.top_p, number, "a number"),
        ("max_tokens", parameters.max_tokens, whole, "a whole number"),
        ("stop", parameters.stop, texts, "a sequence of texts, such as ('END',)"),
        ("thinking", parameters.thinking, ("on", "off").__contains__, "'on' or 'off'"),
        ("user_id", parameters.user_id, text, "a text"),
    ):
        if value is not None and not fits(value):
            raise ParameterError(f"{value!r} is not {wanted}", cure=f"Give {wanted}.", subject=name)


def _check_sampling(parameters: Parameters, model: ModelRecord) -> None:
    rules = model.sampling
    for name, value, most in (
        ("temperature", parameters.temperature, rules.temperature_max),
        ("top_p", parameters.top_p, rules.top_p_max),
    ):
        if value is not None and not 0.0 <= value <= most:
            raise ParameterError(
                f"{value:g} is outside 0.0 to {most:g}",
                cure=f"Give a {name} within that range, or leave it out for the model's default.",
                subject=name,
            )
    if rules.exclusive and parameters.temperature is not None and parameters.top_p is not None:
        raise ParameterError(
            "both are set, and the service asks to adjust only one of them",
            cure="Leave out temperature or top_p.",
            subject="temperature, top_p",
        )
    if rules.max_stop is not None and len(parameters.stop) > rules.max_stop:
        raise ParameterError(
            f"{len(parameters.stop)} stop texts, and {model.id} takes {rules.max_stop}",
            cure=f"Give at most {rules.max_stop}.",
            subject="stop",
        )


def _check_output(parameters: Parameters, model: ModelRecord) -> None:
    asked, most = parameters.max_tokens, model.max_output_tokens
    if asked is None:
        return
    if asked < 1:
        raise ParameterError(f"{asked} is below 1", cure="Ask for at least one token.", subject="max_tokens")
    if most is not None and asked > most:
        raise ParameterError(
            f"{asked} is over the {most} that {model.id} can write",
            cure=f"Give {most} or less, or choose a model with a longer output.",
            subject="max_tokens",
        )


def _check_thinking(parameters: Parameters, model: ModelRecord) -> None:
    mode = model.thinking.mode
    if parameters.thinking == "on" and mode == "never":
        raise UnsupportedError(
            f"{model.id} does not think",
            cure="Leave thinking out, or choose a model that does (`visionpipe models`).",
            subject="thinking",
        )
    if parameters.thinking == "off" and mode == "always":
        raise UnsupportedError(
            f"{model.id} cannot stop thinking",
            cure="Leave thinking out, or choose a model that can switch it (`visionpipe models`).",
            subject="thinking",
        )
    effort, efforts = parameters.reasoning_effort, model.thinking.efforts
    if effort is not None and effort not in efforts:
        known = ", ".join(efforts)
        raise UnsupportedError(
            f"{model.id} knows no effort {effort!r}",
            cure=f"Use one of {known}." if efforts else "Leave reasoning_effort out.",
            subject="reasoning_effort",
        )


def check_media(request: Request, model: ModelRecord, registry: Registry) -> None:
    """Raise the first thing that ``model`` would refuse of the media in ``request``.

    Raises:
        TooManyImagesError, MediaLimitError, UnsupportedError: media the model does not take.
    """
    parts = [part for message in request.messages for part in message.parts]
    check_image_count(check_kinds(parts, model), model, registry)
    for part in parts:
        if isinstance(part, Image) and model.images is not None:
            check_image(part, model.images, model.id)
        elif isinstance(part, Video | LinkedVideo) and model.video is not None:
            check_video(part, model.video)


def check_kinds(parts: Sequence[Part], model: ModelRecord) -> int:
    """The kinds of media a request holds: known to the model, and not mixed where it forbids that.

    Returns:
        How many images there are.
    """
    images = videos = files = 0
    for part in parts:
        if isinstance(part, Image | LinkedImage):
            images += 1
        elif isinstance(part, Video | LinkedVideo):
            videos += 1
        elif isinstance(part, LinkedFile):
            files += 1
    present_kinds = []
    for kind, present, rules in (
        ("images", images, model.images),
        ("videos", videos, model.video),
        ("files", files, model.files),
    ):
        if not present:
            continue
        present_kinds.append(kind)
        if rules is None:
            cure = "Send frames of it as images, or choose" if kind == "videos" else "Choose"
            raise UnsupportedError(
                f"{model.id} takes no {kind}", cure=f"{cure} a model that takes them (`visionpipe models`)."
            )
    if len(present_kinds) > 1 and not model.mixed_media:
        raise UnsupportedError(
            f"{' and '.join(present_kinds)} in one request, and {model.id} takes one kind at a time",
            cure="Ask about them in separate requests.",
        )
    return images


def check_image_count(count: int, model: ModelRecord, registry: Registry) -> None:
    """How many images one request may hold."""
    most = model.images.max_count if model.images else 0
    if most is None or count <= most:
        return
    others = [
        f"{other.id} ({other.images.max_count})"
        for other in registry.models_taking(images=count, endpoints=model.endpoints)
        if other.images is not None
    ][:3]
    more = f"use a model that takes more: {', '.join(others)}; or " if others else ""
    raise TooManyImagesError(
        f"{count} images, and {model.id} takes {most} in one request",
        cure=f"Send at most {most}; {more}allow a repair with on_too_many='split' or 'contact_sheet'.",
        subject=model.id,
    )


def check_image(image: Image, rules: ImageRules, model_id: str) -> None:
    """One image against the record's bytes, pixels and formats."""
    if image.format not in rules.formats:
        raise MediaLimitError(
            f"{image.format} is none of {', '.join(rules.formats)}, which {model_id} takes",
            cure="Convert it, or leave repair on.",
            subject=image.name,
            code="format",
        )
    if rules.max_bytes is not None and image.size > rules.max_bytes:
        raise MediaLimitError(
            f"{image.size:,} bytes, and {model_id} takes {rules.max_bytes:,}",
            cure="Shrink it, or leave repair on.",
            subject=image.name,
            code="bytes",
        )
    if rules.max_side_px is not None and max(image.width, image.height) > rules.max_side_px:
        raise MediaLimitError(
            f"{image.width}x{image.height} px, and {model_id} takes {rules.max_side_px} a side",
            cure="Shrink it, or leave repair on.",
            subject=image.name,
            code="pixels",
        )


def input_room(parameters: Parameters, model: ModelRecord) -> int | None:
    """The most tokens of input, by the platform's FAQ: the context less the output asked for; None where the
    context is not known."""
    if model.context_tokens is None:
        return None
    most = model.max_output_tokens or model.context_tokens
    return model.context_tokens - (parameters.max_tokens or min(model.default_output_tokens or 0, most))


def check_context(request: Request, estimate: Estimate, model: ModelRecord) -> None:
    """The platform's rule: input at most the context less the output asked for.

    Raises:
        ContextLimitError: the estimate is over that.
    """
    room = input_room(request.parameters, model)
    if room is None or model.context_tokens is None:
        return
    if estimate.prompt_tokens > room:
        output = model.context_tokens - room
        raise ContextLimitError(
            f"about {estimate.prompt_tokens:,} tokens of input, and {model.id} has room for {room:,} "
            f"({model.context_tokens:,} of context less {output:,} of output)",
            cure="Send fewer or smaller images or less text, lower max_tokens, or choose a longer context.",
            subject=model.id,
        )


def request_form(
    *,
    model: ModelRecord,
    endpoint: EndpointRecord,
    parameters: Parameters,
    system: str | None = None,
    tools: Toolbox | None = None,
    tool_choice: JSON = None,
    headers: Mapping[str, str] | None = None,
    cache: CacheUse = "use",
) -> Request:
    """What requests with the same options share, whatever they ask: one without messages.

    Its adjustments are what is done or doubtful about the form, and those of the tools.
    """
    notes: list[Adjustment] = []
    if system and not model.system_role:
        notes.append(Adjustment("moved", "system", f"{model.id} has no system role: put before the prompt"))
    parameters, thinking = settle_thinking(parameters, model, endpoint)
    notes.extend(_sent_elsewhere(model, endpoint))
    if parameters.detail is not None and endpoint.dialect == "glm":
        # The schema of an image there has no other field than its url.
        notes.append(Adjustment("dropped", "detail", f"{endpoint.title} does not know the word"))
        parameters = replace(parameters, detail=None)
    notes.extend(thinking)
    if tools is not None:
        notes.extend(tools.adjustments)
    return Request(
        model=model.id,
        messages=(),
        parameters=parameters,
        tools=tools.sent if tools is not None else (),
        tool_choice=tool_choice if tools is not None and tools.sent else None,
        adjustments=tuple(notes),
        headers=dict(headers or {}),
        cache=cache,
    )


def build_request(
    prompt: str,
    media: Sequence[Media],
    form: Request,
    *,
    model: ModelRecord,
    endpoint: EndpointRecord,
    system: str | None = None,
    history: Sequence[Message] = (),
    published: bool = False,
) -> Request:
    """One user turn with its media before its text; a video comes first of all, as some models demand.

    All but the messages is that of ``form``, from ``request_form``.

    Earlier turns, ``history``, begin with a user's. Where the model has no system role, ``system`` stands
    before the first user's text.

    With ``published``, media are put where the service can fetch them before the request goes out.

    The request's adjustments are those of its media, what is doubtful about sending them, and the form's.

    Raises:
        ParameterError: the prompt is empty (the service answers 1214 to empty text).
    """
    if not prompt.strip():
        raise ParameterError("the prompt is empty", cure="Say what the model shall do.", subject="prompt")
    notes: list[Adjustment] = []
    videos: list[Part] = []
    others: list[Part] = []
    for medium in media:
        (videos if isinstance(medium, Video | LinkedVideo) else others).append(medium)
    parts = [*videos, *others]
    for part in parts:
        if isinstance(part, Image | Video):
            notes.extend(part.adjustments)
    if not published:
        notes.extend(_transfer_doubts(media, model, endpoint))
    messages = [*history, Message("user", (*parts, Text(prompt)))]
    if system and model.system_role:
        messages.insert(0, Message("system", (Text(system),)))
    elif system:
        messages[0] = _before_text(system, messages[0])
    # Named one by one, since dataclasses.replace takes five times as long, for every item of a job.
    return Request(
        model=form.model,
        messages=tuple(messages),
        parameters=form.parameters,
        tools=form.tools,
        tool_choice=form.tool_choice,
        response_format=form.response_format,
        adjustments=(*notes, *form.adjustments),
        headers=form.headers,
        cache=form.cache,
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
