"""What data must be like: a JSON Schema or a type that pydantic validates, checked before anything is sent.

A schema that could not be read back or not be sent is refused here: a ``$ref`` that leads nowhere, out of
the document or round in a circle, a number JSON's readers cannot hold, a pattern Python cannot compile, a
draft nobody knows. Data is taken as it stands: numbers keep their digits, and no type is turned into another
one except where the text says it (``"12.5"`` for a number).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

import orjson

from visionpipe.errors import ParameterError

_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DIGITS = re.compile(r"[+-]?\d+(?:\.\d+)?")
_TIMES = ("date", "date-time", "time", "duration")
_SAFE = 2**53
_UNKNOWN: Any = object()


class MisfitError(ValueError):
    """The data does not fit; ``errors`` are short sentences, each naming its place."""

    most = 8

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = [error for error, _ in zip(errors, range(self.most), strict=False)]
        super().__init__("; ".join(self.errors))


class Shape(Protocol):
    """A check of JSON data."""

    @property
    def json_schema(self) -> dict[str, Any]:
        """As a JSON Schema."""
        ...

    def validate(self, data: Any) -> Any:
        """``data`` as a value of this shape. Raises MisfitError."""
        ...


class MappedShape:
    """A JSON Schema given as a mapping. What fits is given back as plain JSON data.

    Args:
        schema: of any draft that ``$schema`` names, else of 2020-12.
        subject: what an error calls it.

    Raises:
        ParameterError: it cannot be read or sent.
    """

    def __init__(self, schema: Mapping[str, Any], subject: str = "schema") -> None:
        self.json_schema = sendable(schema, subject)
        kind = _draft(self.json_schema, subject)
        _check(kind, self.json_schema, subject)
        _check_references(kind, self.json_schema, subject)
        self._validator = kind(self.json_schema)

    def validate(self, data: Any) -> Any:
        """``data`` itself. Raises MisfitError."""
        data = plain(data)
        try:
            errors = [f"{error.json_path}: {error.message}" for error in self._validator.iter_errors(data)]
        except (ArithmeticError, RecursionError) as cause:
            raise MisfitError([f"it cannot be held against the schema ({cause})"]) from cause
        if errors:
            raise MisfitError(errors)
        if isinstance(data, dict) and _foreign(data, self.json_schema):
            raise MisfitError([f"document: none of the fields asked for ({', '.join(data)[:80]})"])
        return data


class TypedShape:
    """A pydantic model or another type that pydantic validates.

    Args:
        adapter: pydantic's TypeAdapter for it.
        json_schema: of it.
    """

    def __init__(self, adapter: Any, json_schema: dict[str, Any]) -> None:
        self.json_schema = json_schema
        self._adapter = adapter
        # Pydantic reads a Decimal from a number by way of a float, and from a text as it stands.
        self._exact = "'type': 'decimal'" in repr(adapter.core_schema)
        text = orjson.dumps(json_schema)
        self._times = any(f'"format":"{name}"'.encode() in text for name in _TIMES)

    @classmethod
    def of(cls, target: Any) -> TypedShape:
        """The shape of a type. Raises ParameterError where pydantic or JSON has no form for it."""
        from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
        from pydantic.errors import PydanticInvalidForJsonSchema

        try:
            adapter = TypeAdapter(target)
            found = adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema) as cause:
            raise ParameterError(
                f"{target!r} has no JSON Schema",
                cure="Give a pydantic model, a type that pydantic can validate, or a JSON Schema.",
                subject="schema",
            ) from cause
        return cls(adapter, sendable(found, "schema"))

    def validate(self, data: Any) -> Any:
        """``data`` as a value of the type. Raises MisfitError."""
        readable = plain(data)
        if not self._exact:
            return self._validated(readable)
        try:
            return self._validated(data)
        except MisfitError:
            # A float of a strict model takes no number in quotes; where no digit is lost, it need not.
            return self._validated(_as_floats(data))

    def _validated(self, data: Any) -> Any:
        from pydantic import ValidationError

        # As from JSON, so that dates, enums and tuples are taken from their JSON forms.
        text = json.dumps(data, default=str, ensure_ascii=False)
        try:
            value = self._adapter.validate_json(text, strict=True)
        except ValidationError as strictly:
            try:
                value = self._adapter.validate_json(text)
            except ValidationError as cause:
                raise MisfitError(_places(cause.errors(include_url=False, include_context=False))) from cause
            turned = [error for error in strictly.errors(include_url=False) if _turns(error)]
            if turned:
                raise MisfitError(_places(turned)) from strictly
        except (ValueError, RecursionError) as cause:
            raise MisfitError([f"it cannot be validated ({cause})"]) from cause
        if self._times:
            self._check_times(data)
        if _nothing_taken(value, data):
            raise MisfitError(["document: none of the fields asked for"])
        return value

    def _check_times(self, data: Any) -> None:
        """Pydantic takes "2020" for a count of seconds, which nobody means who is asked for a date."""
        from jsonschema import Draft202012Validator, FormatChecker

        if not any(_DIGITS.fullmatch(text) for text in _texts(data)):
            return
        checker = FormatChecker(())
        for name in _TIMES:
            checker.checks(name)(lambda value: not (isinstance(value, str) and _DIGITS.fullmatch(value)))
        found = Draft202012Validator(self.json_schema, format_checker=checker).iter_errors(data)
        wrong = [error for error in _leaves(found) if error.validator == "format"]
        if wrong:
            raise MisfitError(
                f"{error.json_path}: {error.instance!r} is no {error.validator_value}" for error in wrong
            )


def shape_of_target(target: Any) -> MappedShape | TypedShape:
    """The shape of a JSON Schema given as a mapping, or of a type. Raises ParameterError."""
    return MappedShape(target) if isinstance(target, Mapping) else TypedShape.of(target)


def plain(data: Any) -> Any:
    """JSON data with a float for each number, as JSON's readers give it.

    Raises:
        MisfitError: a number that no float holds.
    """
    match data:
        case Decimal():
            number = float(data)
            if number - number != 0 or (number == 0 and data != 0):
                raise MisfitError([f"document: {str(data)[:40]} is beyond what a number can hold"])
            return number
        case dict():
            return {name: plain(value) for name, value in data.items()}
        case list():
            return [plain(value) for value in data]
    return data


def root_wrapped(schema: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A schema whose root is an object, as OpenAI's ``response_format`` takes no other.

    Returns:
        The schema to send, and the name under which the value then stands; None where it stands at the root.
    """
    root = schema
    reference = root.get("$ref")
    if isinstance(reference, str) and root.keys() <= {"$ref", "$defs", "$schema"}:
        target = _pointed_at(root, reference)
        if isinstance(target, dict):
            root = {**target, **{name: root[name] for name in ("$defs", "$schema") if name in root}}
    if root.get("type") == "object" and not any(name in root for name in ("anyOf", "oneOf", "enum", "not")):
        return root, None
    if "type" not in root and "properties" in root:
        return {"type": "object", **root}, None
    text = orjson.dumps(schema)
    names = ("value", "answer", "result", "whole_answer")
    name = next((name for name in names if f'"{name}"'.encode() not in text), names[-1])
    shared = {key: value for key, value in schema.items() if key in ("$defs", "definitions", "$schema")}
    inner = {key: value for key, value in schema.items() if key not in shared}
    return {
        "type": "object",
        "properties": {name: _moved(inner, name)},
        "required": [name],
        "additionalProperties": False,
        **_moved(shared, name),
    }, name


def takes_text(schema: Any, root: dict[str, Any], depth: int = 8) -> tuple[bool, bool]:
    """Whether a string fits at the root of ``schema``, and whether any string does (as no list of allowed
    ones is given)."""
    if not isinstance(schema, dict) or not depth:
        return False, False
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(allowed, list):
        return any(isinstance(value, str) for value in allowed), False
    kinds = schema.get("type")
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return True, not ({"format", "pattern"} & schema.keys())
    branches = [branch for name in ("anyOf", "oneOf") for branch in schema.get(name, ())]
    if isinstance(schema.get("$ref"), str):
        branches.append(_pointed_at(root, schema["$ref"]))
    found = [takes_text(branch, root, depth - 1) for branch in branches]
    return any(some for some, _ in found), any(every for _, every in found)


def _pointed_at(root: Any, reference: str) -> Any:
    if not reference.startswith("#/"):
        return None
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        root = root.get(name) if isinstance(root, dict) else None
    return root


def _moved(schema: Any, name: str) -> Any:
    """The schema with its references to its own root led to where the root is now."""
    if isinstance(schema, list):
        return [_moved(entry, name) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, name) for key, value in schema.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and re.match(r"#(?!/(?:\$defs|definitions)/)(?:/|$)", reference):
        moved["$ref"] = f"#/properties/{name}{reference[1:]}"
    return moved


def sendable(schema: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """``schema`` as JSON that every service reads.

    Args:
        schema: a JSON Schema.
        subject: what an error calls it.

    Raises:
        ParameterError: a number of more than 64 bits, infinite or none, or data that JSON lacks.
    """
    try:
        # orjson holds JSON to what every reader has: whole numbers of 64 bits, names that are text.
        text = orjson.dumps(_dicts(schema))
        if b"null" in text and _infinite(schema):
            raise ValueError("a number is infinite or none at all")
        found: dict[str, Any] = orjson.loads(text)
    except (TypeError, ValueError, RecursionError) as cause:
        raise ParameterError(
            f"the JSON Schema cannot be written as JSON that every service reads ({cause})",
            cure="Keep numbers in it within 64 bits, and to plain data.",
            subject=subject,
        ) from cause
    return found


def _dicts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _dicts(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_dicts(entry) for entry in value]
    return value


def _infinite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_infinite(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return any(_infinite(entry) for entry in value)
    return isinstance(value, float) and value - value != 0


def _draft(schema: dict[str, Any], subject: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend, validator_for

    named = schema.get("$schema")
    kind: Any = validator_for(schema, default=Draft202012Validator if named is None else _UNKNOWN)
    if kind is _UNKNOWN:
        raise ParameterError(
            f"the draft {named!r} of JSON Schema is unknown",
            cure="Name one of draft 3 to 2020-12 in $schema, or leave it out.",
            subject=subject,
        )
    checker = kind.TYPE_CHECKER.redefine("integer", _is_whole)
    extended: Any = extend
    return extended(kind, {"multipleOf": _multiple_of}, type_checker=checker)


def _is_whole(_: Any, value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) < _SAFE
    return isinstance(value, int) and not isinstance(value, bool)


def _multiple_of(validator: Any, step: Any, value: Any, _: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    # 19.99 is a multiple of 0.01, though the floats are not.
    if validator.is_type(value, "number") and Decimal(repr(value)) % Decimal(repr(step)):
        yield ValidationError(f"{value!r} is not a multiple of {step}")


def _check(kind: Any, schema: dict[str, Any], subject: str) -> None:
    from jsonschema import SchemaError

    try:
        kind.check_schema(schema, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as cause:
        place = "/".join(str(step) for step in cause.absolute_path)
        raise ParameterError(
            f"it is no JSON Schema ({f'at {place}: ' if place else ''}{cause.message})",
            cure="Mend it, or name its draft in $schema.",
            subject=subject,
        ) from cause
    except RecursionError as cause:
        raise ParameterError("it is nested too deeply", cure="Make it flatter.", subject=subject) from cause


def _check_references(kind: Any, schema: dict[str, Any], subject: str) -> None:
    """Every reference leads to a place in this document, and none back to itself without going deeper."""
    from referencing import Registry
    from referencing.exceptions import NoSuchResource, Unresolvable
    from referencing.jsonschema import specification_with

    specification = specification_with(str(kind.META_SCHEMA.get("$schema", "")))
    whole = specification.create_resource(schema)
    base = whole.id() or ""
    registry: Any = Registry().with_resource(base, whole)

    def check(resource: Any, resolver: Any, passed: tuple[int, ...]) -> None:
        """``passed``: the schemas that hold for the very same data."""
        contents = resource.contents
        if not isinstance(contents, Mapping):
            return
        if id(contents) in passed:
            raise ParameterError(
                "a $ref of the JSON Schema leads back to itself",
                cure="Let it refer to itself under properties or items only.",
                subject=subject,
            )
        here = (*passed, id(contents))
        for name in _REFERENCES:
            reference = contents.get(name)
            if isinstance(reference, str):
                try:
                    found = resolver.lookup(reference)
                except (Unresolvable, NoSuchResource, ValueError) as cause:
                    raise ParameterError(
                        f"{name} {reference!r} of the JSON Schema leads to nothing in it",
                        cure="Put what it refers to under $defs, and refer to '#/$defs/...'.",
                        subject=subject,
                    ) from cause
                if id(found.contents) not in seen or id(found.contents) in here:
                    seen.add(id(found.contents))
                    check(specification.create_resource(found.contents), found.resolver, here)
        for name in _IN_PLACE:
            branches = contents.get(name)
            for branch in branches if isinstance(branches, list) else [branches]:
                if isinstance(branch, Mapping):
                    check(specification.create_resource(branch), resolver, here)
        for inner in resource.subresources():
            if isinstance(inner.contents, Mapping) and id(inner.contents) not in walked:
                walked.add(id(inner.contents))
                check(inner, resolver.in_subresource(inner), ())

    seen: set[int] = set()
    walked: set[int] = {id(schema)}
    try:
        check(whole, registry.resolver(base), ())
    except RecursionError as cause:
        raise ParameterError("it is nested too deeply", cure="Make it flatter.", subject=subject) from cause


def _foreign(data: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether an object has none of the fields asked for, where it has any at all."""
    asked = schema.get("properties")
    free = {"additionalProperties", "patternProperties", "anyOf", "oneOf", "allOf", "$ref"} & schema.keys()
    return (
        bool(data)
        and isinstance(asked, dict)
        and bool(asked)
        and not free
        and not (data.keys() & asked.keys())
    )


def _as_floats(data: Any) -> Any:
    match data:
        case Decimal():
            number = float(data)
            return number if Decimal(repr(number)) == data else data
        case dict():
            return {name: _as_floats(value) for name, value in data.items()}
        case list():
            return [_as_floats(value) for value in data]
    return data


def _places(errors: Iterable[Any]) -> Iterator[str]:
    for error in errors:
        yield f"{'.'.join(str(step) for step in error['loc']) or 'document'}: {error['msg']}"


def _turns(error: Any) -> bool:
    """Whether pydantic would turn this into something the answer does not say: true into 1, 2020 into a
    moment of 1970. A number or a truth in quotes says what it is."""
    given = error["input"]
    if isinstance(given, bool):
        return True
    if isinstance(given, int | float):
        whole = float(given).is_integer() and abs(given) < _SAFE
        return not (
            (error["type"] == "bool_type" and given in (0, 1)) or (error["type"] == "int_type" and whole)
        )
    return False


def _nothing_taken(value: Any, data: Any) -> bool:
    """Whether data with fields has become a value with none, since all of them are unknown."""
    from pydantic import BaseModel

    if isinstance(value, list) and isinstance(data, list):
        return any(_nothing_taken(one, given) for one, given in zip(value, data, strict=False))
    if not isinstance(data, dict) or not data:
        return False
    return (
        value == {}
        if isinstance(value, dict)
        else isinstance(value, BaseModel) and not value.model_fields_set
    )


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)


def _leaves(errors: Iterable[Any]) -> Iterator[Any]:
    for error in errors:
        yield error
        yield from _leaves(error.context)
