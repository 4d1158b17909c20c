"""A schema with a field of every kind, and results that fit it, fit it partly, and hold no data."""

from __future__ import annotations

from dataclasses import replace

from tests.sinks.sample_results import BROKEN, CAT
from visionpipe.results import ItemResult, Outcome
from visionpipe.values import JSON

SCHEMA: dict[str, JSON] = {
    "type": "object",
    "$defs": {
        "Size": {
            "type": "object",
            "properties": {
                "width": {"type": "number", "description": "In cm"},
                "height": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            },
        },
        "Part": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "parts": {"$ref": "#/$defs/Parts"}},
        },
        "Parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
    },
    "properties": {
        "name": {"type": "string", "description": "Name as printed\non the product"},
        "stock": {"type": "integer"},
        "price": {"type": ["number", "null"]},
        "in_stock": {"type": "boolean"},
        "sold_on": {"type": "string", "format": "date"},
        "condition": {"enum": ["new", "used", None]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "scores": {"type": "array", "items": {"type": "integer"}},
        "size": {"$ref": "#/$defs/Size"},
        "size_width": {"type": "string"},
        "code": {"type": ["string", "integer"]},
        "extra": {"type": "object"},
        "part": {"$ref": "#/$defs/Part"},
        "夏 price": {"type": "integer"},
    },
}
NAMES = [
    "data_name",
    "data_stock",
    "data_price",
    "data_in_stock",
    "data_sold_on",
    "data_condition",
    "data_tags",
    "data_scores",
    "data_size_width_2",
    "data_size_height",
    "data_size_width",
    "data_code",
    "data_extra",
    "data_part_name",
    "data_part_parts",
    "data_夏_price",
]

CUP = ItemResult(
    source="shop/cup.jpg",
    outcome=Outcome.DONE,
    caption="{...}",
    data={
        "name": "=Cup, blue",
        "stock": 3,
        "price": 12.5,
        "in_stock": True,
        "sold_on": "2026-03-01",
        "condition": "new",
        "tags": ["blue", "陶瓷"],
        "scores": [1, 2],
        "size": {"width": 8, "height": None},
        "size_width": "wide",
        "code": 17,
        "extra": {"a": [1]},
        "part": {"name": "handle", "parts": [{"name": "grip", "parts": []}]},
        "夏 price": 9,
    },
    model="glm-4.6v",
    attempts=1,
)
JUG = replace(
    CUP,
    source="shop/jug.jpg",
    data={
        **CUP.data,  # type: ignore[dict-item]  # data is any JSON, here an object
        "name": "Jug",
        "stock": 4,
        "price": None,
        "in_stock": False,
        "tags": [],
        "code": "x-17",
    },
)
MISFIT = replace(
    CUP,
    source="shop/misfit.jpg",
    data={
        "name": 7,
        "stock": "many",
        "price": "12.50",
        "in_stock": "perhaps",
        "condition": ["new"],
        "tags": "blue",
        "scores": [1, "two", 3],
        "size": "large",
        "extra": "none",
        "夏 price": 2**70,
    },
)
STRUCTURED = (CUP, JUG, MISFIT, replace(CAT, data=["no", "object"]), BROKEN)
