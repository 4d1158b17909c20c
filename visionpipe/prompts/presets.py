"""What to ask, ready made: a prompt in English and Chinese, the schema of its answer, and its checks.

Every property is required and may be empty or null, so that "not in the picture" is an answer
and a missing key is a fault; nothing beyond the named properties is allowed.

    presets.caption, presets.alt_text, presets.ocr, presets.tags,
    presets.product, presets.chart, presets.screenshot, presets.describe

A preset is a value. Changing one gives another (``alt_text.with_length(80)``), and what it
promises about its answer stands in ``checks``, where the quality stage reads it.
``together(caption, tags)`` asks several in one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, get_args

from visionpipe.errors import ParameterError
from visionpipe.request import Thinking
from visionpipe.values import JSON


def _object(properties: dict[str, JSON]) -> dict[str, JSON]:
    required: list[JSON] = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _text(description: str) -> dict[str, JSON]:
    return {"type": "string", "description": description}


def _maybe(description: str) -> dict[str, JSON]:
    return {"type": ["string", "null"], "description": description}


def _list(items: JSON, description: str, most: int | None = None) -> dict[str, JSON]:
    schema: dict[str, JSON] = {"type": "array", "items": items, "description": description}
    if most is not None:
        schema["maxItems"] = most
    return schema


TAGS = _object(
    {
        "tags": _list(
            {"type": "string"}, "Lower-case nouns or short phrases, the most important first", most=20
        )
    }
)

PRODUCT = _object(
    {
        "name": _maybe("Name as printed on the product or its package"),
        "brand": _maybe("Brand as printed"),
        "category": _text("What kind of product it is"),
        "colours": _list({"type": "string"}, "Main colours"),
        "materials": _list({"type": "string"}, "Materials that can be seen"),
        "visible_text": _list({"type": "string"}, "Text on the product, word for word"),
        "price": _maybe("Price with its currency sign, as shown"),
        "condition": _maybe("New, used, damaged; null where it cannot be told"),
        "description": _text("One plain sentence a shop could show"),
    }
)

CHART = _object(
    {
        "kind": _text("bar, line, pie, scatter, table or another kind"),
        "title": _maybe("Title as printed"),
        "x_axis": _maybe("Label and unit of the x axis"),
        "y_axis": _maybe("Label and unit of the y axis"),
        "series": _list(
            _object(
                {
                    "name": _maybe("Name in the legend"),
                    "points": _list(
                        _object(
                            {
                                "x": {"type": ["string", "number", "null"]},
                                "y": {"type": ["number", "null"]},
                            }
                        ),
                        "Points from left to right; y is null where it cannot be read",
                    ),
                }
            ),
            "One entry for each series",
        ),
        "summary": _text("What the chart shows, in one or two sentences"),
    }
)

SCREENSHOT = _object(
    {
        "application": _maybe("Program or site, where it can be told"),
        "purpose": _text("What this screen is for, in one sentence"),
        "state": _maybe("Selected, loading, error, empty, or what else stands out"),
        "elements": _list(
            _object(
                {"kind": _text("button, link, field, menu, tab, message, ..."), "label": _maybe("Its text")}
            ),
            "Controls and messages, from top to bottom",
        ),
        "text": _list({"type": "string"}, "Other text of importance, word for word"),
    }
)


Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Checks:
    """What an answer must be like to serve its purpose.

    Attributes:
        max_characters: longest answer in characters, in English; Chinese says as much in half of them,
            so there the limit is half. None: no limit.
        one_line: the answer is a single line.
        markdown: Markdown in the answer is meant, and no leftover.
        verbatim: the answer repeats what the picture says, in the picture's language and with the
            picture's repetitions, so neither is held against it.
    """

    max_characters: int | None = None
    one_line: bool = False
    markdown: bool = False
    verbatim: bool = False

    def limit(self, language: Language) -> int | None:
        """The longest answer in characters of that language, or None."""
        if self.max_characters is None:
            return None
        return self.max_characters if language == "en" else self.max_characters // 2


@dataclass(frozen=True, slots=True)
class Preset:
    """A purpose with its prompts.

    Attributes:
        name: as used on the command line.
        prompt_en, prompt_zh: the prompt; ``{max_characters}`` stands for the limit of ``checks``.
        schema: a pydantic model or a JSON Schema where the answer is data, else None.
        max_tokens: most tokens the answer itself takes, thinking not counted.
        checks: what the answer must be like.
        thinking: "off" where thinking adds nothing; None leaves the model as it is.
        text_field: of the answer's data, the property that says it in words, for text outputs.
        parts: the presets that it asks at once; see ``together``.
    """

    name: str
    prompt_en: str
    prompt_zh: str
    schema: type[Any] | Mapping[str, Any] | None = field(default=None, hash=False)
    max_tokens: int | None = 1024
    checks: Checks = Checks()
    thinking: Thinking | None = "off"
    text_field: str | None = None
    parts: tuple[Preset, ...] = ()

    def text(self, language: Language = "en") -> str:
        """The prompt in one language.

        Raises:
            ParameterError: there is no prompt in that language.
        """
        if language not in LANGUAGES:
            raise ParameterError(
                f"no prompt in {language!r}",
                cure="The languages are en and zh.",
                subject=f"preset {self.name}",
            )
        prompt = self.prompt_en if language == "en" else self.prompt_zh
        limit = self.checks.limit(language)
        return prompt if limit is None else prompt.replace("{max_characters}", str(limit))

    def with_length(self, max_characters: int) -> Preset:
        """The same preset with another length, in characters of English.

        Raises:
            ParameterError: the preset has no length, or fewer than 20 characters are asked for.
        """
        if self.checks.max_characters is None:
            raise ParameterError(
                "this preset has no length", cure="Use alt_text or caption.", subject=f"preset {self.name}"
            )
        if max_characters < 20:
            raise ParameterError(
                f"{max_characters} characters are too few for a sentence",
                cure="Give 20 or more.",
                subject=f"preset {self.name}",
            )
        return replace(self, checks=replace(self.checks, max_characters=max_characters))


describe = Preset(
    name="describe",
    prompt_en="Describe this in a few plain sentences: what it shows, where it seems to be, what people or "
    "things are doing, and any text that can be read. Say only what can be seen.",
    prompt_zh="请用几句朴实的话描述画面：内容是什么，可能在哪里，人或物在做什么，有哪些看得清的文字。"
    "只说看得见的。",
    max_tokens=1024,
)

caption = Preset(
    name="caption",
    prompt_en="Write one caption of one or two sentences for this image, {max_characters} characters at "
    "most, on a single line. Name the main subject first, then what it does and where. No opening such as "
    '"The image shows", no guessing, no Markdown.',
    prompt_zh="请为这张图片写一条说明，一到两句，不超过{max_characters}个字，写在一行里。"
    "先说主体，再说动作和场所。不要用“图中”“图片展示了”开头，不要猜测，不要用 Markdown。",
    max_tokens=300,
    checks=Checks(max_characters=400, one_line=True),
)

alt_text = Preset(
    name="alt_text",
    prompt_en="Write alternative text for this image for somebody who cannot see it: one sentence on a "
    'single line, {max_characters} characters at most. Do not begin with "Image of". If text is what matters '
    "in the image, repeat it. No Markdown.",
    prompt_zh="请为看不见图片的人写替代文字：一句话，写在一行里，不超过{max_characters}个字。"
    "不要用“图片”“照片”开头。如果图中的文字是重点，请照录。不要用 Markdown。",
    max_tokens=200,
    checks=Checks(max_characters=125, one_line=True),
)

ocr = Preset(
    name="ocr",
    prompt_en="Transcribe all text in this image as Markdown, in reading order and in its own language. Keep "
    "headings, lists and tables. Change nothing, translate nothing, and add no comment. Where something "
    "cannot be read, write [illegible]. If there is no text, answer with [no text].",
    prompt_zh="请把图片中的全部文字按阅读顺序转写为 Markdown，保持原文语言，保留标题、列表和表格。"
    "不要改动、翻译或添加说明。看不清的地方写 [illegible]。如果没有文字，请回答 [no text]。",
    max_tokens=4096,
    checks=Checks(markdown=True, verbatim=True),
)

tags = Preset(
    name="tags",
    prompt_en="List tags for this image: 5 to 20 lower-case nouns or short phrases for what can be seen, the "
    "most important first. Answer in JSON.",
    prompt_zh="请为这张图片列出标签：5 到 20 个名词或短语，只写看得见的，重要的在前。请用 JSON 回答，"
    "标签用中文。",
    schema=TAGS,
    max_tokens=400,
    text_field="tags",
)

product = Preset(
    name="product",
    prompt_en="Read this product photo. Give what can be seen or is printed, word for word where it is "
    "printed, and null where it cannot be told. Answer in JSON.",
    prompt_zh="请读取这张商品照片。填写看得见或印在上面的内容，印刷文字照录，无法判断的填 null。"
    "请用 JSON 回答，描述用中文。",
    schema=PRODUCT,
    max_tokens=1024,
    checks=Checks(verbatim=True),
    text_field="description",
)

chart = Preset(
    name="chart",
    prompt_en="Read the data of this chart. Give labels and units as printed, points from left to right, and "
    "null where a value cannot be read; never estimate. Answer in JSON.",
    prompt_zh="请读取这张图表的数据。标签和单位照录，数据点从左到右，读不出的值填 null，不要估计。"
    "请用 JSON 回答，概述用中文。",
    schema=CHART,
    max_tokens=4096,
    checks=Checks(verbatim=True),
    text_field="summary",
)

screenshot = Preset(
    name="screenshot",
    prompt_en="Read this screenshot: which program it is, what the screen is for, its state, and its "
    "controls and messages from top to bottom with their labels word for word. Answer in JSON.",
    prompt_zh="请读取这张屏幕截图：是哪个程序，这个界面的用途，处于什么状态，以及从上到下的控件和消息，"
    "标签照录。请用 JSON 回答，用途用中文。",
    schema=SCREENSHOT,
    max_tokens=2048,
    checks=Checks(verbatim=True),
    text_field="purpose",
)

PRESETS: Mapping[str, Preset] = {
    preset.name: preset for preset in (caption, alt_text, ocr, tags, product, chart, screenshot, describe)
}


def named(name: str, own: Mapping[str, Preset] | None = None) -> Preset:
    """The preset of that name; ``alt-text`` is as good as ``alt_text``.

    Args:
        name: of a preset.
        own: further presets by name, which come first.

    Raises:
        ParameterError: there is none; the message names the nearest and all there are.
    """
    known = {**PRESETS, **(own or {})}
    preset = known.get(name) or known.get(name.strip().lower().replace("-", "_"))
    if preset is None:
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise ParameterError(
            "no such preset", cure=f"{hint}There are: {', '.join(known)}.", subject=f"preset {name!r}"
        )
    return preset


_TOGETHER = {
    "en": "Do each of these {count} tasks about this image on its own. Answer with one JSON object that has "
    "the keys {keys}, each with the answer to its task.",
    "zh": "请分别完成关于这张图片的以下{count}项任务。只回答一个 JSON 对象，"
    "键为 {keys}，值为各项任务的答案。",
}
_JOINED = "+"


def together(*asked: Preset) -> Preset:
    """One preset that asks several in one request; of a single one, that itself.

    The answer's data has a key for each of them, in the order given: a text, or the data of its schema (of a
    schema with a single property, such as that of tags, that property). The first one's text is the caption.

    Args:
        asked: at least one, no name twice.

    Raises:
        ParameterError: there is none, a name stands twice, or a schema is not a JSON Schema.
    """
    parts = tuple(part for preset in asked for part in (preset.parts or (preset,)))
    names = [part.name for part in parts]
    if len(asked) == 1:
        return asked[0]
    if not parts or len(set(names)) < len(names):
        raise ParameterError(
            "a preset stands twice" if parts else "there is no preset",
            cure="Give presets that differ.",
            subject=f"presets {', '.join(names)}",
        )
    properties: dict[str, JSON] = {part.name: _schema_of_part(part) for part in parts}
    tokens = [part.max_tokens for part in parts if part.max_tokens is not None]
    prompts = {
        lang: "\n\n".join(
            (
                _TOGETHER[lang].format(count=len(parts), keys=", ".join(f'"{name}"' for name in names)),
                *(f"{part.name}: {part.text(lang)}" for part in parts),
            )
        )
        for lang in LANGUAGES
    }
    return Preset(
        name=_JOINED.join(names),
        prompt_en=prompts["en"],
        prompt_zh=prompts["zh"],
        schema={"title": _JOINED.join(names), **_object(properties)},
        max_tokens=sum(tokens) + 32 * len(parts) if len(tokens) == len(parts) else None,
        # Each part is held to its own checks.
        checks=Checks(verbatim=True),
        thinking="off" if all(part.thinking == "off" for part in parts) else None,
        parts=parts,
    )


def part_property(part: Preset) -> str | None:
    """The single property of a part's schema, which stands for all of it in a joint answer; None where there
    are more, or the answer is a text."""
    properties = part.schema.get("properties") if isinstance(part.schema, Mapping) else None
    return next(iter(properties)) if properties is not None and len(properties) == 1 else None


def _schema_of_part(part: Preset) -> JSON:
    if part.schema is None:
        return _text(f"The answer to {part.name}")
    if not isinstance(part.schema, Mapping) or "$defs" in part.schema:
        raise ParameterError(
            "its schema cannot stand inside another one",
            cure="Give the preset a JSON Schema without $defs, or ask it alone.",
            subject=f"preset {part.name}",
        )
    only = part_property(part)
    return dict(part.schema) if only is None else part.schema["properties"][only]


def preset_recorded(
    prompt: str, schema: Mapping[str, Any] | None, own: Mapping[str, Preset] | None = None
) -> Preset | None:
    """The preset that a job asked, by what its journal holds; None where it is none that is known.

    Args:
        prompt: as it was asked.
        schema: of the answers; that of ``together`` names its parts.
        own: further presets by name, which come first.
    """
    known = {**PRESETS, **(own or {})}
    for preset in known.values():
        if any(preset.text(lang) == prompt for lang in LANGUAGES):
            return preset
    names = str((schema or {}).get("title", "")).split(_JOINED)
    if schema is None or len(names) < 2 or names != list(schema.get("properties", ())):
        return None
    return together(*(known.get(name) or Preset(name, "", "") for name in names))
