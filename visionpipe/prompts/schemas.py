"""The JSON Schemas of the presets that ask for data.

The rule: every property is required and may be empty or null, so that "not in the picture" is an answer
and a missing key is a fault; nothing beyond the named properties is allowed.
"""

from __future__ import annotations

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
