"""What other installed packages add under names of their own, by entry points: outputs, sources and judges.

A package is looked for only where a word is met that may be its own, and loaded only when it is used.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from visionpipe.errors import ConfigurationError

SINKS = "visionpipe.sinks"
"""Named before an output's place, ``-o NAME:PLACE``: what takes it as a ``Path`` and gives a ``Sink``."""

SOURCES = "visionpipe.sources"
"""Named in the place of a path, ``NAME:REST``: what takes the rest as text and gives paths, URLs or items."""

JUDGES = "visionpipe.judges"
"""Named as ``judge="NAME"`` or ``--judge NAME``: what takes an answer, and whether it is the second."""


@cache
def _installed(group: str) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for one in entry_points(group=group):
        found.setdefault(one.name, []).append(one)
    return found


def plugin_names(group: str) -> tuple[str, ...]:
    """The names that installed packages have given, in order."""
    return tuple(sorted(_installed(group)))


def has_plugin(group: str, name: str, own: Collection[str] = ()) -> bool:
    """Whether an installed package has this name.

    Args:
        group: one of the three above.
        name: the word met.
        own: the library's own words, which no package may take.

    Raises:
        ConfigurationError: a package took one of the library's own, or two packages took one name.
    """
    found = _installed(group).get(name, [])
    if found and name in own:
        raise _clash(
            group, name, f"{_package(found[0])} names something {name!r}, which visionpipe does itself"
        )
    if len(found) > 1:
        packages = " and ".join(sorted(_package(one) for one in found))
        raise _clash(group, name, f"{packages} both name something {name!r}")
    return bool(found)


def load_plugin(group: str, name: str) -> Any:
    """What the package has under ``name``; see ``has_plugin``.

    Raises:
        ConfigurationError: it cannot be loaded, or nothing is called.
    """
    (found,) = _installed(group)[name]
    try:
        loaded = found.load()
    except Exception as error:  # a package of somebody else's may raise anything
        raise broken_plugin(group, name, f"cannot be loaded ({type(error).__name__}: {error})") from error
    if not callable(loaded):
        raise broken_plugin(group, name, f"is a {type(loaded).__name__}, which cannot be called")
    return loaded


def broken_plugin(group: str, name: str, what: str) -> ConfigurationError:
    """The error for a package's ``name`` that does not do what it should."""
    (found,) = _installed(group)[name]
    return ConfigurationError(
        f"{found.value} of {_package(found)} {what}",
        cure=f"Mend or update {_package(found)}, or remove it.",
        subject=f"{group}: {name}",
        code="broken_plugin",
    )


def _clash(group: str, name: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        what, cure="Remove one of them.", subject=f"{group}: {name}", code="broken_plugin"
    )


def _package(one: EntryPoint) -> str:
    return f"the package {one.dist.name}" if one.dist is not None else one.value
