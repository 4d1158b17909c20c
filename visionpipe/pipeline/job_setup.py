"""Who answers a job, the prompt for each item, the judge of its answers, and the recipe they depend on.

The recipe says what is sent, a preset's options and the client's defaults included. EXIF and sidecar files
are read only where a template names them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from visionpipe.client import Client
from visionpipe.client.options import CallOptions, merged, preset_options
from visionpipe.errors import (
    ConfigurationError,
    ParameterError,
    UnreadableSourceError,
    UnsupportedError,
    VisionPipeError,
    install_command,
)
from visionpipe.media import LinkedImage
from visionpipe.pipeline.answerer import Answer, Answerer, Judge, Judgement, Render
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.client_answerer import ClientAnswerer
from visionpipe.pipeline.events import BatchEvent
from visionpipe.plugins import JUDGES, broken_plugin, has_plugin, load_plugin, plugin_names
from visionpipe.prompts.presets import Language, Preset
from visionpipe.prompts.template import Template, item_fields
from visionpipe.registry.estimates import estimate_cost
from visionpipe.registry.records import ModelRecord
from visionpipe.sources.find import Source
from visionpipe.stages.check import check_kinds
from visionpipe.stages.extraction import Schema
from visionpipe.stages.keys import Recipe, is_link
from visionpipe.stages.parts import PartsSchema, assess_parts
from visionpipe.stages.quality import assess
from visionpipe.stages.quality_policy import QualityPolicy, decide
from visionpipe.stages.retry import LONG, PollPolicy
from visionpipe.values import JSON

if TYPE_CHECKING:
    from visionpipe.wire.batches import BatchLimits

Prompt: TypeAlias = str | Template | Preset
"""What a job asks; several presets at once are one preset (``together``)."""

_ASK_A_MODEL = "Set BIGMODEL_API_KEY or ZAI_API_KEY to ask a model, or name an endpoint"
_EXIF, _SIDECAR = "exif.", "sidecar"


def prompt_text(prompt: Prompt, lang: Language) -> str:
    """The prompt before an item's fields are put in."""
    match prompt:
        case Preset():
            return prompt.text(lang)
        case Template():
            return prompt.text
        case str():
            return prompt


def renderer(prompt: Prompt, lang: Language) -> Render:
    """What gives each item its prompt; it raises ParameterError where a field is missing."""
    if not isinstance(prompt, Template):
        text = prompt_text(prompt, lang)
        return lambda source: text
    wants_exif = any(name.startswith(_EXIF) for name in prompt.fields)
    wants_sidecar = any(name.partition(".")[0] == _SIDECAR for name in prompt.fields)

    def render(source: Source) -> str:
        here = not is_link(source.location)
        exif = _exif(source) if wants_exif and here else None
        beside = wants_sidecar and here and source.image is None
        sidecar = _sidecar(Path(source.location)) if beside else None
        fields = item_fields(source.name, exif=exif, sidecar=sidecar, columns=source.fields)
        return prompt.fill(fields, item=source.name)

    return render


def _exif(source: Source) -> dict[str, str] | None:
    from visionpipe.images.metadata import read_exif_fields

    if source.image is None:
        return read_exif_fields(source.location)
    # A picture that was decoded by the caller has left its fields behind.
    return read_exif_fields(source.image, source.name) if isinstance(source.image, bytes) else None


def _sidecar(path: Path) -> str | dict[str, JSON] | None:
    """The file beside the image: ``.txt`` as text, else ``.json`` as an object's keys."""
    try:
        text = path.with_suffix(".txt")
        if text.exists():
            return text.read_text("utf-8")
        data = path.with_suffix(".json")
        if not data.exists():
            return None
        found = orjson.loads(data.read_bytes())
    except (OSError, UnicodeDecodeError, orjson.JSONDecodeError) as error:
        raise UnreadableSourceError(
            f"its sidecar cannot be read: {error}", cure="Mend or remove the sidecar.", subject=str(path)
        ) from error
    return found if isinstance(found, dict) else None


def schema_asked(prompt: Prompt, schema: Any) -> Schema[Any] | None:
    """The schema of a job's answers: the one given, else the preset's; None for plain text.

    Raises:
        ParameterError: one is given for several presets, which have their own.
    """
    own = prompt.schema if isinstance(prompt, Preset) else None
    if isinstance(prompt, Preset) and prompt.parts:
        if schema is not None and schema is not own:
            raise ParameterError(
                "several presets have a schema of their own",
                cure="Leave it out, or ask one preset.",
                subject="schema",
                scope="job",
            )
        return PartsSchema(prompt)
    wanted = schema if schema is not None else own
    return None if wanted is None else Schema(wanted)


def judge_by(policy: QualityPolicy, preset: Preset | None, lang: Language | None) -> Judge:
    """A judge that holds answers against ``preset`` (None: a question of the caller's own) and ``policy``.

    Args:
        lang: the language asked for; None where any will do.
    """

    def judge(answer: Answer, reasked: bool) -> Judgement:
        reply = answer.reply
        notes = assess(
            reply.text,
            finish_reason=reply.finish_reason,
            reasoning=reply.reasoning,
            structured=answer.data is not None,
            preset=preset,
            lang=lang,
        )
        if preset is not None and preset.parts:
            notes = (*notes, *assess_parts(answer.data, preset, lang))
        action = decide((*reply.notes, *notes), policy, reasked)
        told = {note.kind for note in reply.notes}
        return Judgement(tuple(note for note in notes if note.kind not in told), action)

    return judge


def judge_of_job(
    policy: QualityPolicy | None, prompt: Prompt, preset_lang: Language, lang: Language | None
) -> Judge | None:
    """The judge of a job's answers; None where they are taken as they come.

    Args:
        prompt: what the job asks; a preset is held to its own checks.
        preset_lang: the language that a preset asks for.
        lang: the one that the job was told, for prompts of the caller's own.
    """
    if policy is None:
        return None
    preset = prompt if isinstance(prompt, Preset) else None
    return judge_by(policy, preset, preset_lang if preset is not None else lang)


def named_judge(name: str) -> Judge:
    """The judge that an installed package has under ``name``.

    Raises:
        ParameterError: there is none.
        ConfigurationError: it cannot be loaded.
    """
    if not has_plugin(JUDGES, name):
        known = ", ".join(plugin_names(JUDGES)) or "none is installed"
        raise ParameterError(
            f"no installed package has a judge {name!r}",
            cure=f"Install its package, or name another: {known}.",
            subject="judge",
            scope="job",
        )
    found = load_plugin(JUDGES, name)

    def judge(answer: Answer, is_second: bool) -> Judgement:
        judgement = found(answer, is_second)
        if not isinstance(judgement, Judgement):
            raise broken_plugin(JUDGES, name, f"gave a {type(judgement).__name__}, and no Judgement")
        return judgement

    return judge


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a job goes through the service's batch files.

    Attributes:
        folder: for files on their way; default beside the journal. At most one batch file and its results
            lie there at a time.
        limits: of a batch file; default 50,000 lines (fewer where the model's queue is shorter) and 100 MB.
        wait: False hands everything in and leaves; a later run collects.
        policy: how long to wait between two questions after a batch.
        on_step: told how far each file has come.
        clock: seconds since 1970.
        sleep: waits for seconds; default one that ``Run.stop`` ends.
    """

    folder: str | os.PathLike[str] | None = None
    limits: BatchLimits | None = None
    wait: bool = True
    policy: PollPolicy = LONG
    on_step: Callable[[BatchEvent], object] | None = None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] | None = None

    def folder_for(self, journal: str | os.PathLike[str]) -> Path:
        """The folder, for a job with this journal."""
        return Path(self.folder if self.folder is not None else f"{os.fspath(journal)}.batch")


class JobSetup:
    """Who answers, under which recipe; ``client`` is None where an answerer was given, ``servers`` where
    there is only one."""

    def __init__(
        self,
        answerer: Answerer,
        recipe: Recipe,
        lang: Language,
        concurrency: int,
        close: Callable[[], None],
        client: Client | None = None,
    ) -> None:
        self.answerer = answerer
        self.client = client
        self.recipe = recipe
        self.lang: Language = lang
        self.servers = None if client is None else client.servers
        self.concurrency = concurrency
        self.close = close

    @classmethod
    def given(
        cls,
        answerer: Answerer,
        prompt: Prompt,
        model: str | None,
        options: CallOptions,
        lang: Language | None,
    ) -> JobSetup:
        language = lang or "en"
        recipe = Recipe(model or "", prompt_text(prompt, language), _parameters(options))
        return cls(answerer, recipe, language, 4, lambda: None)

    @classmethod
    def of_client(
        cls,
        prompt: Prompt,
        client: Client | None,
        model: str | None,
        options: CallOptions,
        schema: Schema[Any] | None,
        lang: Language | None,
        budget: Caps | None = None,
        endpoint: str | Sequence[str] | None = None,
        api_key: str | None = None,
        sticky: bool = False,
    ) -> JobSetup:
        """A client's, checked as far as that goes without an item.

        Raises:
            VisionPipeError: of scope "job", what every item would meet.
        """
        asks = client or Client(model, base_url=endpoint, api_key=api_key, lang=lang, sticky=sticky)
        settings = asks.settings
        chosen = merged(asks.defaults, options)
        asked = settings.model_named(chosen.get("model"))
        if isinstance(prompt, Preset):
            chosen = merged(preset_options(prompt, asked), chosen)
        language = lang or settings.lang
        recipe = Recipe(
            asked.id,
            prompt_text(prompt, language),
            _parameters(chosen),
            schema.json_schema if schema is not None else None,
        )
        close = asks.close if client is None else lambda: None
        try:
            refuse_purpose(asked, prompt, schema)
            refuse_job(asks, asked, recipe.template, chosen, budget)
        except VisionPipeError as error:
            close()
            error.scope = "job"
            raise
        return cls(ClientAnswerer(asks, chosen, schema), recipe, language, asked.concurrency, close, asks)


def refuse_purpose(
    model: ModelRecord,
    prompt: Prompt,
    schema: Schema[Any] | None,
    is_installed: Callable[[str], bool] = lambda package: find_spec(package) is not None,
) -> None:
    """Refuses what a model that follows no prompts of the caller's own cannot do.

    Args:
        model: that will be asked.
        prompt: what the job asks.
        schema: of the data asked for; None for plain text.
        is_installed: whether a package is there.

    Raises:
        UnsupportedError: the prompt, schema or preset is none that it serves.
        ConfigurationError: the preset needs an extra that is not installed.
    """
    if model.purposes is None:
        return
    own = isinstance(prompt, Preset) and (schema is None) == (prompt.schema is None)
    if own and schema is not None and isinstance(prompt, Preset):
        own = schema.json_schema == Schema(prompt.schema).json_schema
    name = prompt.name if isinstance(prompt, Preset) else ""
    if not own or name not in model.purposes:
        what = f"does no {name}" if own else "follows no prompt or schema of your own"
        raise UnsupportedError(
            f"the embedded engine {what}",
            cure=f"{_ASK_A_MODEL}; without one there are the presets {', '.join(model.purposes)}, one at a "
            "time.",
            subject=model.id,
            scope="job",
        )
    missing = [package for package in model.purposes[name] if not is_installed(package)]
    if missing:
        raise ConfigurationError(
            f"{name} on this machine needs {missing[0]}, which is not installed",
            cure=f"Install it: {install_command(name)}; or: {_ASK_A_MODEL}.",
            subject=model.id,
            code="missing_extra",
        )


def refuse_job(
    client: Client, model: ModelRecord, prompt: str, options: CallOptions, budget: Caps | None
) -> None:
    """Refuses a job that no item could come through: prepares its question without an image.

    Args:
        client: that will ask.
        model: that will be asked.
        prompt: before an item's fields are put in.
        options: of every call.
        budget: a cap in money needs a price in its currency.

    Raises:
        VisionPipeError: as every item would meet it.
    """
    check_kinds([LinkedImage("https://any")], model)
    client.prepare(prompt, **options)
    if budget is not None:
        budget.check_price(estimate_cost(1, 1, model.prices))


_UNKEYED = frozenset(["model", "max_pixels", "headers", "cache"])
"""The model stands beside them; a higher limit only lets more through, and changes no answer; a header may
be a key, which no journal is told; a job leaves a cache alone."""


def _parameters(options: CallOptions) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _UNKEYED}
