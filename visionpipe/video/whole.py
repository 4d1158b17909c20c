"""Asking a model that takes video about a clip, or its parts, as a whole.

The rule: the scenes' times are told to the model; times that it names itself are only used to find the
span it speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from visionpipe.media import Video
from visionpipe.reply import Reply
from visionpipe.values import Note
from visionpipe.video.asking import Asker
from visionpipe.video.model_times import read_answer
from visionpipe.video.options import WholeClip
from visionpipe.video.spans import SpanPlan
from visionpipe.video.timeline import Span
from visionpipe.video.wording import Language, about_video


def tell_whole(
    plans: Sequence[SpanPlan], whole: WholeClip, ask: Asker, language: Language, notes: list[Note]
) -> Iterator[Span]:
    """Yields a span for each plan that the model said something of.

    Args:
        plans: in order, in the original's time.
        whole: the clip or its parts, and how they are sent.
        ask: who answers; asked once a part that holds one of the plans.
        language: of the prompt.
        notes: gets what was left out of the answers.

    Raises:
        VisionPipeError: whatever ``ask`` and ``deliver`` raise.
    """
    for part, own in _shared_out(plans, whole.parts):
        reply = ask(about_video(own, language, part.offset), (whole.deliver(part),))
        readings = read_answer(reply.text, own, part.offset.exact)
        notes += readings.general
        # One request told of several spans: what it used is booked on the first of them.
        booked: Reply | None = reply
        for plan in own:
            if plan.index in readings.texts:
                yield Span(
                    index=plan.index,
                    scene=plan.scene,
                    start=plan.start,
                    end=plan.end,
                    text=readings.texts[plan.index],
                    seen_by="video",
                    model=reply.model,
                    local=reply.local,
                    usage=booked.usage if booked else None,
                    cost=booked.cost if booked else None,
                    adjustments=reply.adjustments,
                    notes=(*reply.notes, *readings.notes.get(plan.index, ())),
                )
                booked = None


def _shared_out(
    plans: Sequence[SpanPlan], parts: Sequence[Video]
) -> Iterator[tuple[Video, Sequence[SpanPlan]]]:
    """Each part with the spans whose middle lies in it; spans past every part belong to the last one."""
    ends = [part.offset.exact + part.duration.exact for part in parts]
    shares: list[list[SpanPlan]] = [[] for _ in parts]
    for plan in plans:
        middle = (plan.start.exact + plan.end.exact) / 2
        home = next((i for i, end in enumerate(ends) if middle < end), len(parts) - 1)
        shares[home].append(plan)
    yield from ((part, share) for part, share in zip(parts, shares, strict=True) if share)
