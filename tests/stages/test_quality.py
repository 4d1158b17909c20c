"""What is noted about an answer, and what the policy makes of it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.prompts import presets
from visionpipe.prompts.presets import Language, Preset
from visionpipe.stages import quality
from visionpipe.stages.quality import assess, folded
from visionpipe.stages.quality_policy import KINDS, QualityPolicy, decide
from visionpipe.values import Note


def kinds(
    text: str,
    *,
    finish_reason: str = "stop",
    reasoning: str = "",
    preset: Preset | None = None,
    lang: Language | None = None,
) -> list[str]:
    notes = assess(text, finish_reason=finish_reason, reasoning=reasoning, preset=preset, lang=lang)
    return [note.kind for note in notes]


REFUSALS = [
    "I can't help with identifying this person.",
    "I’m sorry, but I can’t help with that.",
    "I'm sorry, I cannot identify people in images.",
    "Sorry, I can't assist with that request.",
    "I am unable to view the image you uploaded.",
    "I'm not able to see any image. Please upload it again.",
    "I cannot provide a description of this image.",
    "I'm sorry. I can't help with that.",
    "As an AI language model, I cannot view images.",
    "As an AI, I don't have the ability to see pictures.",
    "Unfortunately, I cannot process this image.",
    "I apologize, but I'm unable to assist with this.",
    "I won't be able to describe this photo.",
    "I don't feel comfortable describing this picture.",
    "I must decline to describe this content.",
    "Unable to process the image.",
    "Unable to comply with this request.",
    "This request violates the content policy.",
    "It is against my guidelines to describe this.",
    "My guidelines prevent me from naming people.",
    "I don't see any image attached.",
    "No image was provided.",
    "Please upload an image so that I can describe it.",
    "I cannot tell you who this is.",
    "The photo shows a man at a desk. I can't help with identifying this person.",
    "抱歉，我无法识别图中人物的身份。",
    "很抱歉，我不能提供这方面的描述。",
    "对不起，我无法查看您上传的图片。",
    "我无法协助完成这个请求。",
    "作为一个人工智能助手，我不能识别真实人物。",
    "作为AI语言模型，我无法看到图片。",
    "该请求违反了内容政策。",
    "非常抱歉，我暂时无法回答这个问题。",
    "我不能确认此人的身份。",
    "您似乎没有上传图片。",
    "请上传一张图片，我来为您描述。",
    "根据相关规定，我无法描述该内容。",
]

ANSWERS = [
    "A dog is unable to reach the bone on the table.",
    'A shop door with a sign saying "I\'m sorry we are closed" hangs in the window.',
    '"I\'m sorry we are closed" reads a paper sign on a shop door.',
    "“I’m sorry, I can’t help you today” is written on a note taped to a till.",
    "I'm sorry we are closed",
    "A sign reading 'I can't help it, I love cats' above a sofa.",
    'The poster says: "Sorry. I can\'t help with that." A man points at it.',
    "Sorry! board game box on a wooden shelf.",
    "Sorry, we're closed.",
    "A man cannot lift the heavy box.",
    "I cannot see any text in this image.",
    "I can't see any people in the picture, only a beach.",
    "I can't identify the species of the bird, but its head is blue.",
    "Unable to reach the shelf, a child stands on a stool.",
    "Unable to describe his feelings, the man in the comic weeps.",
    "As an AI robot rolls by, children wave.",
    "Unfortunately for the cat, the fish bowl is out of reach.",
    "The request form on the desk is blank.",
    "A woman refuses to help a man with his bag.",
    "We can do it! says the poster of a woman with a red scarf.",
    "I can help you, says a robot's speech bubble.",
    "No image stands on the empty easel.",
    "Please upload your photos here, says the kiosk.",
    "一只狗够不到桌上的骨头。",
    "店门上的牌子写着“抱歉，我们已打烊”。",
    "“对不起，我无法帮您”几个字写在收银台的纸条上。",
    "对不起，本店已打烊",
    "抱歉，今日休息。",
    "无法辨认的涂鸦写满了整面墙。",
    "一个男人无法举起沉重的箱子。",
    "我不能没有你——一张海报上的标题。",
    "我无法呼吸的标语出现在人群上方。",
    "请上交手机的告示贴在教室门口。",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_flagged(text: str) -> None:
    assert kinds(text) == ["refusal"]


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_that_only_sounds_like_one_is_kept(text: str) -> None:
    assert kinds(text, preset=presets.describe) == []


def test_a_long_refusal_is_quoted_short() -> None:
    (note,) = assess(
        "I can't help with identifying this person, whoever it may be, and however often you ask me to."
    )
    assert note.kind == "refusal"
    assert len(note.detail) == 80


def test_a_transcribed_page_may_hold_a_refusal_further_down() -> None:
    page = "Chapter 3\n\nI can't help with that, she said."
    assert kinds(page, preset=presets.ocr) == []
    assert kinds(page) == ["refusal"]


def test_a_refusal_inside_data_is_found() -> None:
    assert kinds('{"tags": ["I can\'t help with identifying this person."]}', preset=presets.tags) == [
        "refusal"
    ]


@pytest.mark.parametrize(
    ("text", "reasoning", "expected"),
    [
        ("", "", ["empty"]),
        (" \n\t", "", ["empty"]),
        ("", "Let me look.", ["thinking_only"]),
        ("A cat.", "Hm.", []),
    ],
)
def test_no_text(text: str, reasoning: str, expected: list[str]) -> None:
    assert kinds(text, reasoning=reasoning) == expected


def test_an_answer_cut_at_the_limit_is_truncated() -> None:
    assert kinds("A cat sits on the", finish_reason="length") == ["truncated"]
    assert kinds("", finish_reason="length", reasoning="Hm") == ["truncated", "thinking_only"]


@pytest.mark.parametrize(
    "text",
    [
        "The man is wearing a hat and a shirt, " * 6,
        "A red car. " + "It is parked on the street. " * 5,
        "a cat " + "and a dog " * 8,
        "no " * 30,
        "一只猫坐在垫子上，" * 6,
        "The wall is " + "a" * 60,
        "The man is tall.\nThe hat is red.\nThe man is tall.\nA dog.\nThe man is tall.\n\nThe man is tall.",
    ],
)
def test_a_loop_is_repetition(text: str) -> None:
    assert kinds(text) == ["repetition"]


@pytest.mark.parametrize(
    "text",
    [
        "A very, very, very old oak.",
        "Three signs read stop, stop, stop.",
        "A man and a woman and a child and a dog and a cat walk along the beach and the pier.",
        "哈哈大笑的孩子们在公园里奔跑。",
        "New York, New York, a song sheet on a piano.",
    ],
)
def test_emphasis_and_lists_are_no_loop(text: str) -> None:
    assert kinds(text) == []


def test_a_table_may_repeat_itself_where_text_is_transcribed() -> None:
    table = "| a | b |\n| --- | --- |\n" + "| 0 | yes |\n" * 12
    assert kinds(table, preset=presets.ocr) == []
    assert kinds("0 " * 400, preset=presets.ocr) == []
    assert kinds("the same line again " * 60, preset=presets.ocr) == ["repetition"]


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("一只猫坐在窗台上，看着外面的雨。", "en", ["wrong_language"]),
        ("A cat sits on a window sill and looks at the rain.", "zh", ["wrong_language"]),
        ("Кошка сидит на подоконнике и смотрит на дождь.", "en", ["wrong_language"]),
        ("猫が窓辺にすわって、あめをながめているところ。", "en", ["wrong_language"]),
        ("A cat sits on a window sill.", "en", []),
        ("一只猫坐在窗台上。", "zh", []),
        ("一部 iPhone 15 Pro Max 放在 MacBook 旁边。", "zh", []),
        ("A red banner reads “欢迎来到北京大学参加二零二四年毕业典礼”.", "en", []),
        ("OK", "zh", []),
        ("42", "en", []),
    ],
)
def test_the_language_is_told_by_script(text: str, lang: Language, expected: list[str]) -> None:
    assert kinds(text, lang=lang) == expected


def test_a_transcription_keeps_the_language_of_the_picture() -> None:
    assert kinds("欢迎来到北京大学", preset=presets.ocr, lang="en") == []


def test_length_is_held_to_the_preset_and_language() -> None:
    sentence = (
        "An old oak "
        + "stands " * 3
        + "by a long and winding road between two green fields full of white sheep"
    )
    padded = f"{sentence} in mid-summer".ljust(125, ".")
    assert kinds(padded, preset=presets.alt_text) == []
    assert kinds(padded + ".", preset=presets.alt_text) == ["too_long"]
    assert kinds("猫狗鸟鱼马牛羊" * 2, preset=presets.alt_text.with_length(20), lang="zh") == ["too_long"]


def test_a_caption_is_one_line_without_markdown() -> None:
    assert kinds("A cat.\nA dog.", preset=presets.caption) == ["several_lines"]
    assert kinds("**A cat** on a mat.", preset=presets.caption) == ["leftover_markup"]
    assert kinds("# Page\n\n**Bold** text", preset=presets.ocr) == []
    assert kinds("# Page\n\n**Bold** text") == []


@pytest.mark.parametrize(
    "text", ["A cat.<|endoftext|>", "A cat.</answer>", "<|user|> A cat", "<think> A cat"]
)
def test_special_tokens_are_leftovers_everywhere(text: str) -> None:
    assert kinds(text) == ["leftover_markup"]
    assert kinds(text, preset=presets.ocr) == ["leftover_markup"]


@given(
    st.text(max_size=300), st.sampled_from([None, *presets.PRESETS.values()]), st.sampled_from(["en", "zh"])
)
def test_any_text_can_be_assessed(text: str, preset: Preset | None, lang: Language) -> None:
    found = kinds(text, preset=preset, lang=lang)
    assert set(found) <= set(KINDS)
    assert len(set(found)) == len(found)


@given(st.text(min_size=1, max_size=40))
def test_nothing_inside_quotation_marks_is_a_refusal(tail: str) -> None:
    quoted = "I can't help with that. " + tail.replace('"', "").replace("\n", " ")
    assert "refusal" not in kinds(f'"{quoted}" is printed on a red mug.')


def note(kind: str) -> Note:
    return Note(kind, "")


def test_the_policy_asks_again_only_once() -> None:
    policy = QualityPolicy(too_long="reask")
    assert decide([note("too_long")], policy, already_reasked=False) == "reask"
    assert decide([note("too_long")], policy, already_reasked=True) == "keep"


def test_what_is_no_answer_fails_when_asked_again() -> None:
    assert decide([note("refusal")], QualityPolicy(), already_reasked=False) == "reask"
    assert decide([note("refusal")], QualityPolicy(), already_reasked=True) == "fail"
    assert decide([note("refusal")], QualityPolicy(refusal="keep"), already_reasked=True) == "keep"
    assert decide([note("empty")], QualityPolicy(), already_reasked=False) == "reask"
    assert decide([note("thinking_only")], QualityPolicy(), already_reasked=True) == "fail"
    assert decide([note("empty")], QualityPolicy(empty="keep"), already_reasked=True) == "keep"


def test_fail_outweighs_reask_and_foreign_notes_are_kept() -> None:
    policy = QualityPolicy(wrong_language="fail")
    assert decide([note("repetition"), note("wrong_language")], policy, already_reasked=False) == "fail"
    assert decide([note("local_analysis")], policy, already_reasked=False) == "keep"
    assert decide([], policy, already_reasked=False) == "keep"


def test_a_loop_is_told_from_its_twelfth_word() -> None:
    assert "repetition" not in kinds("the cat sat " * 3 + "the cat")
    assert "repetition" in kinds("the cat sat " * 4)


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([" ", ", ", ". "]),
)
def test_a_loop_is_told_wherever_it_stands(unit: list[str], before: int, behind: int, between: str) -> None:
    times = max(8, -(-12 // len(unit)))
    words = [*(f"w{n}" for n in range(before)), *(unit * times), *(f"v{n}" for n in range(behind))]
    assert "repetition" in kinds(between.join(words))


def test_a_refusals_marks_are_found_in_small_letters_whatever_the_case() -> None:
    folder = Path(quality.__file__).parent / "refusals"
    marks = "".join(
        mark for file in folder.glob("*.toml") for mark in tomllib.loads(file.read_text("utf-8"))["marks"]
    )
    assert marks == marks.lower()
    letters = "".join({letter for letter in marks if letter.isalpha()})
    # Without the surrogates, which no answer holds any more.
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    assert len(folded(every)) == len(every)
    small = re.sub(f"[{letters}]", "!", folded(every))
    ignoring = re.sub(f"[{letters}]", "!", every, flags=re.IGNORECASE)
    assert [place for place, sign in enumerate(small) if (sign == "!") != (ignoring[place] == "!")] == []


def test_another_language_is_told_from_four_of_its_letters_or_words_and_four_fifths_of_the_text() -> None:
    assert "wrong_language" not in kinds("日本語", lang="en")
    assert "wrong_language" in kinds("日本語文", lang="en")
    assert "wrong_language" not in kinds("three plain words", lang="zh")
    assert "wrong_language" in kinds("these four plain words", lang="zh")
    assert "wrong_language" not in kinds("猫 these four plain words", lang="zh")
