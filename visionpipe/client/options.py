"""What a caller may set for one call, and as a client's default for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, get_args

from visionpipe.errors import ParameterError
from visionpipe.media import OverLimit
from visionpipe.prompts.presets import Preset
from visionpipe.registry.records import ModelRecord
from visionpipe.request import CacheUse, Parameters, Thinking
from visionpipe.stages.tools import Tool
from visionpipe.values import JSON

if TYPE_CHECKING:
    from visionpipe.images.load import ImageSource
    from visionpipe.media import LinkedVideo, Video
    from visionpipe.sources.publish import Publisher

MediaSource: TypeAlias = "ImageSource | Video | LinkedVideo"
"""What a call takes as one image or clip: what ``load_image`` takes, where a path, bytes, an
open file, a URL or a data URI may be a clip's as well, or a clip that is loaded already."""

MediaSources: TypeAlias = "MediaSource | Sequence[MediaSource]"
"""One of them, or a list of several."""

OnTooMany = Literal["error", "split", "contact_sheet"]
Detail = Literal["low", "high", "auto"]


class CallOptions(TypedDict, total=False):
    """Keyword arguments of every call.

    Attributes:
        model: another model than the client's.
        system: instructions that stand before the conversation.
        temperature, top_p, max_tokens, do_sample, stop, thinking, reasoning_effort, user_id, extra: see
            ``Parameters``.
        on_too_many: with more images than the model takes: "error" (default), "split" into several
            requests, or lay them on one "contact_sheet".
        repair: whether images that break a limit are repaired (default) or refused.
        max_side: shrink images whose longer side is over this many pixels.
        max_pixels: width x height above which an image is refused as a decompression bomb. Default about
            179 million, and four times that for JPEG as cameras write it, which is decoded at a fraction.
        background: RGB, 0 to 255, that transparency is flattened on; default white.
        fetch: download linked images and send their bytes, instead of passing the link on.
        in_memory_bytes: image files up to this size are read once and kept; larger ones stay on disk until
            they are sent. Default 1 MiB.
        allow_private: let ``fetch`` and ``probe_links`` reach private and loopback addresses.
        over_limit: what is done with a clip that the model does not take as it is: "refuse" (default, with
            the cures), send "frames" of it, "transcode" one that is too large, or "split" it (``watch`` only,
            which asks of several parts).
        publisher: puts clips, and images of models that want links, where the service can fetch them
            (``visionpipe.sources.publish``); done last, when all else has been checked.
        inline_video: send clips as base64 even where the model's record does not promise that it works.
        probe_links: ask a linked clip's server for its size first (a HEAD request of its own, to a host
            that others chose; hence only when asked for).
        tools: functions with type hints, or a WebSearch, or a Retrieval (``visionpipe.stages.tools``).
            ``run_tools`` and conversations run the functions; other calls give ``reply.tool_calls``.
        prefer_priority: of several kinds of tools, send the one that would take effect.
        tool_choice: how the model chooses; GLM knows only "auto".
        messages: earlier turns as the platform writes them, a list of ``{"role": "user", "content": ...}``;
            where the prompt is empty, the last one is the question.
        headers: HTTP headers of this call. The key's, and those that frame the request, cannot be set.
        detail: how closely images are looked at, "low", "high" or "auto", where the service knows the word.
        cache: what is done with the client's cache of answers, where it has one: "use" it (default), ask anew
            and "refresh" what it holds, or leave it "off". Jobs leave it alone and have their journal.
    """

    model: str
    system: str
    temperature: float
    top_p: float
    max_tokens: int
    do_sample: bool
    stop: Sequence[str]
    thinking: Thinking
    reasoning_effort: str
    user_id: str
    extra: Mapping[str, Any]
    on_too_many: OnTooMany
    repair: bool
    max_side: int
    max_pixels: int
    background: tuple[int, int, int]
    fetch: bool
    in_memory_bytes: int
    allow_private: bool
    over_limit: OverLimit
    publisher: Publisher
    inline_video: bool
    probe_links: bool
    tools: Sequence[Tool]
    prefer_priority: bool
    tool_choice: JSON
    messages: Sequence[Mapping[str, Any]]
    headers: Mapping[str, str]
    detail: Detail
    cache: CacheUse


_WORDS: dict[str, tuple[str, ...]] = {
    "on_too_many": get_args(OnTooMany),
    "over_limit": get_args(OverLimit),
    "detail": get_args(Detail),
    "cache": get_args(CacheUse),
}
_OWN_HEADERS = frozenset(
    ["authorization", "api-key", "host", "content-length", "content-type", "transfer-encoding", "connection"]
)


def check_options(options: CallOptions) -> None:
    """Refuse what no call can be made with, whatever it is about; parameters are held to their model later.

    Raises:
        ParameterError: the first value that cannot be.
    """
    given: Mapping[str, Any] = options
    for name, words in _WORDS.items():
        if given.get(name, words[0]) not in words:
            known = ", ".join(words)
            raise ParameterError(f"{given[name]!r} is none of {known}", cure="Use one of them.", subject=name)
    for name in ("max_side", "max_pixels", "in_memory_bytes"):
        value = given.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ParameterError(
                f"{value!r} is no whole number above 0", cure="Give one, or leave it out.", subject=name
            )
    for name, value in (given.get("headers") or {}).items():
        check_header(name, value)
    if "background" not in given:
        return
    colour = given["background"]
    if len(colour) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in colour):
        raise ParameterError(
            f"{colour!r} is no colour", cure="Give red, green and blue, 0 to 255.", subject="background"
        )


def check_header(name: object, value: object) -> None:
    """Refuse what cannot be sent as a header, or is the transport's own; the value is never shown.

    Raises:
        ParameterError: as it says.
    """
    texts = isinstance(name, str) and isinstance(value, str)
    if not texts or not f"{name}{value}".isascii() or not f"{name}{value}".isprintable() or not name:
        raise ParameterError(
            "a header has characters that headers cannot have",
            cure="Give names and values as plain ASCII texts.",
            subject=f"headers: {name!r}",
        )
    if str(name).lower() in _OWN_HEADERS:
        raise ParameterError(
            "this header is not a call's to set",
            cure="Give the key as api_key; the rest is the transport's.",
            subject=f"headers: {name!r}",
        )


def parameters_of(options: CallOptions) -> Parameters:
    """The part of the options that goes into the request's body."""
    return Parameters(
        temperature=options.get("temperature"),
        top_p=options.get("top_p"),
        max_tokens=options.get("max_tokens"),
        do_sample=options.get("do_sample"),
        stop=tuple(options.get("stop", ())),
        thinking=options.get("thinking"),
        reasoning_effort=options.get("reasoning_effort"),
        user_id=options.get("user_id"),
        detail=options.get("detail"),
        extra=dict(options.get("extra", {})),
    )


def preset_options(preset: Preset, model: ModelRecord) -> CallOptions:
    """What a preset asks for, as far as ``model`` can give it: thinking off where it is known how, and a cap
    on the answer's length where it is known that no thinking counts against it."""
    options = CallOptions()
    thinks = model.thinking.mode != "never"
    if preset.thinking == "off" and model.thinking.mode == "switchable":
        options["thinking"] = "off"
        thinks = False
    if preset.max_tokens is not None and not thinks:
        options["max_tokens"] = min(preset.max_tokens, model.max_output_tokens or preset.max_tokens)
    return options


def merged(defaults: CallOptions, given: CallOptions) -> CallOptions:
    """The caller's options over the client's; an unknown name is an error, not a silent nothing."""
    for options in (defaults, given):
        unknown = sorted(set(options) - CallOptions.__annotations__.keys())
        if unknown:
            raise ParameterError(
                "there is no such option",
                cure=f"Use one of {', '.join(CallOptions.__annotations__)}.",
                subject=unknown[0],
            )
    return {**defaults, **given}


def one_by_one(sources: Iterable[MediaSources]) -> list[MediaSource]:
    """The images and clips of a call in their order, those in lists and tuples taken out of them."""
    found: list[Any] = []
    for source in sources:
        if isinstance(source, list | tuple):
            found += source
        else:
            found.append(source)
    return found
