"""Facts to one plain sentence, in English or Chinese. Pure.

The rule: exactly one sentence, and no word in it that is not in the facts. Where nothing is sure it says so.
"""

from __future__ import annotations

from typing import Literal

from visionpipe.local.facts import Facts, Objects, Subject
from visionpipe.local.imagenet import CHINESE, ENGLISH
from visionpipe.local.names import BY_LABEL, COLOURS, FAMILY_OF, Thing

Language = Literal["en", "zh"]

LARGE_PERSON = 0.12
MOST_OTHERS = 3
MOST_QUOTED = 60
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十")


def sentence(facts: Facts, lang: Language = "en") -> str:
    """One sentence that says what ``facts`` holds, with its full stop."""
    return _chinese(facts) if lang == "zh" else _english(facts)


def main_things(facts: Facts) -> tuple[Subject | Objects, ...]:
    """What there is to name, the most important first; a subject and the boxes around it are one."""
    subject, objects = facts.subject, list(facts.objects)
    kin = FAMILY_OF[subject.family].coco if subject and subject.family else None
    same = next((group for group in objects if group.label == kin), None)
    if same is not None:
        objects.remove(same)
    named: list[Subject | Objects] = (
        [] if subject is None else [same if same is not None and same.count > 1 else subject]
    )
    for group in objects:
        leads = group.label == "person" and max(box.area for box in group.boxes) >= LARGE_PERSON
        named.insert(0, group) if leads else named.append(group)
    return tuple(named[: MOST_OTHERS + 1])


def _english(facts: Facts) -> str:
    look = facts.look
    traits = [
        word
        for word, holds in (("dark", look.exposure == "dark" and not look.bilevel), ("blurred", look.blurred))
        if holds
    ]
    if look.grey:
        traits.append("black-and-white")
    kind = ", ".join(traits) + (" " if traits else "") + ("picture" if look.bilevel else "photo")
    first, *others = [_thing_english(thing) for thing in main_things(facts)] or [""]
    text = f"A {kind} of {first}" if first else f"A {kind} whose subject the local analysis cannot name"
    if others:
        text += f" with {_and(others, ' and ')}"
    colours = [colour.name for colour in look.colours if colour.share >= 0.15][:2]
    if colours and not look.grey:
        text += f", mostly {' and '.join(colours)}"
    quoted = _quoted(facts)
    if quoted:
        text += f', with text that begins "{quoted}"'
    return f"{text}."


def _thing_english(thing: Subject | Objects) -> str:
    if isinstance(thing, Objects):
        return _count_english(BY_LABEL[thing.label], thing.count)
    if thing.family is not None:
        return _count_english(FAMILY_OF[thing.family].thing, 1)
    return ENGLISH.get(thing.index) or _article(thing.label)


def _count_english(thing: Thing, count: int) -> str:
    if count == 1:
        return _article(thing.english)
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} {thing.plural}"


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _and(words: list[str], last: str, between: str = ", ") -> str:
    return last.join([between.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _chinese(facts: Facts) -> str:
    look = facts.look
    traits = [
        word
        for word, holds in (("较暗", look.exposure == "dark" and not look.bilevel), ("模糊", look.blurred))
        if holds
    ]
    kind = (
        "、".join(traits)
        + ("的" if traits else "")
        + ("黑白" if look.grey else "")
        + ("图片" if look.bilevel else "照片")
    )
    things = [_thing_chinese(thing) for thing in main_things(facts)]
    text = f"一张{kind}，" + (f"画面中有{_and(things, '和', '、')}" if things else "本地分析无法判断其主体")
    colours = [COLOURS[colour.name] for colour in look.colours if colour.share >= 0.15][:2]
    if colours and not look.grey:
        text += f"，以{'和'.join(colours)}为主"
    quoted = _quoted(facts)
    if quoted:
        text += f"，文字开头为“{quoted}”"
    return f"{text}。"


def _thing_chinese(thing: Subject | Objects) -> str:
    if isinstance(thing, Objects):
        return _count_chinese(BY_LABEL[thing.label], thing.count)
    if thing.family is not None:
        return _count_chinese(FAMILY_OF[thing.family].thing, 1)
    return CHINESE.get(thing.index) or thing.label


def _count_chinese(thing: Thing, count: int) -> str:
    return f"{_DIGITS[count] if count < len(_DIGITS) else count}{thing.measure}{thing.chinese}"


def _quoted(facts: Facts) -> str:
    return ""
