"""Watching a clip: scenes, spans, frames, the model's words, and a summary on top.

The rule: the container decides every time, and every span of the plan is in the timeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

from visionpipe.loaders.scenes import Scene, find_scenes
from visionpipe.media import Video
from visionpipe.values import Adjustment, Money, Note
from visionpipe.video.asking import Asker
from visionpipe.video.options import WatchOptions, WholeClip
from visionpipe.video.span_journal import SpanJournal
from visionpipe.video.span_work import SpanWork
from visionpipe.video.spans import plan_spans
from visionpipe.video.summary import Summary
from visionpipe.video.timeline import Span, Timeline
from visionpipe.video.whole import tell_whole


def watch(
    video: Video,
    ask: Asker,
    options: WatchOptions | None = None,
    *,
    whole: WholeClip | None = None,
    journal: SpanJournal | None = None,
    on_span: Callable[[Span], None] | None = None,
) -> Timeline:
    """Makes a timeline of a clip.

    Args:
        video: the clip.
        ask: who answers.
        options: see :class:`WatchOptions`.
        whole: where the model takes video; spans it says nothing of are then asked for by frames.
        journal: keeps finished spans, and gives them back to a later run; None: none are kept.
        on_span: told of every span as it is finished.

    Returns:
        Spans from 0 to the clip's duration, without gap or overlap.

    Raises:
        VisionPipeError: the clip cannot be read, a request failed in a way that all would (scope "job"),
            or not one span was answered.
    """
    wanted = options or WatchOptions()
    scenes = find_scenes(video, wanted.scenes)
    plans = plan_spans(scenes, wanted.longest)
    work = SpanWork(video, ask, wanted, journal, on_span)
    notes: list[Note] = []
    spans = {span.index: span for span in work.recalled(plans)}
    missing = [plan for plan in plans if plan.index not in spans]
    if whole is not None and missing:
        for span in tell_whole(missing, whole, ask, wanted.language, notes):
            spans[span.index] = work.finished(span)
        missing = [plan for plan in missing if plan.index not in spans]
    spans.update((span.index, span) for span in work.asked(missing))
    ordered = tuple(spans[plan.index] for plan in plans)
    if work.errors and all(span.failure for span in ordered):
        raise work.errors[0]
    summary = work.summed_up(ordered) if wanted.summary else Summary("")
    return _timeline(video, scenes, ordered, summary, notes)


def _timeline(
    video: Video, scenes: Sequence[Scene], spans: tuple[Span, ...], summary: Summary, notes: Sequence[Note]
) -> Timeline:
    answered = [span for span in spans if span.failure is None]
    counted = [*(span.usage for span in answered), *(reply.usage for reply in summary.replies)]
    usages = [usage for usage in counted if usage is not None]
    seen = len({moment for span in spans for moment in span.frames})
    by_video = sum(span.seen_by == "video" for span in spans)
    done = [
        *video.adjustments,
        Adjustment("sampled", video.name, f"{len(spans)} spans of {len(scenes)} scenes, {seen} frames shown"),
    ]
    if 0 < by_video < len(spans):
        detail = f"{len(spans) - by_video} of {len(spans)} spans, of which the model said nothing"
        done.append(Adjustment("frames", video.name, f"shown as frames: {detail}"))
    return Timeline(
        clip=video.name,
        duration=video.duration,
        spans=spans,
        summary=summary.text,
        model=answered[0].model if answered else "",
        local=all(span.local for span in answered),
        usage=reduce(add, usages) if usages else None,
        cost=_total(answered, summary),
        adjustments=tuple(done),
        notes=tuple(notes),
    )


def _total(spans: Sequence[Span], summary: Summary) -> Money | None:
    """The sum; None where a cost is not known or the currencies differ. A span told of together with
    others (no usage of its own) is paid with them."""
    costs = [span.cost for span in spans if span.cost is not None or span.usage is not None]
    costs += [reply.cost for reply in summary.replies]
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs) or len({cost.currency for cost in known}) > 1:
        return None
    return reduce(add, known)
