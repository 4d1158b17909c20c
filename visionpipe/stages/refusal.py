"""Tells a model's refusal from an answer, in English and Chinese.

A refusal is told by how a sentence opens, never by a word somewhere in it. What stands in
quotation marks is the picture's text and not the model's voice, so it is left out before looking.
"""

from __future__ import annotations

import re
import threading

_QUOTED = re.compile(
    r"“[^”]*”|「[^」]*」|『[^』]*』|《[^》]*》|\"[^\"]*\""
    r"|(?<!\w)‘[^’]*(?:’\w[^’]*)*’(?!\w)|(?<!\w)'(?:[^']|'(?=\w))*'(?!\w)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_LEAD = re.compile(r"^[\s>#*_\-•–—\U0001F300-\U0001FAFF]+")


def _pattern(written: str) -> str:
    """A pattern from its written form, where a line break means nothing and a space any white space."""
    return re.sub(r"\n\s*", "", written).replace(" ", r"\s+")


_PICTURE_EN = (
    r"(?:image|picture|photo|photograph|video|clip|frame|file|attachment|link|url|content|upload)s?\b"
)
_APOLOGY_EN = _pattern(
    r"""(?:
    (?:(?:i'm|i am|we're|we are) (?:so |very |really |truly )?(?:sorry|afraid)
    |(?:my )?(?:sincere )?apologies|(?:i|we) apologi[sz]e|sorry|unfortunately|regrettably)
    (?: for [^,.]*)?[\s,;:—–-]*(?:but\b|however\b|that\b)?[\s,]*)"""
)
_ROLE_EN = _pattern(
    r"(?:as an? (?:ai|artificial intelligence|large language model|language model|llm)\b[^,.]*,\s*)"
)
_CANNOT_EN = _pattern(
    r"""(?:i|we)(?: (?:really|simply|just|currently|also))?\s*(?:
    (?:won't|will not) be able to|can't|cannot|can not|could not|couldn't|won't|will not
    |(?:'m|'re|am|are) (?:unable|not able|not allowed|not permitted|not going) to
    |(?:must|have to) decline(?: to)?|decline to|refuse to
    |(?:do not|don't) have the (?:ability|capability|capacity) to
    |(?:do not|don't|wouldn't|would not) feel comfortable|(?:'m|am) not comfortable)"""
)
_ARTICLES_EN = r"(?:(?:the|this|that|these|those|any|your|an|a|actual|attached|uploaded|provided)\s+)*"
# What tells declining the task ("I can't see the image") from an answer ("I can't see any people").
_TASK_EN = (
    _pattern(
        r"""\s*(?:to )?(?:
    (?:help|assist|comply|fulfil|fulfill|proceed|engage|participate|oblige|accommodate)\b
    |(?:provide|offer|give|generate|create|produce|write|share|supply)(?:ing)?\b
    |(?:describing|helping|identifying|answering|discussing|commenting)\b
    |(?:answer|discuss|support|continue|complete|process|respond|do)
    \s+(?:to )?(?:this|that|the|your|with|such|it\b)
    |(?:with )?(?:this|that|your|the) (?:request|task|question)\b
    |(?:identify|recogni[sz]e) (?:him|her|them)\b
    |(?:identify|recogni[sz]e|name|tell you|say|determine|confirm|verify)(?:ing)? (?:(?:who|whether this is)\b
    |(?:(?:the|this|that|these|those|any|a|real|specific|private|unknown|individual) )*
    (?:people|persons?|individuals?|man|woman|men|women|child|children|faces?|someone|anyone|somebody)\b)
    |(?:see|view|access|open|load|display|read|look at|analy[sz]e|describe|interpret|process|caption
    |comment on)(?:ing)? (?:or \w+ )?"""
    )
    + _ARTICLES_EN
    + _PICTURE_EN
    + ")"
)
_OTHER_EN = _pattern(
    r"""(?:unable|not able) to (?:help|assist|comply|fulfil|fulfill)\b
    |(?:unable|not able) to (?:provide|process|describe|analy[sz]e|identify|generate|caption)
    \s+ARTICLES(?:request|description|caption|person|individual|PICTURE)
    |(?:this|that|your|the) (?:request|question|prompt)
    \s+(?:violates|goes against|cannot|can't|could not|was (?:rejected|refused|blocked|declined))
    |(?:it's|it is|it would be) (?:against (?:my|our|the) (?:\w+ )?(?:guidelines|policy|policies|rules)
    |not (?:appropriate|possible) for me)
    |(?:my|our) (?:guidelines|policies|policy|programming|rules)
    \s+(?:prevent|prohibit|do not allow|don't allow|forbid)
    |(?:i|we) (?:do not|don't) (?:see|have access to|have) (?:(?:an|any|the|a|your) )+
    (?:(?:attached|uploaded|actual) )?PICTURE
    |no (?:image|picture|photo|video) (?:was|has been|is) (?:provided|attached|uploaded|supplied|included)
    |(?:please|could you) (?:upload|provide|attach|share) (?:an?|the) (?:image|picture|photo|video)\b"""
)
_OTHER_EN = _OTHER_EN.replace("ARTICLES", _ARTICLES_EN).replace("PICTURE", _PICTURE_EN)
_EN = (
    rf"{_APOLOGY_EN}?{_ROLE_EN}?{_APOLOGY_EN}?(?:{_CANNOT_EN}{_TASK_EN}|{_OTHER_EN})"
    rf"|{_APOLOGY_EN}{_CANNOT_EN}\s*[.!]?$"
    rf"|{_ROLE_EN}(?:{_CANNOT_EN}|i\s+(?:do\s+not|don't))"
)

_PICTURE_ZH = "(?:图片|图像|照片|图|视频|文件|附件|链接|画面|内容)"
_APOLOGY_ZH = _pattern(
    r"""(?:(?:非常|十分|很|真的|实在)?(?:抱歉|对不起|遗憾|不好意思)
    [，,。！!、\s]*(?:但是|但|不过|因为)?[，,\s]*)"""
)
_ROLE_ZH = _pattern(
    r"""(?:(?:作为|身为)(?:一个|一名|一款)?(?:人工智能|AI|语言模型|大模型|智能助手)
    [^，,。]*[，,]\s*)"""
)
_CANNOT_ZH = _pattern(
    """(?:我|我们|本模型|本助手)?(?:暂时|目前|现在|也|并|还|确实)?
    (?:无法|不能|不可以|没办法|没有办法|不便|不会|无权)"""
)
_TASK_ZH = _pattern(
    """(?:(?:为您|为你|给您|给你|向您|向你|直接|准确|继续)*
    (?:提供|协助|帮助|帮您|帮你|满足|回答|回应|处理|完成|生成|讨论|执行|参与|透露|给出|回复|支持)
    |(?:直接|准确)?(?:识别|辨认|确认|判断|确定|指认|说出|告知|透露)
    [^，,。]{0,8}(?:人物|身份|是谁|真实|个人|此人|该人|他|她|人脸|面部)
    |(?:直接)?(?:查看|看到|访问|打开|读取|加载|分析|描述|解析|浏览)[^，,。]{0,6}PICTURE)"""
).replace("PICTURE", _PICTURE_ZH)
_OTHER_ZH = _pattern(
    """(?:该|此|这个|您的|你的)(?:请求|问题|内容|要求)(?:违反|涉及|不符合|无法|不能|可能违反)
    |我(?:必须|需要|只能)?(?:拒绝|谢绝)
    |(?:请|麻烦您?)(?:上传|提供|发送)[^，,。]{0,6}PICTURE
    |(?:您|你)(?:似乎|好像)?(?:还)?(?:没有|未)(?:上传|提供|发送)
    |这(?:个问题|一请求)我(?:无法|不能)
    |根据(?:相关|有关|我的)?(?:规定|政策|法律法规|准则)[，,]?(?:我)?(?:无法|不能)"""
).replace("PICTURE", _PICTURE_ZH)
_ZH = (
    f"{_APOLOGY_ZH}?{_ROLE_ZH}?{_APOLOGY_ZH}?(?:{_CANNOT_ZH}{_TASK_ZH}|{_OTHER_ZH})"
    f"|{_ROLE_ZH}{_CANNOT_ZH}|{_APOLOGY_ZH}我(?:无法|不能|没办法)"
)


_patterns: dict[str, re.Pattern[str]] = {}
_compiling = threading.Lock()


def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, compiled at first use: that takes ten milliseconds, and few answers need both."""
    found = _patterns.get(pattern)
    if found is None:
        # One at a time, since the first answers of a job come to dozens of threads at once.
        with _compiling:
            found = _patterns.get(pattern)
            if found is None:
                found = _patterns[pattern] = re.compile(pattern, re.IGNORECASE)
    return found


def without_quotations(text: str) -> str:
    """The text with each quotation replaced by an ellipsis in plain quotes."""
    return _QUOTED.sub('"…"', text.replace("\r\n", "\n"))


def refusal(text: str, *, sentences: int = 2) -> str | None:
    """The sentence that refuses, or None.

    Args:
        text: the answer.
        sentences: how many sentences from the start are looked at.
    """
    voice = without_quotations(text)
    parts = [part.strip() for part in _SENTENCE_END.split(voice) if part.strip()]
    for part in parts[:sentences]:
        opening = _LEAD.sub("", part).replace("’", "'")
        if _compiled(_EN).match(opening):
            return part
        if not opening.isascii() and _compiled(_ZH).match(opening):
            return part
    return None
