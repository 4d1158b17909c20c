"""What a node of a JSON Schema allows, as far as a table's column has to know it.

The rule: a shape is only told where every value that fits the node has it; whatever else a schema can say
(unions, free objects, tuples, a reference into itself) is JSON. Nothing here raises, whatever the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

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
class Shape:
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


def shape_of(node: Any, root: Mapping[str, Any], passed: frozenset[str] = frozenset()) -> Shape:
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
    return Shape("json", passed=passed, description=description)


def _shape_here(
    node: Mapping[str, Any], root: Mapping[str, Any], passed: frozenset[str], description: str
) -> Shape:
    types = _types(node)
    properties = node.get("properties")
    if types == {"object"} and isinstance(properties, Mapping) and properties:
        return Shape("object", None, properties, passed, description)
    if types == {"array"} and not node.get("prefixItems") and "items" in node:
        items = _scalar(shape_of(node["items"], root, passed))
        if items is not None:
            return Shape("list", items, {}, passed, description)
    kind = _common(_SCALARS.get(name) for name in types) or _union(node, root, passed)
    return Shape(kind or "json", None, {}, passed, description)


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


def _scalar(shape: Shape) -> Scalar | None:
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
