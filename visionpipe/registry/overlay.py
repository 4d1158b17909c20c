"""From catalog files to validated records: read, lay one file over another, inherit, check.

A file says only what it changes. Tables merge field by field, everything else is replaced; a
record takes its template's (``like``) and its base model's fields where it is silent. Whatever is wrong
with a user's file is a ConfigurationError that names file, table, field and what is allowed there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from visionpipe.errors import ConfigurationError
from visionpipe.registry.records import CatalogRecord, EndpointRecord, ModelRecord

Table = dict[str, Any]
R = TypeVar("R", bound=CatalogRecord)

_TOP = ("read", "source", "template", "endpoint", "model")
# Fields whose parts have a source each; of all others the field as a whole has one.
_SOURCED_BY_PART = ("images", "video", "files")
_NOT_FACTS = ("id", "like", "base", "aliases", "matches", "title", "state", "endpoints", "sources", "doubts")
_PLACEHOLDER = re.compile(r"\{([a-z0-9][a-z0-9.-]*)\}")


@dataclass(frozen=True, slots=True)
class Tables:
    """A catalog's unvalidated tables, by lower-case id or name. ``read`` is the day on which its facts were
    looked up last."""

    read: date | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, Table] = field(default_factory=dict)
    endpoints: Mapping[str, Table] = field(default_factory=dict)
    models: Mapping[str, Table] = field(default_factory=dict)


def read_tables(path: Path) -> Tables:
    """The tables of a TOML file at ``path``.

    Raises:
        ConfigurationError: it cannot be read, is no TOML, or is not of a catalog's form.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise _error(str(path), f"it cannot be read ({reason})", "Check the path to the overlay.") from error
    except tomllib.TOMLDecodeError as error:
        raise _error(str(path), f"it is not valid TOML ({error})", "Correct that place.") from error
    return tables_of(data, str(path))


def tables_of(data: Mapping[str, Any], origin: str) -> Tables:
    """``data``, of the form of a catalog file, sorted by kind; ``origin`` names it in errors."""
    for key in data:
        if key not in _TOP:
            raise _error(origin, f"{key!r} is not a table of a catalog", _allowed(key, _TOP))
    read = data.get("read")
    if read is not None and not isinstance(read, date):
        raise _error(origin, f"read = {read!r} is no date", "Write it as read = 2026-11-27, without quotes.")
    return Tables(
        read=read,
        sources=_named(data, "source", str, origin),
        templates=_named(data, "template", dict, origin),
        endpoints=_with_ids(data, "endpoint", origin),
        models=_with_ids(data, "model", origin),
    )


def lay_over(under: Tables, over: Tables, origin: str) -> Tables:
    """``under`` with ``over`` on top; facts that ``over`` changes name ``origin`` as their source."""
    return Tables(
        read=under.read,
        sources={**under.sources, **over.sources},
        templates=_lay_records(under.templates, over.templates),
        endpoints=_lay_records(under.endpoints, _claimed(over.endpoints, origin)),
        models=_lay_records(under.models, _claimed(over.models, origin)),
    )


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """``under`` with ``over`` on top: tables merge, everything else is replaced. Neither is changed."""
    merged = dict(under)
    for key, value in over.items():
        beneath = merged.get(key)
        if isinstance(value, Mapping) and isinstance(beneath, Mapping):
            value = merge(beneath, value)
        merged[key] = value
    return merged


def validate(tables: Tables, origin: str) -> tuple[dict[str, ModelRecord], dict[str, EndpointRecord]]:
    """The finished records by lower-case id; ``origin`` names the file in errors.

    Raises:
        ConfigurationError: the first field, reference or alias that does not hold.
    """
    models = {
        key: _record(ModelRecord, "model", _inherited(key, tables, origin), tables, origin)
        for key in tables.models
    }
    endpoints = {
        key: _record(EndpointRecord, "endpoint", _styled(table, tables, origin, ()), tables, origin)
        for key, table in tables.endpoints.items()
    }
    for model in models.values():
        for name in (*model.endpoints, *(e for price in model.prices for e in price.endpoints)):
            _must_exist(name, endpoints, f"[[model]] {model.id}: endpoint", origin)
    for endpoint in endpoints.values():
        _must_exist(endpoint.unknown_model, models, f"[[endpoint]] {endpoint.id}: unknown_model", origin)
    names_of("model", models.values(), origin)
    names_of("endpoint", endpoints.values(), origin)
    return models, endpoints


def names_of(kind: str, records: Iterable[ModelRecord | EndpointRecord], origin: str) -> dict[str, str]:
    """Every id and alias, in lower case, with the lower-case id it stands for."""
    records = tuple(records)
    names = {record.id.lower(): record.id.lower() for record in records}
    for record in records:
        for alias in record.aliases:
            owner = names.setdefault(alias.lower(), record.id.lower())
            if owner != record.id.lower():
                where = f"[[{kind}]] {record.id}: the alias {alias!r} already belongs to {owner}"
                raise _error(origin, where, "Choose another alias.")
    return names


def _error(origin: str, reason: str, cure: str) -> ConfigurationError:
    return ConfigurationError(reason, cure=cure, subject=origin, code="catalog")


def _allowed(given: str, names: Iterable[str]) -> str:
    names = sorted(names)
    near = get_close_matches(given, names, n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"{meant}Allowed here: {', '.join(names)}."


def _named(data: Mapping[str, Any], key: str, kind: type, origin: str) -> dict[str, Any]:
    found = data.get(key, {})
    if not isinstance(found, Mapping) or not all(isinstance(value, kind) for value in found.values()):
        holds = "texts by name" if kind is str else "tables by name"
        raise _error(origin, f"[{key}] does not hold {holds}", f"Write [{key}] with {holds}.")
    return dict(found)


def _with_ids(data: Mapping[str, Any], key: str, origin: str) -> dict[str, Table]:
    entries = data.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise _error(origin, f"{key!r} is not a list of tables", f"Begin each record with [[{key}]].")
    found: dict[str, Table] = {}
    for number, entry in enumerate(entries, 1):
        name = entry.get("id")
        if not isinstance(name, str) or not name.strip():
            raise _error(origin, f"[[{key}]] number {number} has no id", 'Give it one: id = "...".')
        if name.lower() in found:
            raise _error(origin, f"[[{key}]] {name} stands there twice", "Make one record of the two.")
        found[name.lower()] = dict(entry)
    return found


def _lay_records(under: Mapping[str, Table], over: Mapping[str, Table]) -> dict[str, Table]:
    laid = dict(under)
    for key, table in over.items():
        # The spelling of an id is its first record's.
        own_id = {"id": laid[key]["id"]} if "id" in laid.get(key, {}) else {}
        laid[key] = {**merge(laid.get(key, {}), table), **own_id}
    return laid


def _claimed(records: Mapping[str, Table], origin: str) -> dict[str, Table]:
    return {
        key: merge({"sources": dict.fromkeys(_facts(table), origin)}, table) for key, table in records.items()
    }


def _facts(table: Table) -> Iterable[str]:
    for name, value in table.items():
        if name in _SOURCED_BY_PART and isinstance(value, Mapping):
            yield from (f"{name}.{part}" for part in value)
        elif name not in _NOT_FACTS:
            yield name


def _styled(table: Table, tables: Tables, origin: str, on_the_way: tuple[str, ...]) -> Table:
    """``table`` with its templates' fields beneath its own."""
    given = table.get("like", ())
    likes = (given,) if isinstance(given, str) else tuple(given)
    found: Table = {}
    for name in likes:
        if name in on_the_way:
            raise _error(origin, f"the template {name!r} is like itself", "Break the circle of `like`.")
        if name not in tables.templates:
            where = f"{table.get('id', 'a template')}: there is no template {name!r}"
            raise _error(origin, where, _allowed(str(name), tables.templates))
        found = merge(found, _styled(tables.templates[name], tables, origin, (*on_the_way, name)))
    return merge(found, {key: value for key, value in table.items() if key != "like"})


def _inherited(key: str, tables: Tables, origin: str, on_the_way: tuple[str, ...] = ()) -> Table:
    """A model's table with its base model's fields and its templates' beneath its own."""
    table = tables.models[key]
    own = _styled(table, tables, origin, ())
    base = own.get("base")
    if base is None:
        return own
    where = f"[[model]] {table['id']}: base"
    if not isinstance(base, str):
        raise _error(origin, f"{where} is not a model's id", "Give the base model's id as text.")
    _must_exist(base, tables.models, where, origin)
    if base.lower() in (key, *on_the_way):
        raise _error(origin, f"{where} {base!r} leads back to itself", "Name the model it was made from.")
    beneath = _inherited(base.lower(), tables, origin, (*on_the_way, key))
    return merge({k: v for k, v in beneath.items() if k not in ("id", "aliases", "base")}, own)


def _must_exist(name: str, known: Mapping[str, Any], where: str, origin: str) -> None:
    if name.lower() not in known:
        raise _error(origin, f"{where} {name!r} is not known", _allowed(name, known))


def _expanded(table: Table, sources: Mapping[str, str], where: str, origin: str) -> Table:
    """``table`` with "{name}" in its sources and doubts replaced by what [source] says of it."""

    def named(match: re.Match[str]) -> str:
        if match[1] not in sources:
            raise _error(origin, f"{where}: there is no source {match[1]!r}", _allowed(match[1], sources))
        return sources[match[1]]

    def text(value: Any) -> Any:
        return _PLACEHOLDER.sub(named, value) if isinstance(value, str) else value

    found = dict(table)
    for key in ("sources", "doubts", "tokens"):
        if isinstance(found.get(key), Mapping):
            found[key] = {name: text(value) for name, value in found[key].items()}
    return found


def _record(kind: type[R], name: str, table: Table, tables: Tables, origin: str) -> R:
    where = f"[[{name}]] {table['id']}"
    try:
        return kind.model_validate(_expanded(table, tables.sources, where, origin))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            fields = _fields_at(kind, first["loc"][:-1])
            raise _error(
                origin, f"{where}: {place} is not a field", _allowed(str(first["loc"][-1]), fields)
            ) from error
        if first["type"] == "missing":
            raise _error(origin, f"{where}: {place} is missing", "A new record needs it.") from error
        reason = f"{where}: {place} = {first['input']!r} does not fit"
        raise _error(origin, reason, f"{first['msg']}.") from error


def _fields_at(kind: type[CatalogRecord], steps: tuple[int | str, ...]) -> Iterable[str]:
    for step in steps:
        if isinstance(step, int):
            continue
        annotation = kind.model_fields[step].annotation
        kind = next(k for k in _types_in(annotation) if issubclass(k, CatalogRecord))
    return kind.model_fields


def _types_in(annotation: Any) -> Iterable[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)
