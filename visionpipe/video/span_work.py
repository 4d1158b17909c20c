"""One run over one clip's spans: what is known already is recalled, the rest sampled, asked and kept.

The rule: a span is kept the moment it is answered; one that fails keeps its place, with its reason, and is
asked again by the next run.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

from visionpipe.errors import VisionPipeError
from visionpipe.loaders.contact_sheet import contact_sheet
from visionpipe.loaders.frames import sample_frames
from visionpipe.loaders.sampling import At, fit_count
from visionpipe.media import Frame, Video
from visionpipe.reply import Reply
from visionpipe.results import Failure
from visionpipe.values import JSON, Timecode
from visionpipe.video.asking import Asker
from visionpipe.video.options import WatchOptions
from visionpipe.video.span_journal import SpanJournal, clip_fingerprint, span_key
from visionpipe.video.spans import SpanPlan
from visionpipe.video.summary import Summary, summarise
from visionpipe.video.timeline import SeenBy, Span
from visionpipe.video.wording import about_frames

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

    def recalled(self, plans: Sequence[SpanPlan]) -> list[Span]:
        """The spans that the journal knows."""
        if self._journal is None:
            return []
        known = [(plan, self._journal.get(self._key(plan))) for plan in plans]
        return [
            self._told(replace(Span.from_json(json.loads(text)), index=plan.index))
            for plan, text in known
            if text is not None
        ]

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
        frames = sample_frames(self._video, At(moments), max_side=self._options.max_side).frames
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
