"""Structured data is never wrong: hundreds of answers labelled by hand, none read as something else.

``labelled_answers.jsonl`` gives for each answer the value a person reads in it, or says that it is to be
refused, since it is cut off, ambiguous or no answer. A refusal is asked again, so it is never wrong; where
the label has a value, nine in ten are to be read at once. Run as a script, it prints the figures.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from visionpipe.stages.extraction import Schema
from visionpipe.stages.schema import MisfitError

ANSWERS = Path(__file__).with_name("labelled_answers.jsonl")


class Product(BaseModel):
    name: str
    price: float
    tags: list[str] = []


class Row(BaseModel):
    name: str
    price: Decimal


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Whole(BaseModel):
    id: int


class Money(BaseModel):
    amount: Decimal


class Texts(BaseModel):
    zip: str
    note: str


class Flags(BaseModel):
    open: bool
    sold: bool
    why: str | None


class Event(BaseModel):
    when: datetime


class Person(BaseModel):
    name: str | None = None
    age: int | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


TARGETS: dict[str, Any] = {
    "product": Product,
    "rows": list[Row],
    "node": Node,
    "whole": Whole,
    "money": Money,
    "texts": Texts,
    "flags": Flags,
    "event": Event,
    "person": Person,
    "union": Cat | Dog,
    "ints": list[int],
    "strings": list[str],
    "mapping": dict[str, int],
    "pair": tuple[int, str],
    "text": str,
    "text_or_ints": str | list[int],
    "colour": Literal["red", "green", "blue"],
    "maybe": Literal["red", "green", "blue"] | None,
    "count": int,
    "flag": bool,
    "day": date,
    "schema": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
    "cents": {
        "type": "object",
        "properties": {"price": {"type": "number", "multipleOf": 0.01}},
        "required": ["price"],
    },
    "optional_schema": {"type": "object", "properties": {"name": {"type": "string"}}},
}


def judged() -> tuple[Counter[str], list[str]]:
    """How many answers ended how, and those that were read wrongly or refused without need."""
    schemas = {name: Schema[Any](target) for name, target in TARGETS.items()}
    ends: Counter[str] = Counter()
    told: list[str] = []
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        try:
            value, _ = schemas[case["target"]].read(case["text"])
        except MisfitError as misfit:
            end = "rightly refused" if case.get("refuse") else "refused, though it could be read"
            found: Any = str(misfit)
        else:
            found = to_jsonable_python(value)
            right = "value" in case and json.dumps(found) == json.dumps(case["value"])
            end = "rightly read" if right else "wrong"
        ends[end] += 1
        if end not in ("rightly read", "rightly refused"):
            told.append(f"{end}: {line}\n    {found!r}")
    return ends, told


def test_no_answer_is_read_as_what_it_does_not_say() -> None:
    ends, told = judged()
    assert ends.total() >= 250
    assert ends["wrong"] == 0, "\n".join(told)
    assert ends["refused, though it could be read"] <= ends["rightly read"] // 10, "\n".join(told)


if __name__ == "__main__":
    found, reasons = judged()
    print(f"{found.total()} answers: {dict(found)}")  # noqa: T201
    print("\n".join(reasons))  # noqa: T201
