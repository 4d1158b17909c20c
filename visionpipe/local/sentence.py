"""Facts to one plain sentence, in English or Chinese. Pure.

Exactly one sentence, and no word in it that is not in the facts. Where nothing is sure it says so.
"""

from __future__ import annotations

from visionpipe.local.decide import BY_LABEL, CHINESE, COLOURS, ENGLISH, FAMILY_OF, Thing, kin_of
from visionpipe.local.facts import Facts, Objects, Subject
from visionpipe.prompts.presets import Language

LARGE_PERSON = 0.12
"""From this share of the image on, a person is what the photo is of."""

SURE_OF_THE_CLASS = 0.8
MOST_THINGS = 4
MOST_COLOURS = 2
LEAST_COLOUR = 0.15
MOST_QUOTED = 48
LINES_OF_A_TEXT = 3
"""So many lines make a page of text; fewer are a sign or a label on something else."""

NO_TEXT = "[no text]"
"""What the purpose ``ocr`` asks for where there is none."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十")


def sentence(facts: Facts, lang: Language = "en") -> str:
    """One sentence that says what ``facts`` holds, with its full stop."""
    return _chinese(facts) if lang == "zh" else _english(facts)


def is_abstention(facts: Facts) -> bool:
    """Whether ``sentence`` says no more than that the subject cannot be named."""
    return not main_things(facts) and not _is_text(facts)


def tags(facts: Facts, lang: Language = "en") -> list[str]:
    """What is sure, the most important first: things with their count, traits, colours."""
    look = facts.look
    zh = lang == "zh"
    found = [_tag(thing, zh) for thing in main_things(facts)]
    if _is_text(facts):
        found.append("文字" if zh else "text")
    traits = (*_traits(facts), look.grey)
    words = ("较暗", "模糊", "黑白") if zh else ("dark", "blurred", "black and white")
    found += [word for word, holds in zip(words, traits, strict=True) if holds]
    found += [COLOURS[name] if zh else name for name in _colours(facts)]
    return list(dict.fromkeys(found))


def _tag(thing: Subject | Objects, zh: bool) -> str:
    if isinstance(thing, Objects):
        named = BY_LABEL[thing.label]
        if thing.count > 1:
            return _count_chinese(named, thing.count) if zh else _count_english(named, thing.count)
        return named.chinese if zh else named.english
    if thing.family is not None:
        named = FAMILY_OF[thing.family].thing
        return named.chinese if zh else named.english
    if zh:
        return _thing_chinese(thing)
    return (ENGLISH.get(thing.index) or thing.label).removeprefix("a ").removeprefix("an ").lower()


def all_text(facts: Facts) -> str:
    """Every line that was read, or the mark of a picture without any."""
    return "\n".join(line.text for line in facts.text or ()) or NO_TEXT


def main_things(facts: Facts) -> tuple[Subject | Objects, ...]:
    """What there is to name, the most important first; a subject and the boxes around it are one."""
    subject, objects = facts.subject, list(facts.objects)
    named: list[Subject | Objects] = []
    if subject is not None:
        boxes = next((group for group in objects if group.label == kin_of(subject)), None)
        if boxes is not None:
            objects.remove(boxes)
        # The detector's word is the wider one ("motorcycle" for "moped"), and it can count.
        wider = boxes is not None and (boxes.count > 1 or subject.probability < SURE_OF_THE_CLASS)
        named.append(boxes if boxes is not None and wider else subject)
    for group in objects:
        if group.label == "person" and max(box.area for box in group.boxes) >= LARGE_PERSON:
            named.insert(0, group)
        else:
            named.append(group)
    return tuple(named[:MOST_THINGS])


def _english(facts: Facts) -> str:
    look, quoted = facts.look, _quoted(facts)
    traits = [word for word, holds in zip(("dark", "blurred"), _traits(facts), strict=True) if holds]
    if look.grey:
        traits.append("black-and-white")
    head = " ".join([*([", ".join(traits)] if traits else []), "picture" if look.bilevel else "photo"])
    things = [_thing_english(thing) for thing in main_things(facts)]
    text = f"A {head}"
    if things:
        text += f" of {things[0]}"
        if things[1:]:
            text += f" with {_and(things[1:], ' and ', ', ')}"
    elif _is_text(facts):
        text += " of text"
    else:
        text += " whose subject the local analysis cannot name"
    if colours := _colours(facts):
        text += f", mostly {' and '.join(colours)}"
    if quoted:
        text += f', {"beginning" if not things and _is_text(facts) else "with text that reads"} "{quoted}"'
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


def _chinese(facts: Facts) -> str:
    look, quoted = facts.look, _quoted(facts)
    traits = [word for word, holds in zip(("较暗", "模糊"), _traits(facts), strict=True) if holds]
    kind = ("黑白" if look.grey else "") + ("图片" if look.bilevel else "照片")
    things = [_thing_chinese(thing) for thing in main_things(facts)]
    text = f"一张{'、'.join(traits)}{'的' if traits else ''}{kind}，"
    if things:
        text += f"画面中有{_and(things, '和', '、')}"
    elif _is_text(facts):
        text += "内容为文字"
    else:
        text += "本地分析无法判断其主体"
    if colours := _colours(facts):
        text += f"，以{'和'.join(COLOURS[name] for name in colours)}为主"
    if quoted:
        text += f"，{'开头为' if not things and _is_text(facts) else '其中的文字为'}“{quoted}”"
    return f"{text}。"


def _thing_chinese(thing: Subject | Objects) -> str:
    if isinstance(thing, Objects):
        return _count_chinese(BY_LABEL[thing.label], thing.count)
    if thing.family is not None:
        return _count_chinese(FAMILY_OF[thing.family].thing, 1)
    return CHINESE.get(thing.index) or thing.label


def _count_chinese(thing: Thing, count: int) -> str:
    return f"{_DIGITS[count] if count < len(_DIGITS) else count}{thing.measure}{thing.chinese}"


def _traits(facts: Facts) -> tuple[bool, bool]:
    # Ink on paper is neither dark nor light for a reason of exposure.
    return facts.look.exposure == "dark" and not facts.look.bilevel, facts.look.blurred


def _colours(facts: Facts) -> list[str]:
    if facts.look.grey:
        return []
    return [colour.name for colour in facts.look.colours if colour.share >= LEAST_COLOUR][:MOST_COLOURS]


def _is_text(facts: Facts) -> bool:
    return len(facts.text or ()) >= LINES_OF_A_TEXT


def _quoted(facts: Facts) -> str:
    """The first line of text, cut at a word, without quotation marks or an end of its own."""
    if not facts.text:
        return ""
    line = " ".join(facts.text[0].text.translate(_NO_QUOTES).split())
    if len(line) > MOST_QUOTED:
        line = line[: MOST_QUOTED - 1].rpartition(" ")[0] or line[: MOST_QUOTED - 1]
        return f"{line.rstrip(_ENDS)}…"
    return line.rstrip(_ENDS)


_NO_QUOTES = {ord(mark): "'" for mark in '"“”„«»'}
_ENDS = " .,;:!?。，；：！？…"


def _and(words: list[str], last: str, between: str) -> str:
    return last.join([between.join(words[:-1]), words[-1]] if len(words) > 1 else words)
