"""Watching a clip with a client: what its model and endpoint say decides how the clip is shown.

Facts come from the registry's records; the caller's own wishes win over them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from visionpipe.clips.frames import Sampling
from visionpipe.clips.load import load_video
from visionpipe.clips.split import remux_video, split_video
from visionpipe.clips.transcode import transcode_video
from visionpipe.errors import MediaLimitError, ParameterError, UnsupportedError
from visionpipe.media import Media, OverLimit, Video
from visionpipe.registry.estimates import image_tokens
from visionpipe.registry.records import VideoRules
from visionpipe.reply import Reply
from visionpipe.stages.check import check_video
from visionpipe.video.question import ClipAnswer, ask_clip
from visionpipe.video.spans import Asker, ClipSource, SpanJournal, SqliteSpanJournal, WatchOptions, WholeClip
from visionpipe.video.timeline import Span, Timeline
from visionpipe.video.watch import watch

if TYPE_CHECKING:
    from visionpipe.client.settings import Settings

_SUMMARY_SHARE = 2
_MOST_AT_ONCE = 4
FEW_IMAGES = 3
"""A model that takes no more than this in one request is shown frames on a sheet."""

_DECIDES_WORDS = ("system", "temperature", "top_p", "max_tokens", "do_sample", "thinking", "reasoning_effort")


class AskingClient(Protocol):
    """What is needed of a client."""

    @property
    def settings(self) -> Settings: ...
    def ask(self, prompt: str, *images: Any, **options: Any) -> Reply: ...


def asker_of(client: AskingClient, call: Mapping[str, Any] | None = None) -> Asker:
    """The client as an asker; ``call`` are options for every request."""
    given = dict(call or {})

    def ask(prompt: str, media: Sequence[Media], /) -> Reply:
        return client.ask(prompt, *media, **given)

    return ask


def options_for(settings: Settings, wanted: WatchOptions | None = None) -> WatchOptions:
    """``wanted`` filled up with what the model and its endpoint can do.

    Args:
        settings: the client's.
        wanted: the caller's wishes, which hold; what they leave open is the model's.

    Raises:
        ParameterError: more pictures or tokens are wished for in one request than the model takes.
    """
    base = wanted or WatchOptions(language=settings.lang)
    model, local = settings.model, settings.endpoint.local
    most = 1 if local else model.images.max_count if model.images is not None else 1
    context = model.context_tokens
    output = model.default_output_tokens or 0
    room = context - output if context is not None and context > output else None
    _within_model("max_images", base.max_images, most, "pictures", model.id)
    _within_model("token_budget", base.token_budget, room, "tokens", model.id)
    most = base.max_images if base.max_images is not None else most
    budget = base.token_budget if base.token_budget is not None else room
    estimate = image_tokens(base.max_side, base.max_side, model.tokens)
    return replace(
        base,
        max_images=most,
        sheets=base.sheets or (not local and most is not None and most <= FEW_IMAGES),
        tokens_per_image=base.tokens_per_image if base.tokens_per_image is not None else estimate,
        token_budget=budget,
        # A Chinese character may be a token of its own, so a budget in characters errs on the safe side.
        summary_characters=min(base.summary_characters, max(500, (budget or 10**9) // _SUMMARY_SHARE)),
        concurrency=min(base.concurrency, model.concurrency, _MOST_AT_ONCE),
        identity="|".join((settings.endpoint.id, model.id, base.identity)),
    )


def _within_model(name: str, wanted: int | None, most: int | None, what: str, model: str) -> None:
    if wanted is not None and most is not None and wanted > most:
        raise ParameterError(
            f"{model} takes {most} {what} in one request, and {wanted} are wished for",
            cure=f"Give {most} or fewer, or leave it out.",
            subject=name,
        )


def watch_with(
    client: AskingClient,
    video: Video,
    wanted: WatchOptions | None = None,
    *,
    call: Mapping[str, Any] | None = None,
    whole: WholeClip | None = None,
    journal: SpanJournal | None = None,
    on_span: Callable[[Span], None] | None = None,
) -> Timeline:
    """As ``watch``, asking ``client``, with options that suit its model.

    Args:
        client: who answers.
        video: the clip.
        wanted: the caller's wishes; None: the defaults, in the client's language.
        call: options of every request, such as ``max_tokens``.
        whole, journal, on_span: as for ``watch``.

    Raises:
        VisionPipeError: as ``watch``.
    """
    options = options_for(client.settings, wanted)
    ask = asker_of(client, call)
    return watch(video, ask, options, whole=whole, journal=journal, on_span=on_span)


def watch_clip(
    client: AskingClient,
    clip: ClipSource,
    wanted: WatchOptions | None = None,
    *,
    journal: SpanJournal | str | os.PathLike[str] | None = None,
    on_span: Callable[[Span], None] | None = None,
    call: Mapping[str, Any] | None = None,
) -> Timeline:
    """As ``watch_with``, from whatever a clip is given as. It is shown whole where the model takes video
    and there is a way to bring it there (a publisher, or inline), else by frames.

    Args:
        client: who answers.
        clip: a path, a whole clip's bytes, or a loaded clip.
        wanted: the caller's wishes.
        journal: keeps finished spans; a path: in an SQLite file there.
        on_span: told of every span as it is finished.
        call: options of every request, of which ``over_limit`` says what is done with a clip that shall be
            shown whole and is over the model's limit.

    Raises:
        MediaLimitError: the clip is over the limit, and ``over_limit`` is "refuse".
        VisionPipeError: as ``watch``.
    """
    given = dict(call or {})
    over_limit: OverLimit = given.pop("over_limit", "refuse")
    settings = client.settings
    settings = replace(settings, model=settings.model_named(given.get("model")))
    base = wanted or WatchOptions(language=settings.lang)
    words = [f"{name}={given[name]!r}" for name in _DECIDES_WORDS if given.get(name) is not None]
    options = options_for(settings, replace(base, identity="|".join(filter(None, (base.identity, *words)))))
    rules = settings.model.video
    with ExitStack() as stack:
        if isinstance(journal, str | os.PathLike):
            journal = stack.enter_context(SqliteSpanJournal(Path(journal)))
        whole = None
        ways = given.get("publisher") is not None or given.get("inline_video", False)
        if rules is not None and (ways or rules.inline) and not settings.endpoint.local:
            strict = over_limit == "refuse"
            video = loaded_clip(clip, rules.below_bytes if strict else None)
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="visionpipe-")))
            parts = parts_within(video, rules, over_limit, folder)
            whole = WholeClip(parts, lambda part: part) if parts else None
        else:
            video = loaded_clip(clip)
        return watch(video, asker_of(client, given), options, whole=whole, journal=journal, on_span=on_span)


def parts_within(
    video: Video, rules: VideoRules, over_limit: OverLimit, folder: Path, *, remux: bool = True
) -> tuple[Video, ...]:
    """The clip as files that the model takes; none where it shall be shown by frames.

    Args:
        video: the clip.
        rules: the model's.
        over_limit: "refuse", "split", "transcode" or "frames".
        folder: where new files are written.
        remux: whether it may be moved into another container, which shows the same pictures.

    Raises:
        MediaLimitError, UnsupportedError: it cannot be brought within the limits that way.
    """
    try:
        check_video(video, rules)
        return (video,)
    except UnsupportedError as problem:
        if problem.code != "video_container" or not remux:
            raise
        try:
            # The new file may be over a limit, which the original was not asked for yet.
            return parts_within(remux_video(video, folder), rules, over_limit, folder, remux=False)
        except UnsupportedError:
            if over_limit == "frames":
                return ()
            if over_limit != "transcode":
                raise
            return (_transcoded(video, rules, folder),)
    except MediaLimitError as problem:
        if over_limit == "frames":
            return ()
        if over_limit == "split":
            limit = rules.below_bytes or video.size + 1
            return split_video(video, folder, below_bytes=limit, max_seconds=rules.max_seconds)
        if over_limit == "refuse" or problem.code != "video_bytes":
            raise
    return (_transcoded(video, rules, folder),)


def _transcoded(video: Video, rules: VideoRules, folder: Path) -> Video:
    """The clip re-encoded to what the model takes."""
    target = folder / "transcoded" / f"{Path(video.name).stem}.mp4"
    made = transcode_video(video, target, below_bytes=rules.below_bytes or 2 * video.size)
    check_video(made, rules)
    return made


def ask_clip_with(
    client: AskingClient,
    question: str,
    clip: ClipSource,
    *,
    sampling: Sampling | None = None,
    call: Mapping[str, Any] | None = None,
) -> ClipAnswer:
    """As ``ask_clip``, asking ``client``, with as many frames as its model
    takes."""
    given = dict(call or {})
    settings = client.settings
    settings = replace(settings, model=settings.model_named(given.get("model")))
    options = options_for(settings)
    return ask_clip(
        loaded_clip(clip),
        question,
        asker_of(client, given),
        max_images=options.max_images,
        sampling=sampling,
        max_side=options.max_side,
        language=settings.lang,
        sheets=options.sheets,
    )


def loaded_clip(clip: ClipSource, below_bytes: int | None = None) -> Video:
    """The clip, loaded where it is not yet.

    Raises:
        UnsupportedError: a link; its container cannot be asked for times.
        MediaLimitError: the size is not under ``below_bytes``.
        InputError: it cannot be read.
    """
    if isinstance(clip, Video):
        return clip
    given = clip if isinstance(clip, str | bytes) else Path(clip)
    video = load_video(given, below_bytes=below_bytes)
    if not isinstance(video, Video):
        raise UnsupportedError(
            "the times of a linked clip are not known",
            cure="Download it first, or ask about it with client.ask.",
            subject=video.name,
        )
    return video
