"""What finding sources gives: something to work on, or something left alone, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
