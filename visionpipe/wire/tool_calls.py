"""The functions a model asks for, whole or in the fragments of a stream.

Servers disagree on what holds the fragments of one call together: an id, an index, or only their order; some
repeat an id or a name with each fragment, some give every call the index 0 or the same id, some repeat a
call's arguments whole at the end. Fragments are joined by id, then by index, then by order, and no two calls
become one: where that cannot be told, the arguments stay broken and are asked for again.

Every call has an id of its own in the end, since its result is told by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from visionpipe.request import ToolCall
from visionpipe.values import Note


def read_tool_calls(message: Mapping[str, Any]) -> tuple[tuple[ToolCall, ...], tuple[Note, ...]]:
    """The functions a whole message asks for, and a note where ids were made up.

    Arguments given as an object are written as JSON text. ``function_call``, as servers had it before
    ``tool_calls``, counts where there is no other.
    """
    listed = _listed(message)
    if not listed:
        return (), ()
    found = [_read(call) for call in listed]
    return _distinct(call for call in found if call is not None)


class CallAssembler:
    """Takes the fragments of a stream's calls as they come."""

    def __init__(self) -> None:
        self._calls: list[_Assembled] = []

    def feed(self, delta: Mapping[str, Any]) -> None:
        """Take what a frame says of functions; anything else in it is passed over."""
        # Two entries of one frame are never the same call.
        earlier = list(self._calls)
        for entry in _listed(delta):
            function = entry.get("function")
            if not isinstance(function, dict):
                function = {}
            piece = _Fragment(
                _text(entry.get("id")),
                _index(entry.get("index")),
                _text(function.get("name")),
                _arguments(function.get("arguments")),
            )
            if not (piece.id or piece.name or piece.arguments):
                continue
            call = _call_of(piece, earlier)
            if call is None:
                call = _Assembled()
                self._calls.append(call)
            else:
                earlier.remove(call)
            call.take(piece)

    def calls(self) -> tuple[tuple[ToolCall, ...], tuple[Note, ...]]:
        """The calls so far, and a note where ids were made up."""
        order = [call.index for call in self._calls]
        calls = self._calls
        if None not in order and len(set(order)) == len(order):
            calls = sorted(calls, key=lambda call: call.index or 0)
        return _distinct(ToolCall(call.id, call.name, call.arguments) for call in calls)


@dataclass(frozen=True, slots=True)
class _Fragment:
    id: str
    index: int | None
    name: str
    arguments: str


@dataclass(slots=True)
class _Assembled:
    id: str = ""
    index: int | None = None
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    unnamed: bool = False

    def take(self, piece: _Fragment) -> None:
        self.id = self.id or piece.id
        self.index = piece.index if self.index is None else self.index
        if piece.name.startswith(self.name):
            # The first time, or as much of it as there is so far.
            self.name = piece.name
        elif piece.name:
            self.name += piece.name
        if piece.arguments:
            self.pieces.append(piece.arguments)
            self.unnamed = self.unnamed or not piece.name

    @property
    def arguments(self) -> str:
        """The fragments of its arguments as one text, nothing that was repeated whole in it twice."""
        plain = "".join(self.pieces)
        if len(self.pieces) < 2 or _is_object(plain):
            return plain
        told = ""
        for piece in self.pieces:
            if piece.startswith(told) or told.strip() == "{}":
                told = piece
            elif not (_is_object(told) and _same(told, piece)):
                told += piece
        return told if _is_object(told) else plain

    def is_before(self, piece: _Fragment, *, same_id: bool = False) -> bool:
        """Whether a fragment that could go on with this call begins another one."""
        if not piece.name:
            return False
        if piece.name != self.name:
            # A name comes in parts only before the arguments do.
            return bool(self.pieces) or not (same_id or not self.name)
        told, new = self.arguments, piece.arguments
        if _is_object(new) and (_same(told, new) or new.startswith(told)):
            return False  # what there is of it so far, or all of it, once more
        if self.unnamed and not same_id:
            # The service does not repeat names.
            return True
        return bool(new) and _is_object(told) and told.strip() != "{}"


def _call_of(piece: _Fragment, calls: list[_Assembled]) -> _Assembled | None:
    """The call of these that a fragment goes on with; None where it begins one."""
    latest = calls[::-1]
    if piece.id:
        return _by_id(piece, latest)
    if piece.index is not None:
        latest = [call for call in latest if call.index == piece.index]
    return latest[0] if latest and not latest[0].is_before(piece) else None


def _by_id(piece: _Fragment, latest: list[_Assembled]) -> _Assembled | None:
    for call in latest:
        if call.id == piece.id and (piece.index is None or call.index in (None, piece.index)):
            return None if call.is_before(piece, same_id=True) else call
    # An id that comes late, or a new one with each fragment, goes on with the call of its index as long as it
    # brings no name.
    if piece.index is None or piece.name:
        return None
    known = next((call for call in latest if call.index == piece.index), None)
    return known if known is not None and (not known.id or not _is_object(known.arguments)) else None


def _listed(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return [call for call in calls if isinstance(call, dict)]
    legacy = message.get("function_call")
    return [{"function": legacy}] if isinstance(legacy, dict) else []


def _read(call: Mapping[str, Any]) -> ToolCall | None:
    function = call.get("function")
    if not isinstance(function, dict):
        return None
    return ToolCall(_text(call.get("id")), _text(function.get("name")), _arguments(function.get("arguments")))


def _distinct(calls: Iterable[ToolCall]) -> tuple[tuple[ToolCall, ...], tuple[Note, ...]]:
    """The calls, with ids made up for those that have none, or one that another has."""
    found = list(calls)
    given = {call.id for call in found}
    taken: set[str] = set()
    made: list[str] = []
    number = 0
    for place, call in enumerate(found):
        name = call.id
        while not name or name in taken:
            number += 1
            name = f"call_{number}" if f"call_{number}" not in given else ""
        if name != call.id:
            made.append(f"{call.name}: {call.id or 'none'} -> {name}")
            found[place] = ToolCall(name, call.name, call.arguments)
        taken.add(name)
    return tuple(found), (Note("tool_ids", "; ".join(made)),) if made else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) and value else ""


def _index(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return int(value) if isinstance(value, int | float) and value == value and abs(value) < 2**31 else None


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else ""


def _is_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _same(one: str, other: str) -> bool:
    if one.strip() == other.strip():
        return True
    return _is_object(one) and _is_object(other) and bool(orjson.loads(one) == orjson.loads(other))
