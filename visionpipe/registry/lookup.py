"""Find the record of a model or an endpoint by the name a person gives it.

A known id is held to its record; an unknown one gets its endpoint's record for strangers, marked
so. The built-in catalog is read once; a user's overlay files lie on top of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from visionpipe.errors import ConfigurationError
from visionpipe.registry.overlay import Tables, lay_over, names_of, read_tables, tables_of, validate
from visionpipe.registry.records import EndpointRecord, ModelRecord

_CATALOG = Path(__file__).with_name("catalog.toml")


@dataclass(frozen=True, slots=True)
class Registry:
    """Every known model and endpoint. Cheap to pass about; make one with ``load``."""

    _tables: Tables
    _models: Mapping[str, ModelRecord]
    _endpoints: Mapping[str, EndpointRecord]
    _model_names: Mapping[str, str]
    _endpoint_names: Mapping[str, str]

    @classmethod
    def load(cls, overlays: Sequence[str | os.PathLike[str]] = ()) -> Registry:
        """The built-in catalog with ``overlays`` (TOML files of the same form) on top, the last strongest.

        Raises:
            ConfigurationError: an overlay cannot be read or does not fit; it names file, table and field.
        """
        registry = _built_in()
        for path in overlays:
            registry = registry._under(read_tables(Path(path)), os.fspath(path))
        return registry

    def with_records(self, data: Mapping[str, Any], origin: str) -> Registry:
        """A registry with ``data`` on top, of an overlay file's form:
        ``{"model": [{"id": "my-tuned-model", "base": "glm-4v-plus-0111"}]}``.

        Args:
            data: records to add or to change.
            origin: where they come from; named in errors and as the source of their figures.
        """
        return self._under(tables_of(data, origin), origin)

    def model(self, model_id: str, endpoint_id: str | None = None) -> ModelRecord:
        """The record of a model, by id or alias in any case.

        Args:
            model_id: as the caller wrote it; an unknown one gets the endpoint's record for strangers with
                this id and the state "unknown".
            endpoint_id: the endpoint's id; then only the prices it charges are in the record, and thinking is
                switchable only where it is known how it is switched there. Without it the catalog's first
                endpoint stands in for strangers, and all prices are there.
        """
        known = self._model_names.get(model_id.strip().lower())
        if endpoint_id is None:
            endpoint = next(iter(self._endpoints.values()))
            record = self._models[known] if known else self._stranger(model_id, endpoint)
            return record
        named = self._endpoint_names.get(endpoint_id.lower())
        endpoint = self.endpoint(endpoint_id) if named is None else self._endpoints[named]
        record = self._models[known] if known else self._stranger(model_id, endpoint)
        update: dict[str, Any] = {}
        charged = tuple(p for p in record.prices if not p.endpoints or endpoint.id in p.endpoints)
        if charged != record.prices:
            update["prices"] = charged
        if record.thinking.mode == "switchable" and endpoint.thinking is None:
            update["thinking"] = record.thinking.model_copy(update={"mode": "unknown"})
        return record.model_copy(update=update) if update else record

    def endpoint(self, name_or_url: str) -> EndpointRecord:
        """The record of an endpoint, by id, alias or base URL.

        A URL of a known host gets that service's record with this base URL; any other URL gets the record
        for OpenAI-compatible servers. ``"vllm+http://gpu-box:9000/v1"`` names the record for a URL.

        Raises:
            ConfigurationError: neither a known name nor a usable base URL, or plain http to a service that
                is reached by https (the key would travel in the open).
        """
        given = name_or_url.strip()
        known = self._endpoint_names.get(given.lower())
        if known is not None:
            record = self._endpoints[known]
            if record.url_is_example:
                raise ConfigurationError(
                    f"each customer of {record.title} has a base URL of their own",
                    cure=f"Give it as {record.id}+{record.base_url}, with your own name in it.",
                    subject="endpoint",
                )
            return record
        name, plus, url = given.partition("+")
        named = self._endpoint_names.get(name.lower())
        if plus and named is not None:
            return _moved(self._endpoints[named], url)
        if "://" not in given:
            raise self._no_such_endpoint(given)
        return self._of_url(given)

    @property
    def read(self) -> date | None:
        """The day on which the built-in catalog's facts were looked up last."""
        return self._tables.read

    def models(self) -> tuple[ModelRecord, ...]:
        """Every model in the catalog's order, those for strangers (state "generic") included."""
        return tuple(self._models.values())

    def endpoints(self) -> tuple[EndpointRecord, ...]:
        """Every endpoint in the catalog's order."""
        return tuple(self._endpoints.values())

    def knows(self, model_id: str) -> bool:
        """Whether the catalog has this model, by id or alias in any case."""
        return model_id.strip().lower() in self._model_names

    def suggest(self, text: str, kind: Literal["model", "endpoint"] = "model") -> tuple[str, ...]:
        """Ids that ``text`` may have meant, the nearest first; at most three."""
        names = self._model_names if kind == "model" else self._endpoint_names
        records: Mapping[str, ModelRecord | EndpointRecord] = (
            self._models if kind == "model" else self._endpoints
        )
        offered = {
            name: records[key].id
            for name, key in names.items()
            if getattr(records[key], "state", None) != "generic"
        }
        near = get_close_matches(text.strip().lower(), offered, n=3, cutoff=0.6)
        return tuple(dict.fromkeys(offered[name] for name in near))

    def models_taking(self, images: int = 1, endpoints: Sequence[str] = ()) -> tuple[ModelRecord, ...]:
        """Models known to take ``images`` images in one request, for a cure: current ones first. With
        ``endpoints`` only those that one of these offers."""
        able = [
            record
            for record in self._models.values()
            if record.state in ("current", "legacy")
            and record.images is not None
            and record.images.max_count is not None
            and record.images.max_count >= images
            and (not endpoints or set(endpoints) & set(record.endpoints))
        ]
        return tuple(sorted(able, key=lambda record: record.state))

    def _under(self, over: Tables, origin: str) -> Registry:
        return _registry(lay_over(self._tables, over, origin), origin)

    def _stranger(self, model_id: str, endpoint: EndpointRecord) -> ModelRecord:
        record = self._models[endpoint.unknown_model.lower()]
        update: dict[str, Any] = {"id": model_id.strip(), "aliases": (), "matches": (), "state": "unknown"}
        name = model_id.strip().lower()
        family = next(
            (r for r in self._models.values() if any(fnmatchcase(name, p) for p in r.matches)), None
        )
        if family is not None:
            update["thinking"] = family.thinking
            update["sources"] = {**record.sources, "thinking": family.sources.get("thinking", family.id)}
        return record.model_copy(update=update)

    def _of_url(self, url: str) -> EndpointRecord:
        parts = _split(url)
        base_url = url.rstrip("/")
        own = [record for record in self._endpoints.values() if belongs_to(url, record)]
        if not own:
            # Gateways keep the path of the API that they pass on.
            path = parts.path.rstrip("/")
            alike = (r for r in self._endpoints.values() if path.endswith(r.url_paths))
            return _moved(next(alike, None) or self._generic(), url)
        # One host may serve several surfaces under different paths.
        record = next((r for r in own if base_url.startswith(r.base_url)), own[0])
        if urlsplit(record.base_url).scheme == "https" and parts.scheme != "https":
            raise ConfigurationError(
                f"{record.title} is reached by https, and the key would travel in the open",
                cure=f"Use {record.base_url}.",
                subject=url,
            )
        return _moved(record, url)

    def _generic(self) -> EndpointRecord:
        return next(record for record in self._endpoints.values() if record.for_any_url)

    def _no_such_endpoint(self, given: str) -> ConfigurationError:
        near = self.suggest(given, "endpoint")
        meant = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(record.id for record in self._endpoints.values())
        return ConfigurationError(
            f"there is no endpoint {given!r}",
            cure=f"{meant}Known are {known}; any other server by its base URL (https://host/path).",
            subject="endpoint",
        )


def belongs_to(url: str, record: EndpointRecord) -> bool:
    """Whether the host of ``url`` is one of the service's own, so that its key may go there."""
    parts = urlsplit(url)
    places = [parts.hostname or "", parts.netloc]
    return any(fnmatchcase(place, host) for place in places for host in record.hosts)


def _moved(record: EndpointRecord, url: str) -> EndpointRecord:
    """``record`` at another base URL, with what that brings behind its question mark."""
    parts = _parsed(url, record.query_names)
    base_url = urlunsplit(parts._replace(query="")).rstrip("/")
    query = {**record.query, **dict(parse_qsl(parts.query))}
    return record.model_copy(update={"base_url": base_url, "query": query})


def _split(url: str) -> SplitResult:
    """``url`` in parts, if it can be a base URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        cure = "Give it as https://host/path."
        raise ConfigurationError("it is not an http(s) base URL", cure=cure, subject=url)
    if parts.username or parts.password or parts.fragment:
        raise _not_base(parts)
    return parts


def _not_base(parts: SplitResult) -> ConfigurationError:
    return ConfigurationError(
        "a base URL holds no user, password, query or fragment",
        cure="Give the key as api_key or in the environment.",
        subject=f"{parts.scheme}://{parts.hostname}",
    )


def _parsed(url: str, query_names: Sequence[str] = ()) -> SplitResult:
    """``url`` in parts, if it can be a base URL that brings nothing but ``query_names``."""
    parts = _split(url)
    brings = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if not brings <= set(query_names):
        raise _not_base(parts)
    if parts.path.rstrip("/").endswith("/chat/completions"):
        cure = "Leave out /chat/completions; it is added to the base URL."
        raise ConfigurationError("it is a whole request's URL", cure=cure, subject=url)
    return parts


def _registry(tables: Tables, origin: str) -> Registry:
    models, endpoints = validate(tables, origin)
    return Registry(
        _tables=tables,
        _models=models,
        _endpoints=endpoints,
        _model_names=names_of("model", models.values(), origin),
        _endpoint_names=names_of("endpoint", endpoints.values(), origin),
    )


@cache
def _built_in() -> Registry:
    return _registry(read_tables(_CATALOG), str(_CATALOG.name))
