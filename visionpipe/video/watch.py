"""Watching a clip: scenes, spans, frames, the model's words, and a summary on top.

What is too long for one request is summed up in groups first, and the groups after that; a clip
of one span needs no request, and the embedded engine's words are put together without one.

A span is kept the moment it is answered; one that fails keeps its place, with its reason, and is
asked again by the next run.

The container decides every time, and every span of the plan is in the timeline.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from operator import add

from visionpipe.clips.frames import At, fit_count, sample_frames
from visionpipe.clips.scenes import SceneScan, scan_scenes
from visionpipe.errors import BadVideoError, VisionPipeError
from visionpipe.images.contact_sheet import contact_sheet
from visionpipe.media import Frame, Image, Video
from visionpipe.prompts.presets import Language
from visionpipe.reply import Reply
from visionpipe.results import Failure
from visionpipe.values import JSON, Adjustment, Money, Note, Timecode
from visionpipe.video.question import about_frames, about_scenes
from visionpipe.video.spans import (
    Asker,
    SpanJournal,
    SpanPlan,
    SqliteSpanJournal,
    WatchOptions,
    WholeClip,
    clip_fingerprint,
    plan_spans,
    recorded_span,
    span_key,
)
from visionpipe.video.timeline import SeenBy, Span, Timeline
from visionpipe.video.whole import tell_whole

_NAMED = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """The text, and the requests it took."""

    text: str
    replies: tuple[Reply, ...] = ()


def summarise(spans: Sequence[Span], ask: Asker, *, language: Language, max_characters: int) -> Summary:
    """Sums up the spans that have words.

    Args:
        spans: in order.
        ask: asked with texts only.
        language: of the prompt.
        max_characters: descriptions that one request may hold, in characters.

    Raises:
        VisionPipeError: whatever ``ask`` raises.
    """
    told = [span for span in spans if span.text]
    if not told:
        return Summary("")
    if len(told) == 1:
        return Summary(told[0].text)
    if all(span.local for span in told):
        return Summary(_composed(told, language))
    lines = [f"{span.start} - {span.end}: {span.text}" for span in told]
    replies: list[Reply] = []
    while True:
        groups = _grouped(lines, max_characters)
        answers = [ask(about_scenes(group, language), ()) for group in groups]
        replies += answers
        shorter = [answer.text.strip() for answer in answers]
        # Where not even two lines fit together, another round would not bring them closer.
        if len(groups) == 1 or len(groups) == len(lines):
            return Summary("\n".join(shorter), tuple(replies))
        lines = shorter


def _grouped(lines: Sequence[str], max_characters: int) -> list[list[str]]:
    """Runs of lines, each within the limit (or a single line)."""
    groups: list[list[str]] = []
    size = 0
    for line in lines:
        if groups and size + len(line) <= max_characters:
            groups[-1].append(line)
            size += len(line)
        else:
            groups.append([line])
            size = len(line)
    return groups


def _composed(spans: Sequence[Span], language: Language) -> str:
    """The different things said, each once, in order."""
    texts = list(dict.fromkeys(span.text.strip() for span in spans))
    named, rest = texts[:_NAMED], len(texts) - _NAMED
    if language == "zh":
        more = f"另有 {rest} 种描述。" if rest > 0 else ""
        return f"共 {len(spans)} 段：{''.join(named)}{more}"
    more = f" And {rest} more." if rest > 0 else ""
    return f"{len(spans)} spans: {' '.join(named)}{more}"


_CHUNK = 16
"""Spans whose frames are decoded in one go and held in memory at once."""


class SpanWork:
    """See the module.

    Args:
        video: the clip.
        ask: who answers.
        options: how.
        journal: keeps finished spans; None: none are kept.
        on_span: told of every finished span.
    """

    def __init__(
        self,
        video: Video,
        ask: Asker,
        options: WatchOptions,
        journal: SpanJournal | None,
        on_span: Callable[[Span], None] | None,
    ) -> None:
        self._video = video
        self._ask = ask
        self._options = options
        self._journal = journal
        self._on_span = on_span
        self._clip = clip_fingerprint(video) if journal is not None else ""
        self.errors: list[VisionPipeError] = []

    def claimed(self) -> AbstractContextManager[None]:
        """Keeps other runs with the same journal from paying for the same words."""
        if not isinstance(self._journal, SqliteSpanJournal):
            return nullcontext()
        options = self._options
        return self._journal.claimed(
            span_key(clip=self._clip, language=options.language, identity=options.identity)
        )

    def recalled(self, plans: Sequence[SpanPlan]) -> list[Span]:
        """The spans that the journal knows."""
        if self._journal is None:
            return []
        known = [(plan, recorded_span(self._journal.get(self._key(plan)))) for plan in plans]
        return [self._told(replace(span, index=plan.index)) for plan, span in known if span is not None]

    def asked(self, plans: Sequence[SpanPlan]) -> list[Span]:
        """The spans of ``plans``, asked for by their frames."""
        size = max(_CHUNK, 2 * self._options.concurrency)
        return [
            span for start in range(0, len(plans), size) for span in self._chunk(plans[start : start + size])
        ]

    def finished(self, span: Span) -> Span:
        """Keeps the span, unless it failed, and tells of it."""
        if self._journal is not None and span.failure is None:
            text = json.dumps(span.to_json(), ensure_ascii=False)
            self._journal.put(self._key(SpanPlan(span.index, span.scene, span.start, span.end)), text)
        return self._told(span)

    def summed_up(self, spans: Sequence[Span]) -> Summary:
        """The summary; recalled where the spans' words are the ones that it was made of."""
        words: list[JSON] = [span.text for span in spans]
        options = self._options
        key = span_key(summary_of=words, language=options.language, identity=options.identity)
        known = self._journal.get(key) if self._journal is not None else None
        if known is not None:
            return Summary(known)
        made = summarise(
            spans, self._ask, language=options.language, max_characters=options.summary_characters
        )
        if self._journal is not None:
            self._journal.put(key, made.text)
        return made

    def _chunk(self, plans: Sequence[SpanPlan]) -> list[Span]:
        times = {plan.index: plan.frame_times(self._count(plan)) for plan in plans}
        moments = tuple(sorted({t for found in times.values() for t in found}))
        try:
            frames = sample_frames(self._video, At(moments), max_side=self._options.max_side).frames
        except BadVideoError as error:
            # Damage costs the spans it lies in.
            self.errors.append(error)
            failure = Failure.of(error)
            return [self.finished(_span(plan, "frames", (), None, failure)) for plan in plans]
        work = [(plan, seen_at(frames, times[plan.index])) for plan in plans]
        if self._options.concurrency == 1:
            return [self._one(plan, seen) for plan, seen in work]
        with ThreadPoolExecutor(self._options.concurrency) as pool:
            futures = [pool.submit(self._one, plan, seen) for plan, seen in work]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, plan: SpanPlan, frames: Sequence[Frame]) -> Span:
        times = tuple(frame.time for frame in frames)
        images = [frame.image for frame in frames]
        options = self._options
        seen_by: SeenBy = "frames"
        if options.max_images is not None and len(images) > options.max_images:
            seen_by = "sheet"
            labels = [str(time) for time in times]
            images = [contact_sheet(images, labels=labels, max_side=2 * options.max_side)]
        prompt = about_frames(times, options.language, sheet=seen_by == "sheet")
        try:
            reply = self._ask(prompt, images)
        except VisionPipeError as error:
            if error.scope == "job":
                raise
            self.errors.append(error)
            return self.finished(_span(plan, seen_by, times, None, Failure.of(error)))
        return self.finished(_span(plan, seen_by, times, reply, None))

    def _count(self, plan: SpanPlan) -> int:
        options = self._options
        return fit_count(
            plan.seconds,
            max_images=None if options.sheets else options.max_images,
            tokens_per_image=options.tokens_per_image,
            token_budget=options.token_budget,
            per_second=options.frames_per_second,
            at_most=options.frames_per_span,
        )

    def _key(self, plan: SpanPlan) -> str:
        options = self._options
        bounds: list[JSON] = [str(plan.start.exact), str(plan.end.exact), plan.scene]
        shown: list[JSON] = [self._count(plan), options.max_images, options.max_side]
        prompt = about_frames((plan.start,), options.language)
        return span_key(clip=self._clip, bounds=bounds, shown=shown, prompt=prompt, identity=options.identity)

    def _told(self, span: Span) -> Span:
        if self._on_span is not None:
            self._on_span(span)
        return span


def seen_at(frames: Sequence[Frame], times: Sequence[Fraction]) -> list[Frame]:
    """The frames shown at ``times``, each once; a still picture stands for every moment until the next."""
    starts = [frame.time.exact for frame in frames]
    return [frames[i] for i in sorted({max(0, bisect_right(starts, t) - 1) for t in times})]


def _span(
    plan: SpanPlan,
    seen_by: SeenBy,
    times: tuple[Timecode, ...],
    reply: Reply | None,
    failure: Failure | None,
) -> Span:
    return Span(
        index=plan.index,
        scene=plan.scene,
        start=plan.start,
        end=plan.end,
        text=reply.text.strip() if reply else "",
        seen_by=seen_by,
        frames=times,
        model=reply.model if reply else "",
        local=reply.local if reply else False,
        usage=reply.usage if reply else None,
        cost=reply.cost if reply else None,
        failure=failure,
        adjustments=reply.adjustments if reply else (),
        notes=reply.notes if reply else (),
    )


def make_thumbnails(video: Video, timeline: Timeline, *, max_side: int = 320) -> dict[int, Image]:
    """By span index, the picture in the middle of each span, as JPEG in memory, upright.

    Args:
        video: the clip that the timeline is of.
        timeline: its spans.
        max_side: pixels that neither side passes.

    Raises:
        BadVideoError, UnreadableSourceError: the clip cannot be read any more.
    """
    middles = {s.index: (s.start.exact + s.end.exact) / 2 for s in timeline.spans}
    moments = At(tuple(sorted(set(middles.values()))))
    frames = sample_frames(video, moments, max_side=max_side, quality=75).frames
    return {index: seen_at(frames, (middle,))[0].image for index, middle in middles.items()}


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
        options: see ``WatchOptions``.
        whole: where the model takes video; spans it says nothing of are then asked for by frames.
        journal: keeps finished spans, and gives them back to a later run; None: none are kept.
        on_span: told of every span as it is finished.

    Returns:
        Spans from 0 to the end of the clip's pictures, without gap or overlap.

    Raises:
        VisionPipeError: the clip cannot be read, a request failed in a way that all would (scope "job"),
            or not one span was answered.
        JournalError: another run with the same SQLite journal is at the same clip (code "locked").
    """
    wanted = options or WatchOptions()
    scan = scan_scenes(video, wanted.scenes)
    plans = plan_spans(scan.scenes, wanted.longest)
    work = SpanWork(video, ask, wanted, journal, on_span)
    notes: list[Note] = []
    with work.claimed():
        spans = {span.index: span for span in work.recalled(plans)}
        missing = [plan for plan in plans if plan.index not in spans]
        if whole is not None and missing:
            for span in tell_whole(missing, whole, ask, wanted.language, notes):
                spans[span.index] = work.finished(span)
            missing = [plan for plan in missing if plan.index not in spans]
            if missing:
                numbers = ", ".join(str(plan.index + 1) for plan in missing)
                detail = f"the model's answer about the whole clip has no words for span {numbers}"
                notes.append(Note("not_told", f"{detail}; asked by frames"))
        spans.update((span.index, span) for span in work.asked(missing))
        ordered = tuple(spans[plan.index] for plan in plans)
        if work.errors and all(span.failure for span in ordered):
            raise work.errors[0]
        summary = work.summed_up(ordered) if wanted.summary else Summary("")
    return _timeline(video, scan, ordered, summary, notes)


def _timeline(
    video: Video, scan: SceneScan, spans: tuple[Span, ...], summary: Summary, notes: Sequence[Note]
) -> Timeline:
    answered = [span for span in spans if span.failure is None]
    counted = [*(span.usage for span in answered), *(reply.usage for reply in summary.replies)]
    usages = [usage for usage in counted if usage is not None]
    seen = len({moment for span in spans for moment in span.frames})
    by_video = sum(span.seen_by == "video" for span in spans)
    done = [
        *video.adjustments,
        *scan.adjustments,
        Adjustment(
            "sampled", video.name, f"{len(spans)} spans of {len(scan.scenes)} scenes, {seen} frames shown"
        ),
    ]
    if 0 < by_video < len(spans):
        detail = f"{len(spans) - by_video} of {len(spans)} spans, of which the model said nothing"
        done.append(Adjustment("frames", video.name, f"shown as frames: {detail}"))
    return Timeline(
        clip=video.name,
        duration=scan.scenes[-1].end,
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
