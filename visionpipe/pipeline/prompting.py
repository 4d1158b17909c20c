"""The prompt of each item, from what the caller gave: words, a template with fields, or a preset.

The rule: words are taken as they are; only a Template has fields. EXIF and sidecars are read only where a
template names them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import orjson

from visionpipe.errors import UnreadableSourceError
from visionpipe.loaders.sources import Source
from visionpipe.pipeline.answerer import Render
from visionpipe.pipeline.fingerprint import is_link
from visionpipe.prompts.presets import Language, Preset
from visionpipe.prompts.template import Template, item_fields
from visionpipe.values import JSON

Prompt: TypeAlias = str | Template | Preset

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
        exif = _exif(source.location) if wants_exif and here else None
        sidecar = _sidecar(Path(source.location)) if wants_sidecar and here else None
        fields = item_fields(source.name, exif=exif, sidecar=sidecar, columns=source.fields)
        return prompt.fill(fields, item=source.name)

    return render


def _exif(path: str) -> dict[str, str]:
    from visionpipe.loaders.exif import read_exif_fields

    return read_exif_fields(path)


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
