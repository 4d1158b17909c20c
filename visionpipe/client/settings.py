"""Which endpoint, key and model a client uses, from arguments, environment and configuration file, and which
of the service's calls these have.

The strongest source wins (argument, environment, file), a key is only ever sent to the host it
belongs to, and without any key the embedded engine answers. That it does, and that a base URL's path says
what is spoken there, is said aloud once a process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visionpipe.client.options import check_header
from visionpipe.errors import ConfigurationError, ParameterError, UnsupportedError
from visionpipe.prompts.presets import LANGUAGES, Checks, Language, Preset
from visionpipe.registry.lookup import Registry, belongs_to
from visionpipe.registry.records import EndpointRecord, ModelRecord

if TYPE_CHECKING:
    from visionpipe.client._sync.client import Client
    from visionpipe.client.preparation import Prepared
    from visionpipe.wire.chat import TokenCount

_KNOWN_KEYS = ("base_url", "model", "api_key", "catalog", "lang", "preset")
_EMBEDDED = "embedded"
_GATEWAY_KEY = "VISIONPIPE_API_KEY"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client was set up with. The key does not show in the repr.

    ``pool`` holds every server's record, ``endpoint`` first, where there are several; ``sticky`` sends
    requests that begin alike to one of them.
    """

    endpoint: EndpointRecord
    model: ModelRecord
    registry: Registry = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    lang: Language = "en"
    embedded_by_default: bool = False
    dialect_by_path: bool = False
    """Whether the base URL's path alone says what is spoken there."""
    pool: tuple[EndpointRecord, ...] = ()
    sticky: bool = False

    def model_named(self, model_id: str | None) -> ModelRecord:
        """The record of a call's own model, or the client's.

        Raises:
            ParameterError: it is no text.
            ConfigurationError: it is another model, and only the embedded engine is there.
        """
        if model_id is None:
            return self.model
        _check_text(model=model_id)
        model = self.registry.model(model_id, self.endpoint.id)
        if self.endpoint.local and self.endpoint.id not in model.endpoints:
            raise _no_key_for(model, self.registry)
        return model


def resolve_settings(
    *,
    model: str | None = None,
    base_url: str | Sequence[str] | None = None,
    api_key: str | None = None,
    catalog: str | os.PathLike[str] | None = None,
    lang: str | None = None,
    headers: Mapping[str, str] | None = None,
    sticky: bool = False,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    plan_only: bool = False,
) -> Settings:
    """Find endpoint, key and model.

    Args:
        model: a model id; default the endpoint's own.
        base_url: an endpoint's URL, a registered name (``"zai"``), or both, where a gateway at another
            address speaks a registered one's dialect (``"bigmodel+https://gateway.example/v4"``); or several
            servers of one kind, which share the work. Environment and file separate them by spaces.
        api_key: the key; default from the environment variable of the endpoint.
        catalog: a TOML file with the caller's own models and endpoints.
        lang: "en" or "zh", the language of the library's own prompts.
        headers: of every request, beside the endpoint's own; they are the endpoint record's from then on.
        sticky: of several servers, one answers all requests that begin alike.
        environ: environment variables; default the process's.
        plan_only: nothing will be sent, so no key is needed, and a model is enough to find its endpoint.
        folder: where ``visionpipe.toml`` or ``pyproject.toml`` is looked for; default the current one.

    Raises:
        ConfigurationError: an unknown name, an unreadable file, or no key for an endpoint that needs one.
        ParameterError: an argument that is no text, headers that cannot be sent, or servers that are not of
            one kind.
    """
    given: list[Any] = list(base_url) if isinstance(base_url, list | tuple) else [base_url]
    _check_text(model=model, api_key=api_key, lang=lang)
    for each in given:
        _check_text(base_url=each)
    _check_text(catalog=os.fspath(catalog) if isinstance(catalog, os.PathLike) else catalog)
    env = os.environ if environ is None else environ
    file = _read_file(Path.cwd() if folder is None else folder)
    urls: list[str] = [url for url in given if url]
    urls = urls or (env.get("VISIONPIPE_BASE_URL") or file.get("base_url") or "").split()
    model = model or env.get("VISIONPIPE_MODEL") or file.get("model")
    catalog = catalog or env.get("VISIONPIPE_CATALOG") or file.get("catalog")
    api_key = api_key or file.get("api_key")
    language = lang or file.get("lang") or "en"
    if language not in LANGUAGES:
        known = " or ".join(LANGUAGES)
        raise ConfigurationError(f"unknown language {language!r}", cure=f"Use {known}.", subject="lang")
    registry = Registry.load([Path(catalog)] if catalog else [])
    by_default = False
    pool: tuple[EndpointRecord, ...] = ()
    if urls:
        pool = _of_one_kind(urls, [registry.endpoint(url) for url in urls])
        endpoint = pool[0]
    elif api_key:
        endpoint = registry.endpoint(_first_with_key(registry, env) or _keyed(registry)[0].id)
    elif plan_only and model is not None and registry.model(model).endpoints:
        endpoint = registry.endpoint(registry.model(model).endpoints[0])
    else:
        found = _first_with_key(registry, env, model)
        by_default = found is None
        endpoint = registry.endpoint(found or _EMBEDDED)
    if headers:
        endpoint = _with_headers(endpoint, headers)
        pool = tuple(_with_headers(each, headers) for each in pool)
    api_key = api_key or _one_key(pool or (endpoint,), env)
    if endpoint.key_required and not api_key and not plan_only:
        at_home = not endpoint.hosts or belongs_to(endpoint.base_url, endpoint)
        names = " or ".join(endpoint.key_variables if at_home else ()) or _GATEWAY_KEY
        raise ConfigurationError(
            "no API key", cure=f"Set {names}, or pass api_key.", subject=endpoint.title, code="no_key"
        )
    model_id = model or endpoint.default_model
    if model_id is None:
        raise ConfigurationError(
            "no model named", cure="Pass model, or set VISIONPIPE_MODEL.", subject=endpoint.title
        )
    if by_default and model is not None:
        # A model was asked for by name, and the embedded engine is not it.
        wanted = registry.model(model)
        if _EMBEDDED not in wanted.endpoints:
            raise _no_key_for(wanted, registry)
    return Settings(
        endpoint=endpoint,
        model=registry.model(model_id, endpoint.id),
        registry=registry,
        api_key=api_key,
        lang=language,
        embedded_by_default=by_default,
        dialect_by_path=bool(urls) and _by_path(urls[0], endpoint),
        pool=pool if len(pool) > 1 else (),
        sticky=sticky,
    )


def _of_one_kind(urls: Sequence[str], records: Sequence[EndpointRecord]) -> tuple[EndpointRecord, ...]:
    """The records of servers that can stand in for each other.

    Raises:
        ParameterError: one is named twice, is the embedded engine, or speaks otherwise than the first.
    """
    for number, (url, record) in enumerate(zip(urls, records, strict=True)):
        wrong = None
        if record.base_url in [earlier.base_url for earlier in records[:number]]:
            wrong, cure = "it is named twice", "Leave one out."
        elif record.local and len(records) > 1:
            wrong, cure = "it is this machine's own engine, and no server", "Leave it out, or name it alone."
        elif (record.id, record.query) != (records[0].id, records[0].query):
            wrong = f"it is a server of another kind ({record.title}) than {urls[0]} ({records[0].title})"
            cure = f"Name servers of one kind, each as {records[0].id}+URL if need be; or make two jobs."
        if wrong is not None:
            raise ParameterError(wrong, cure=cure, subject=f"base_url {url}", scope="job")
    return tuple(records)


def _one_key(pool: Sequence[EndpointRecord], env: Mapping[str, str]) -> str | None:
    """The key of all servers.

    Raises:
        ConfigurationError: the environment has different ones for them.
    """
    keys = {_key_for(endpoint, env) for endpoint in pool}
    if len(keys) > 1:
        raise ConfigurationError(
            "these servers have different keys",
            cure="Name servers that take one key, or pass api_key for all of them.",
            subject="base_url " + ", ".join(endpoint.base_url for endpoint in pool),
        )
    return keys.pop()


def _no_key_for(model: ModelRecord, registry: Registry) -> ConfigurationError:
    homes = [registry.endpoint(name) for name in model.endpoints[:1]] or _keyed(registry)
    names = " or ".join(homes[0].key_variables)
    return ConfigurationError(
        "no API key for it",
        cure=f"Set {names}, or leave the model out: the embedded engine then answers.",
        subject=model.id,
        code="no_key",
    )


def _with_headers(endpoint: EndpointRecord, headers: Mapping[str, str]) -> EndpointRecord:
    for name, value in headers.items():
        check_header(name, value)
    if endpoint.local:
        raise ParameterError(
            "the embedded engine takes no headers",
            cure="Name the endpoint that wants them with base_url, or leave them out.",
            subject="headers",
        )
    return endpoint.with_headers(headers)


def _by_path(given: str, endpoint: EndpointRecord) -> bool:
    """Whether ``given``, a bare URL of a host that no record names, was taken for this endpoint's."""
    bare = given.strip()[:8].lower().startswith(("http://", "https://"))
    return bare and bool(endpoint.url_paths) and not belongs_to(endpoint.base_url, endpoint)


class _OwnPreset(BaseModel):
    """A table ``[preset.NAME]`` of the configuration file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(min_length=1)
    prompt_zh: str | None = None
    schema_file: str | None = Field(default=None, alias="schema")
    max_tokens: int | None = Field(default=1024, ge=1)
    max_characters: int | None = Field(default=None, ge=20)
    one_line: bool = False
    markdown: bool = False
    verbatim: bool = False
    thinking: Literal["on", "off"] | None = "off"


def own_presets(folder: Path | None = None) -> dict[str, Preset]:
    """The presets in ``visionpipe.toml`` (or ``[tool.visionpipe]``), by name: tables ``[preset.NAME]`` with
    ``prompt`` and, where wanted, ``prompt_zh``, ``schema`` (a file, relative to this one), ``max_tokens``,
    ``max_characters``, ``one_line``, ``markdown``, ``verbatim`` and ``thinking``.

    Args:
        folder: where the file is looked for; default the current one.

    Raises:
        ConfigurationError: a table with an unknown key or a value that cannot be; the message names it.
    """
    home = Path.cwd() if folder is None else folder
    tables: Any = _read_file(home).get("preset", {})
    found = {}
    for name, table in tables.items() if isinstance(tables, dict) else [("preset", tables)]:
        try:
            read = _OwnPreset.model_validate(table)
            path = None if read.schema_file is None else home / read.schema_file
            schema = None if path is None else json.loads(path.read_text("utf-8"))
        except (ValueError, OSError) as cause:
            reason = cause.errors()[0] if isinstance(cause, ValidationError) else None
            where = "" if reason is None else f"{'.'.join(map(str, reason['loc']))}: "
            raise ConfigurationError(
                f"{where}{cause if reason is None else reason['msg']}",
                cure=f"Mend [preset.{name}] in visionpipe.toml.",
                subject=f"preset {name}",
            ) from cause
        found[name] = Preset(
            name=name,
            prompt_en=read.prompt,
            prompt_zh=read.prompt_zh or read.prompt,
            schema=schema,
            max_tokens=read.max_tokens,
            checks=Checks(read.max_characters, read.one_line, read.markdown, read.verbatim),
            thinking=read.thinking,
        )
    return found


def _check_text(**arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None and not isinstance(value, str):
            # Never the value itself, which may be a key.
            raise ParameterError(
                f"it is of type {type(value).__name__}, not a text",
                cure=f"Give {name} as a str, or leave it out.",
                subject=name,
            )


def _keyed(registry: Registry) -> list[EndpointRecord]:
    """Endpoints that are chosen by their key alone, in the catalog's order."""
    return [e for e in registry.endpoints() if e.dialect == "glm" and e.key_required]


def _first_with_key(registry: Registry, env: Mapping[str, str], model: str | None = None) -> str | None:
    """The first endpoint whose key is there: of those that have the model, where the catalog knows it."""
    offering = registry.model(model).endpoints if model is not None and registry.knows(model) else ()
    homes = [e for e in registry.endpoints() if e.id in offering and not e.url_is_example]
    for endpoint in (*homes, *_keyed(registry)):
        if any(env.get(name) for name in endpoint.key_variables):
            return endpoint.id
    return None


def _key_for(endpoint: EndpointRecord, env: Mapping[str, str]) -> str | None:
    """The key that belongs to the endpoint's host; another host gets only the key meant for any."""
    if endpoint.local:
        return None
    at_home = not endpoint.hosts or belongs_to(endpoint.base_url, endpoint)
    names = (*(endpoint.key_variables if at_home else ()), _GATEWAY_KEY)
    return next((env[name] for name in names if env.get(name)), None)


def _read_file(folder: Path) -> dict[str, Any]:
    for name, table in (("visionpipe.toml", ()), ("pyproject.toml", ("tool", "visionpipe"))):
        path = folder / name
        if not path.is_file():
            continue
        try:
            found: Any = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as cause:
            raise ConfigurationError(
                f"cannot be read ({cause})", cure="Mend the file, or remove it.", subject=str(path)
            ) from cause
        for key in table:
            found = found.get(key, {})
        unknown = sorted(set(found) - set(_KNOWN_KEYS))
        if unknown:
            raise ConfigurationError(
                f"unknown setting {unknown[0]!r}",
                cure=f"Use one of {', '.join(_KNOWN_KEYS)}.",
                subject=str(path),
            )
        for key, value in found.items():
            if key == "preset":
                continue
            if not isinstance(value, str):
                raise ConfigurationError(
                    f"{key} is {value!r}, not a text", cure="Write it in quotes.", subject=str(path)
                )
        if found:
            return dict(found)
    return {}


_LOCK = threading.Lock()
_SAID: set[str] = set()


def announce_local(settings: Settings, say: Callable[[str], object] | None = None) -> None:
    """Write one line to stderr where ``settings`` fell back to the embedded engine, and one where it went by
    a base URL's path."""
    endpoint = settings.endpoint
    if settings.embedded_by_default:
        names = next(e.key_variables[0] for e in settings.registry.endpoints() if e.key_variables)
        words = (
            "no API key found, so the embedded engine answers (local analysis, nothing leaves this machine). "
            f"Set {names} to ask a model."
        )
    elif settings.dialect_by_path:
        words = (
            f"{endpoint.base_url} ends as {endpoint.title} does, so its dialect is spoken there. "
            f"openai-compatible+{endpoint.base_url} speaks the plain one."
        )
    else:
        return
    with _LOCK:
        if words in _SAID:
            return
        _SAID.add(words)
    (say or sys.stderr.write)(f"visionpipe: {words}\n")


Surface: TypeAlias = Literal[
    "tasks", "batches", "files", "tokenizer", "fine_tuning", "agents_url", "applications_url"
]
_NAMES: dict[Surface, str] = {
    "tasks": "asynchronous tasks",
    "batches": "batch files",
    "files": "file storage",
    "tokenizer": "token counting",
    "fine_tuning": "fine-tuning",
    "agents_url": "agents",
    "applications_url": "applications",
}


def require(settings: Settings, surface: Surface) -> None:
    """Raise UnsupportedError where the client's endpoint does not have ``surface``, or is one of several
    that know nothing of each other's files and tasks."""
    endpoint = settings.endpoint
    if settings.pool and surface != "tokenizer":
        raise UnsupportedError(
            f"{_NAMES[surface]} belong to one server, and here are {len(settings.pool)}",
            cure="Name one of them.",
            subject="base_url",
        )
    if getattr(endpoint, surface):
        return
    able = [other.id for other in settings.registry.endpoints() if getattr(other, surface)]
    known = f"Use an endpoint that has it: {', '.join(able)}." if able else "No known endpoint has it."
    raise UnsupportedError(f"there are no {_NAMES[surface]} here", cure=known, subject=endpoint.title)


def require_model(
    settings: Settings, model: ModelRecord, field: Literal["tasks", "batches", "counts_tokens"]
) -> None:
    """Raise UnsupportedError where a known model's record says that it has no such call."""
    if getattr(model, field) or model.state in ("unknown", "generic"):
        return
    what = {"tasks": "asynchronous tasks", "batches": "batch files", "counts_tokens": "token counting"}[field]
    able = [
        other.id
        for other in settings.registry.models()
        if getattr(other, field)
        and other.state in (("current", "legacy") if field == "batches" else ("current",))
        and settings.endpoint.id in other.endpoints
    ]
    known = f"Choose another model: {', '.join(able)}." if able else "Call it without."
    raise UnsupportedError(f"this model has no {what}", cure=known, subject=model.id)


def beside(settings: Settings, url: str) -> str:
    """A record's whole ``url``, moved to the host of the client's base URL where that is another one (a
    gateway or a sandbox), since the key goes to no other host."""
    base, own = urlsplit(settings.endpoint.base_url), urlsplit(url)
    return own._replace(scheme=base.scheme, netloc=base.netloc).geturl()


def can_count(client: Client, model: ModelRecord) -> bool:
    """Whether the client's endpoint counts tokens for ``model``, and there is a key for it."""
    settings = client.settings
    return settings.endpoint.tokenizer and model.counts_tokens and settings.api_key is not None


def exact_count(client: Client, prepared: Prepared) -> TokenCount | None:
    """The service's own count of a prepared question, for a check with a key at hand.

    The question is sent, pictures and all, to be counted.

    Returns:
        None where the endpoint or the model has no counting; the estimate then stands.
    """
    if not can_count(client, prepared.model):
        return None
    return client.count_prepared(prepared)
