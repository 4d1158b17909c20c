"""Prompts with a field per item: ``Describe the {product} in {path.folder}, taken {exif.DateTimeOriginal}.``

Strict, and no code. A field is a key looked up whole in a flat table of texts; a dot in it is part
of its name, so nothing reaches into an object. A field that is missing or blank is an error that names it,
unless the template gives a text to use instead: ``{exif.Model|an unknown camera}``. ``{{`` and ``}}`` stand
for braces; a filled-in text is never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from visionpipe.errors import ParameterError
from visionpipe.values import JSON

Fields: TypeAlias = Mapping[str, str]

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")
_PATH_FIELDS = ("path.full", "path.name", "path.stem", "path.suffix", "path.parent", "path.folder")
_FROM_THE_ITEM = ("exif.", "sidecar.")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt that may hold fields.

    Raises:
        ParameterError: a brace without its partner, or a field without a name.
    """

    text: str

    def __post_init__(self) -> None:
        for piece in _PIECE.finditer(self.text):
            if piece.group() in ("{", "}"):
                raise ParameterError(
                    f"a single {piece.group()!r} at character {piece.start() + 1}",
                    cure="Write {{ and }} for braces that are meant as such.",
                    subject="template",
                )
            if piece.group(1) is not None and not _name(piece.group(1)):
                raise ParameterError(
                    f"a field without a name at character {piece.start() + 1}",
                    cure="Name the field, such as {path.stem}.",
                    subject="template",
                )

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, in order, each once."""
        names = (_name(p.group(1)) for p in _PIECE.finditer(self.text) if p.group(1) is not None)
        return tuple(dict.fromkeys(names))

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the fields that have no text to use instead, each once."""
        pieces = (p.group(1) for p in _PIECE.finditer(self.text) if p.group(1) is not None)
        return tuple(dict.fromkeys(_name(piece) for piece in pieces if "|" not in piece))

    def refuse_unknown(self, columns: Collection[str]) -> None:
        """Refuses a field that no item can have.

        Args:
            columns: of the lists that name the items.

        Raises:
            ParameterError: of scope "job"; it names the nearest field there is.
        """
        known = (*_PATH_FIELDS, "sidecar", *sorted(columns))
        for name in self.required:
            if name not in known and not name.startswith(_FROM_THE_ITEM):
                near = get_close_matches(name, known, n=1)
                hint = f"Did you mean {{{near[0]}}}? " if near else ""
                raise ParameterError(
                    f"no item has the template's field {{{name}}}",
                    cure=f"{hint}There are {', '.join(known)}, exif.NAME, sidecar.KEY and the columns of a "
                    f"list of images. {{{name}|some text}} gives a text to use instead.",
                    subject="template",
                    code="missing_field",
                    scope="job",
                )

    def fill(self, fields: Fields, *, item: str) -> str:
        """The prompt for one item.

        Args:
            fields: what there is to fill in, see ``item_fields``.
            item: the source, for the message.

        Raises:
            ParameterError: a field is missing or blank and has no text to use instead.
        """

        def filled(piece: re.Match[str]) -> str:
            inner = piece.group(1)
            if inner is None:
                return piece.group()[0]
            name, bar, instead = inner.partition("|")
            value = fields.get(name.strip(), "")
            if value.strip():
                return value
            if bar:
                return instead
            raise _missing(name.strip(), fields, item)

        return _PIECE.sub(filled, self.text)


def _name(inner: str) -> str:
    return inner.partition("|")[0].strip()


def _missing(name: str, fields: Fields, item: str) -> ParameterError:
    present = sorted(key for key, value in fields.items() if value.strip())
    near = get_close_matches(name, present, n=1)
    hint = f"Did you mean {{{near[0]}}}? " if near else ""
    what = "is blank" if name in fields else "is missing"
    return ParameterError(
        f"the template's field {{{name}}} {what}",
        cure=f"{hint}This item has: {', '.join(present) or 'no fields'}. "
        f"{{{name}|some text}} gives a text to use instead.",
        subject=item,
        code="missing_field",
    )


def item_fields(
    source: str,
    *,
    exif: Mapping[str, str] | None = None,
    sidecar: str | Mapping[str, JSON] | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The fields of one item.

    ====================  =======================================================
    field                 what it is
    ====================  =======================================================
    ``path.full``         the path or URL
    ``path.name``         file name with its suffix
    ``path.stem``         file name without it
    ``path.suffix``       the suffix, with its dot
    ``path.parent``       the folder's path
    ``path.folder``       the folder's own name
    ``exif.NAME``         an EXIF field, such as ``exif.DateTimeOriginal``
    ``sidecar``           the whole text of a text sidecar
    ``sidecar.KEY``       a value of a JSON sidecar
    ``COLUMN``            a column of the CSV file that lists the items
    ====================  =======================================================

    Raises:
        ParameterError: a column has the name of another field.
    """
    path = PurePosixPath(unquote(urlsplit(source).path) if _URL.match(source) else source.replace("\\", "/"))
    parts = (source, path.name, path.stem, path.suffix, str(path.parent), path.parent.name)
    fields = dict(zip(_PATH_FIELDS, parts, strict=True))
    fields.update({f"exif.{name}": value for name, value in (exif or {}).items()})
    if isinstance(sidecar, str):
        fields["sidecar"] = sidecar.strip()
    elif sidecar is not None:
        fields.update({f"sidecar.{key}": _shown(value) for key, value in sidecar.items()})
    for column, value in (columns or {}).items():
        if column in fields:
            raise ParameterError(
                f"the column {column!r} has the name of another field",
                cure="Rename the column.",
                subject=source,
            )
        fields[column] = value
    return fields


def _shown(value: JSON) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_shown(entry) for entry in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items())
    return str(value)
