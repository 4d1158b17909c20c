"""A column for each field of structured data, derived from the job's JSON Schema.

A shape is only told where every value that fits the node has it; whatever else a schema can say
(unions, free objects, tuples, a reference into itself) is JSON. Nothing here raises, whatever the schema.

The columns come after the fixed ones, in the order of the schema, and are only another view of
``data``, which stays whole. A field's column is ``data_price``, that of a field in an object
``data_size_width``; what is no letter, digit or underscore becomes an underscore, and a name that is taken
gets ``_2``. A value that does not fit its column is null there; nothing raises, whatever an answer holds.

    string, date, time, enum of strings   text
    integer, number, boolean              integer, real, boolean
    a list of one of these                JSON as text; in Parquet a list
    an object with named properties       a column for each of them, at most DEEPEST names deep
    anything else                         JSON as text

A document that is no object (a list, a union) has ``data`` only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

from visionpipe.sinks.columns import COLUMNS, Column, Kind, Value
from visionpipe.sinks.sink import dump, encodable

Scalar: TypeAlias = Literal["text", "integer", "real", "boolean"]

_SCALARS: dict[str, Scalar] = {
    "string": "text",
    "integer": "integer",
    "number": "real",
    "boolean": "boolean",
}
_SAYS_ITS_TYPE = ("type", "properties", "enum", "const")
_COMBINERS = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """One node.

    Attributes:
        kind: a scalar's kind, "list" of scalars, "object" with named properties, or "json" for the rest.
            Null is allowed in any of them.
        items: the kind of a list's items.
        properties: an object's properties, each a node of its own.
        passed: the references that were followed on the way to this node.
        description: what the schema's author says about it; may be empty.
    """

    kind: Scalar | Literal["list", "object", "json"]
    items: Scalar | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    passed: frozenset[str] = frozenset()
    description: str = ""


def shape_of(node: Any, root: Mapping[str, Any], passed: frozenset[str] = frozenset()) -> ColumnShape:
    """The shape of ``node``.

    Args:
        node: a schema, or a part of one.
        root: the whole schema, which references point into.
        passed: references followed already; one met again is a recursion, which ends as JSON.
    """
    description = ""
    while isinstance(node, Mapping):
        description = description or _text(node.get("description"))
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference in passed:
                break
            passed |= {reference}
            node = _target(reference, root)
            continue
        branch = _only_branch(node)
        if branch is None:
            return _shape_here(node, root, passed, description)
        node = branch
    return ColumnShape("json", passed=passed, description=description)


def _shape_here(
    node: Mapping[str, Any], root: Mapping[str, Any], passed: frozenset[str], description: str
) -> ColumnShape:
    types = _types(node)
    properties = node.get("properties")
    if types == {"object"} and isinstance(properties, Mapping) and properties:
        return ColumnShape("object", None, properties, passed, description)
    if types == {"array"} and not node.get("prefixItems") and "items" in node:
        items = _scalar(shape_of(node["items"], root, passed))
        if items is not None:
            return ColumnShape("list", items, {}, passed, description)
    kind = _common(_SCALARS.get(name) for name in types) or _union(node, root, passed)
    return ColumnShape(kind or "json", None, {}, passed, description)


def _types(node: Mapping[str, Any]) -> set[str]:
    """The names of the types a node allows besides null; empty where it does not say."""
    said = node.get("type")
    if said is None:
        if isinstance(node.get("properties"), Mapping):
            return {"object"}
        values = node.get("enum", [node["const"]] if "const" in node else [])
        return {_type_of(v) for v in values if v is not None} if isinstance(values, list) else set()
    names = said if isinstance(said, list) else [said]
    return {str(name) for name in names} - {"null"}


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "other"


def _union(node: Mapping[str, Any], root: Mapping[str, Any], passed: frozenset[str]) -> Scalar | None:
    """The kind that all branches share, such as a date or a time, which are both texts."""
    if any(key in node for key in _SAYS_ITS_TYPE):
        return None
    for key in ("anyOf", "oneOf"):
        branches = node.get(key)
        if isinstance(branches, list):
            alternatives = (branch for branch in branches if not _is_null(branch))
            return _common(_scalar(shape_of(branch, root, passed)) for branch in alternatives)
    return None


def _scalar(shape: ColumnShape) -> Scalar | None:
    if shape.kind == "list" or shape.kind == "object" or shape.kind == "json":
        return None
    return shape.kind


def _common(kinds: Iterable[Scalar | None]) -> Scalar | None:
    found = set[Scalar]()
    for kind in kinds:
        if kind is None:
            return None
        found.add(kind)
    if found == {"integer", "real"}:
        return "real"
    return found.pop() if len(found) == 1 else None


def _only_branch(node: Mapping[str, Any]) -> Any:
    """The one alternative besides null of a node that says nothing else of its type; None where there are
    several, or none."""
    if any(key in node for key in _SAYS_ITS_TYPE):
        return None
    found = [node[key] for key in _COMBINERS if isinstance(node.get(key), list)]
    if len(found) != 1:
        return None
    branches = [branch for branch in found[0] if not _is_null(branch)]
    return branches[0] if len(branches) == 1 else None


def _is_null(node: Any) -> bool:
    return isinstance(node, Mapping) and (node.get("type") == "null" or node.get("const", 0) is None)


def _target(reference: str, root: Mapping[str, Any]) -> Any:
    """What a reference within the schema points to; None for every other."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    node: Any = root
    for step in unquote(reference).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping):
            node = node.get(step)
        elif isinstance(node, list) and step in map(str, range(len(node))):
            node = node[int(step)]
        else:
            return None
    return node


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


DEEPEST = 4
"""How many names lead to a column at most; an object further down is JSON."""
MOST = 900
"""Columns at most, for with the fixed ones an older SQLite takes 999 values in a statement. A schema with
more is flattened less deep, and not at all where its first level alone has more."""

Path: TypeAlias = tuple[str, ...]

_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the way to its value in ``data``."""

    column: Column
    path: Path

    def value(self, data: Any) -> Value | list[Value]:
        """The field's value: of the column's kind, JSON as text, or a list where the column has ``items``
        (an item that does not fit is null in it); None where there is none or it does not fit."""
        for name in self.path:
            if not isinstance(data, Mapping):
                return None
            data = data.get(name)
        if data is None:
            return None
        if self.column.items is not None:
            return [_fitted(self.column.items, item) for item in data] if isinstance(data, list) else None
        return _fitted(self.column.kind, data)

    def cell(self, data: Any) -> Value:
        """As ``value``, a list as JSON too."""
        value = self.value(data)
        return dump(value).decode() if isinstance(value, list) else value


def fields_of(schema: Any) -> tuple[Field, ...]:
    """The columns for data of ``schema``.

    Args:
        schema: a JSON Schema, a pydantic model or another type that pydantic validates; None: no data.

    Raises:
        ParameterError: it is none of these.
    """
    if schema is None:
        return ()
    if not isinstance(schema, Mapping):
        from visionpipe.stages.extraction import Schema

        schema = Schema[Any](schema).json_schema
    leaves = _leaves(schema)
    taken = {column.name for column in COLUMNS}
    # What is higher up in the document has the first choice, so size_width goes before size's width.
    names = {path: _name(path, taken) for path, _ in sorted(leaves, key=lambda leaf: len(leaf[0]))}
    return tuple(Field(_column(names[path], path, shape), path) for path, shape in leaves)


def _leaves(schema: Mapping[str, Any]) -> list[tuple[Path, ColumnShape]]:
    for depth in range(DEEPEST, 0, -1):
        leaves = list(islice(_below(schema, schema, (), frozenset(), depth), MOST + 1))
        if len(leaves) <= MOST:
            return leaves
    return []


def _below(
    node: Any, root: Mapping[str, Any], path: Path, passed: frozenset[str], depth: int
) -> Iterator[tuple[Path, ColumnShape]]:
    shape = shape_of(node, root, passed)
    if shape.kind == "object" and len(path) < depth:
        for name, child in shape.properties.items():
            yield from _below(child, root, (*path, str(name)), shape.passed, depth)
    elif path:
        yield path, shape


def _name(path: Path, taken: set[str]) -> str:
    plain = "_".join(("data", *(re.sub(r"\W", "_", name) for name in path)))
    name, count = plain, 1
    # SQLite takes names that differ in case only for the same.
    while name.casefold() in taken:
        count += 1
        name = f"{plain}_{count}"
    taken.add(name.casefold())
    return name


def _column(name: str, path: Path, shape: ColumnShape) -> Column:
    meaning = f"{'.'.join(path)} in data" + (f": {shape.description}" if shape.description else "")
    kind: Kind = "json" if shape.kind == "list" or shape.kind == "object" else shape.kind
    return Column(name, kind, "", encodable(meaning), shape.items)


def _fitted(kind: Kind, value: Any) -> Value:
    """``value`` in its column, None where it does not fit. A number or a truth in quotes is taken for what it
    says, as pydantic does, which has let it through."""
    match kind:
        case "json":
            return dump(value).decode()
        case "text":
            return encodable(value) if isinstance(value, str) else None
        case "boolean":
            if isinstance(value, str):
                return {"true": True, "false": False}.get(value.lower())
            return value if isinstance(value, bool) else None
        case "integer":
            return _integer(value)
        case "real" | "decimal":
            return _real(value)


def _integer(value: Any) -> int | None:
    quoted = isinstance(value, str) and _INTEGER.fullmatch(value)
    if quoted or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and value in _INT64 else None


def _real(value: Any) -> float | None:
    if isinstance(value, str) and _REAL.fullmatch(value):
        value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Neither infinity nor a number that is none passes this, nor a whole number beyond any float.
    return float(value) if is_number and abs(value) <= sys.float_info.max else None
