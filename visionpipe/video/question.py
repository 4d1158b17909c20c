"""A question over a clip, answered from frames, with the frames that the answer rests on; and what the model
is told about a clip's pictures, in English and Chinese.

The words come from the model and the times never do: it is told the times, asked not to state any, and names
pictures by number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from visionpipe.clips.frames import Even, FrameSet, Sampling, fit_count, sample_frames
from visionpipe.images.contact_sheet import contact_sheet
from visionpipe.media import Frame, Image, Video
from visionpipe.prompts.presets import Language
from visionpipe.reply import Reply
from visionpipe.values import Note, Timecode
from visionpipe.video.spans import Asker, SpanPlan

_ONE = {
    "en": "This picture is from a clip, at {times}. Say in one or two plain sentences what it shows and what "
    "is happening. Say only what can be seen. Do not state times.",
    "zh": "这幅画面取自一段视频，时间是 {times}。请用一两句朴实的话说明画面内容和正在发生的事，"
    "只说看得见的，不要写时间。",
}
_SEVERAL = {
    "en": "These {count} pictures are from one stretch of a clip, in order, at {times}. Say in one or two "
    "plain sentences what happens in the stretch as a whole. Say only what can be seen. Do not state times.",
    "zh": "这 {count} 幅画面按顺序取自同一段视频，时间是 {times}。请用一两句朴实的话说明这一段里发生了什么，"
    "只说看得见的，不要写时间。",
}
_SHEET = {
    "en": "This sheet shows {count} pictures from one stretch of a clip, in reading order, at {times}. Say "
    "in one or two plain sentences what happens in the stretch as a whole. Say only what can be seen. Do not "
    "describe the sheet. Do not state times.",
    "zh": "这张拼图按阅读顺序排列了同一段视频中的 {count} 幅画面，时间是 {times}。"
    "请用一两句朴实的话说明这一段里发生了什么，只说看得见的，不要描述拼图本身，不要写时间。",
}
_VIDEO = {
    "en": "The clip has {count} scenes:\n{scenes}\nFor each scene write one line: its number, a colon, and "
    "one or two plain sentences about what happens in it. Say only what can be seen. Do not state times.",
    "zh": "这段视频有 {count} 个场景：\n{scenes}\n请为每个场景写一行：先写编号和冒号，"
    "再用一两句朴实的话说明其中发生的事。只说看得见的，不要写时间。",
}
_SUMMARY = {
    "en": "These are descriptions of a clip's scenes, in order:\n{lines}\nSay in two to four plain sentences "
    "what the clip as a whole is about and how it goes. Add nothing that is not in them.",
    "zh": "以下按顺序是一段视频各场景的描述：\n{lines}\n请用两到四句朴实的话概括整段视频的内容和经过，"
    "不要添加描述里没有的内容。",
}
_QUESTION = {
    "en": "These {count} pictures are from one clip, in order: {numbered}.\nEnd your answer with the numbers "
    "of the pictures it rests on, in square brackets, such as [2, 3].\n{question}",
    "zh": "这 {count} 幅画面按顺序取自一段视频：{numbered}。\n请在回答末尾用方括号写出所依据画面的编号，"
    "例如 [2, 3]。\n{question}",
}


def about_frames(times: Sequence[Timecode], language: Language, *, sheet: bool = False) -> str:
    """The prompt for a span shown as frames, or as one sheet of them."""
    form = _SHEET if sheet else _ONE if len(times) == 1 else _SEVERAL
    return form[language].format(count=len(times), times=", ".join(map(str, times)))


def about_video(spans: Sequence[SpanPlan], language: Language, offset: Timecode) -> str:
    """The prompt for a clip shown whole; ``offset`` is where it begins in the spans' time."""
    scenes = "\n".join(
        f"{number}: {_since(offset, span.start)} - {_since(offset, span.end)}"
        for number, span in enumerate(spans, 1)
    )
    return _VIDEO[language].format(count=len(spans), scenes=scenes)


def about_scenes(lines: Sequence[str], language: Language) -> str:
    """The prompt for the summary."""
    return _SUMMARY[language].format(lines="\n".join(lines))


def about_clip(question: str, times: Sequence[Timecode], language: Language) -> str:
    """The prompt for a question over a clip's frames."""
    numbered = ", ".join(f"{number}: {time}" for number, time in enumerate(times, 1))
    return _QUESTION[language].format(count=len(times), numbered=numbered, question=question)


def _since(offset: Timecode, moment: Timecode) -> Timecode:
    return Timecode.at(max(moment.exact - offset.exact, Fraction(0)), moment.time_base)


_ON_A_SHEET = 9
_NUMBERS = r"\d{1,3}(?:\s*(?:[,，、;–-]|and|和)\s*\d{1,3}){0,63}"
_NAMED = r"(?:(?:pictures?|frames?|images?|图片?|画面|帧)\s*)?"
_CITED = re.compile(rf"(?<![A-Za-z0-9_)\]])[\[【]\s*{_NAMED}({_NUMBERS})\s*[\]】]", re.IGNORECASE)
"""A citation in the form that the prompt asks for; an index (``a[0]``) is none, nor is a long number."""
_AFTER = " \t\r\n.,;:。，、；："
"""What may stand between the citations at an answer's end, and after them."""


@dataclass(frozen=True, slots=True)
class ClipAnswer:
    """``reply`` with the citations taken out of its text; ``frames`` were shown, ``rests_on`` are those
    that the model named (empty where it named none)."""

    reply: Reply
    frames: tuple[Frame, ...]
    rests_on: tuple[Frame, ...]


def ask_clip(
    video: Video,
    question: str,
    ask: Asker,
    *,
    max_images: int | None = None,
    at_most: int = 16,
    sampling: Sampling | None = None,
    max_side: int = 1024,
    language: Language = "en",
    sheets: bool = False,
) -> ClipAnswer:
    """Asks about a clip by its frames.

    Args:
        video: the clip.
        question: in the user's words.
        ask: who answers.
        max_images: pictures the model takes in one request; None: any number.
        at_most: never more frames than this.
        sampling: which frames; None: evenly spread, one a second, as many as the limits allow.
        max_side: frames are made smaller to this, in pixels.
        language: of the words around the question.
        sheets: lay the frames on one labelled sheet where the model takes fewer than there are.

    Raises:
        VisionPipeError: the clip cannot be read, or whatever ``ask`` raises.
    """
    images, found = clip_pictures(
        video, sampling, max_images=max_images, at_most=at_most, max_side=max_side, sheets=sheets
    )
    times = [frame.time for frame in found]
    reply = ask(about_clip(question, times, language), images)
    adjustments = (*reply.adjustments, *(a for a in found.adjustments if a not in reply.adjustments))
    return grounded(replace(reply, adjustments=adjustments), found.frames)


def clip_pictures(
    video: Video,
    sampling: Sampling | None = None,
    *,
    max_images: int | None,
    at_most: int = 16,
    max_side: int = 1024,
    sheets: bool = False,
    tokens_per_image: int | None = None,
    token_budget: int | None = None,
) -> tuple[tuple[Image, ...], FrameSet]:
    """What a model is shown of a clip: frames, or one sheet of them with their numbers and times.

    Args:
        video, sampling, max_images, at_most, max_side, sheets: as for ``ask_clip``.
        tokens_per_image, token_budget: estimates, where known; fewer frames where they would not fit.

    Returns:
        The images to send, and the frames that are on them.

    Raises:
        BadVideoError, UnreadableSourceError, ParameterError: as ``sample_frames``.
        ContextLimitError: not even one picture fits the token budget.
    """
    count = fit_count(
        video.duration.exact,
        max_images=None if sheets else max_images,
        tokens_per_image=None if sheets else tokens_per_image,
        token_budget=token_budget,
        at_most=min(at_most, _ON_A_SHEET) if sheets else at_most,
    )
    found = sample_frames(video, sampling or Even(count), max_side=max_side)
    if not sheets or max_images is None or len(found) <= max_images:
        return found.images, found
    labels = [f"{number}: {frame.time}" for number, frame in enumerate(found, 1)]
    return (contact_sheet(found.images, labels=labels, max_side=2 * max_side),), found


def grounded(reply: Reply, frames: Sequence[Frame]) -> ClipAnswer:
    """The answer to a prompt of ``about_clip``: its citations taken out of the
    text, and the times of the frames it rests on among its notes (kind "rests_on")."""
    text, cited = without_citations(reply.text, len(frames))
    rests_on = tuple(frames[n - 1] for n in cited)
    notes = reply.notes
    if rests_on:
        notes = (*notes, Note("rests_on", ", ".join(str(frame.time) for frame in rests_on)))
    return ClipAnswer(replace(reply, text=text, notes=notes), tuple(frames), rests_on)


def without_citations(text: str, count: int) -> tuple[str, list[int]]:
    """The text without the citations at its end, and the pictures that it rests on.

    Only what stands where the prompt asks for it is taken out, and only where it names one of the ``count``
    pictures shown. Where nothing stands at the end, citations within the text are counted and left there.

    Returns:
        The text, and the pictures' numbers from 1, ascending.
    """
    rest = text.rstrip()
    cited: list[int] = []
    while True:
        bare = rest.rstrip(_AFTER)
        last = next((m for m in _CITED.finditer(bare, max(0, len(bare) - 400)) if m.end() == len(bare)), None)
        known = [n for n in _numbers(last[1]) if 1 <= n <= count] if last is not None else []
        if last is None or not known:
            break
        cited += known
        # The full stop after a citation ends the sentence before it.
        end = rest[len(bare) :].strip()[:1]
        before = bare[: last.start()].rstrip()
        rest = before + end if end in (".", "。") and before[-1:].isalnum() else before
    if not cited:
        return text.strip(), sorted({n for n in cited_numbers(text) if 1 <= n <= count})
    return rest or text.strip(), sorted(set(cited))


def cited_numbers(text: str) -> list[int]:
    """The numbers in square brackets: ``[2, 4]`` and ``[2-4]``, each of three digits at most."""
    return [number for found in _CITED.finditer(text) for number in _numbers(found[1])]


def _numbers(group: str) -> list[int]:
    numbers: list[int] = []
    for piece in re.split(r"\s*(?:[,，、;]|and|和)\s*", group):
        first, _, last = re.sub(r"\s*[–-]\s*", "-", piece).partition("-")
        numbers += range(int(first), int(last.rpartition("-")[2] or first) + 1)
    return numbers
