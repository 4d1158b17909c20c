"""Watching a clip with a client: what its model and endpoint say decides how the clip is shown.

The rule: facts come from the registry's records; the caller's own wishes win over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from visionpipe.media import Media, Video
from visionpipe.registry.tokens import image_tokens
from visionpipe.reply import Reply
from visionpipe.video.asking import Asker
from visionpipe.video.options import WatchOptions, WholeClip
from visionpipe.video.span_journal import SpanJournal
from visionpipe.video.timeline import Span, Timeline
from visionpipe.video.watch import watch

if TYPE_CHECKING:
    from visionpipe.client.settings import Settings

_SUMMARY_SHARE = 2
_MOST_AT_ONCE = 4
_FEW_IMAGES = 3


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
        wanted: the caller's wishes; limits of the model are set in it, whatever it says of them.
    """
    base = wanted or WatchOptions(language=settings.lang)
    model, local = settings.model, settings.endpoint.local
    most = model.images.max_count if model.images is not None else 1
    context = model.context_tokens
    output = model.default_output_tokens or 0
    budget = context - output if context is not None and context > output else None
    return replace(
        base,
        max_images=1 if local else most,
        sheets=base.sheets or (not local and most is not None and most <= _FEW_IMAGES),
        tokens_per_image=image_tokens(base.max_side, base.max_side, model.tokens),
        token_budget=budget,
        # A Chinese character may be a token of its own, so a budget in characters errs on the safe side.
        summary_characters=min(base.summary_characters, max(500, (budget or 10**9) // _SUMMARY_SHARE)),
        concurrency=min(base.concurrency, model.concurrency, _MOST_AT_ONCE),
        identity="|".join((settings.endpoint.id, model.id, base.identity)),
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
    """As :func:`visionpipe.video.watch.watch`, asking ``client``, with options that suit its model.

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
