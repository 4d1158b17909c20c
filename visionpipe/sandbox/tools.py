"""Tools: which of them take effect, and the function calls and search results the sandbox makes of them.

The platform's FAQ: functions, retrieval and web search exclude one another; of a mixture only one takes
effect, function before retrieval before web search. Several functions may be offered, one call hits one.
``enable`` of a web search is false unless it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.replies import Refusal

PRIORITY = ("function", "retrieval", "web_search")
MOST_TOOLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Tools:
    """What is in effect: the functions offered (name and parameters' schema), or a search, or neither."""

    functions: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    retrieval: bool = False
    search_online: bool = False
    search_results: bool = False
    must: bool = False
    """A function is to be called whatever was said before."""


def read_tools(body: Mapping[str, Any], record: ModelRecord, *, openai: bool = False) -> Tools:
    """Check ``tools`` and ``tool_choice`` and apply the priority; Refusal 1210 or 1214.

    Args:
        body: of the request.
        record: the model's.
        openai: OpenAI's choices are taken: none, auto, required, or one function by name.
    """
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if tools is None or tools == []:
        return Tools()
    if not isinstance(tools, list) or len(tools) > MOST_TOOLS:
        raise Refusal("1214", f"tools must be a list of at most {MOST_TOOLS}")
    if not openai and choice is not None and choice != "auto" and record.state != "generic":
        raise Refusal("1210", "tool_choice must be auto")
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for tool in tools:
        kind = tool.get("type") if isinstance(tool, dict) else None
        holder = tool.get(kind) if isinstance(kind, str) else None
        if kind not in PRIORITY or not isinstance(holder, dict):
            raise Refusal("1214", "tools.type must be function, retrieval or web_search, with its object")
        kinds.setdefault(kind, []).append(holder)
    winner = next(kind for kind in PRIORITY if kind in kinds)
    if winner not in record.tools:
        raise Refusal("1210", f"this model takes no tool of type {winner}")
    match winner:
        case "function":
            functions = tuple(_function(holder) for holder in kinds["function"])
            return _chosen(functions, choice) if openai else Tools(functions)
        case "retrieval":
            if not isinstance(kinds["retrieval"][0].get("knowledge_id"), str):
                raise Refusal("1214", "retrieval needs knowledge_id")
            return Tools(retrieval=True)
    search = kinds["web_search"][0]
    online = search.get("enable") is True
    return Tools(search_online=online, search_results=online and search.get("search_result") is True)


def _chosen(functions: tuple[tuple[str, Mapping[str, Any]], ...], choice: Any) -> Tools:
    """The functions in effect by OpenAI's ``tool_choice``."""
    match choice:
        case None | "auto":
            return Tools(functions)
        case "none":
            return Tools()
        case "required":
            return Tools(functions, must=True)
        case {"type": "function", "function": {"name": str(name)}} if name in dict(functions):
            return Tools(((name, dict(functions)[name]),), must=True)
    raise Refusal("1210", "tool_choice must be none, auto, required or one of the functions by name")


def _function(holder: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name, schema = holder.get("name"), holder.get("parameters")
    if not isinstance(name, str) or not _NAME.match(name):
        raise Refusal("1214", "a function's name has 1 to 64 letters, digits, _ or -")
    if schema is not None and not isinstance(schema, dict):
        raise Refusal("1214", "a function's parameters are a JSON schema")
    return name, schema or {}


def function_call(
    tools: Tools, prompt: str, number: int, called: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The call of one function: the first whose name stands in the prompt, else the first offered; of those,
    one that has not been called yet. Its arguments are made from the schema, so they are always valid and
    always the same."""
    fresh = [offer for offer in tools.functions if offer[0] not in called] or tools.functions
    name, schema = next((offer for offer in fresh if offer[0] in prompt), fresh[0])
    arguments = orjson.dumps(example(schema)).decode()
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def example(schema: Mapping[str, Any], depth: int = 8, root: Mapping[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema, as far as its type, enum, const, default, minimum, format and
    references say.

    Args:
        schema: of the value.
        depth: how deep it may go.
        root: the document that references are looked up in; the schema itself where there is no other.
    """
    root = schema if root is None else root
    reference = schema.get("$ref")
    if isinstance(reference, str) and depth:
        return example(_referred(root, reference), depth - 1, root)
    for name in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(name)
        if isinstance(branches, list) and branches and isinstance(branches[0], dict) and depth:
            return example(branches[0], depth - 1, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "string":
            return {"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z"}.get(
                str(schema.get("format")), "example"
            )
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            items = schema.get("items")
            return [example(items, depth - 1, root)] if isinstance(items, dict) and depth else []
    fields = schema.get("properties")
    if not isinstance(fields, dict) or not depth:
        return {}
    return {
        name: example(field, depth - 1, root) for name, field in fields.items() if isinstance(field, dict)
    }


def _referred(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def search_results(prompt: str) -> list[dict[str, Any]]:
    """The sources a search "found": made up, and always the same for one prompt."""
    return [
        {
            "title": f"Result {place} for: {prompt[:40]}",
            "link": f"https://example.com/{place}",
            "content": "A page that the sandbox made up.",
            "media": "example.com",
            "refer": f"ref_{place}",
        }
        for place in (1, 2)
    ]
