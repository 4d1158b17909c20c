"""What finding sources gives: something to work on, something left alone, or something that is out of reach,
and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from visionpipe.errors import VisionPipeError


@dataclass(frozen=True, slots=True)
class Source:
    """One item to work on.

    ``name`` is unique within a run and stable between runs: the path relative to the folder given, with
    forward slashes, or what the list says. ``location`` is a path or a URL. ``fields`` are the other
    columns of a list.
    """

    name: str
    location: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SkippedSource:
    """One file or folder left alone.

    ``reason`` is one of a few words that can be counted: hidden, sidecar, video, audio, not an image,
    unreadable, visited. ``detail`` says more where there is more to say.
    """

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FailedSource:
    """A folder (its ``name`` ends in a slash) that cannot be listed, so that nobody knows what it holds."""

    name: str
    error: VisionPipeError


Found: TypeAlias = Source | SkippedSource | FailedSource
