"""What the model is told about the pictures of a clip, in English and Chinese.

The words come from the model and the times never do, so it is told the times and asked not to
state any.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from visionpipe.prompts.presets import Language
from visionpipe.values import Timecode
from visionpipe.video.spans import SpanPlan

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
