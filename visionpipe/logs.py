"""What the library tells ``logging``, under ``visionpipe``: INFO for a job's events, DEBUG for every try
at a request. Nothing is shown unless the program asks for it, and no line holds a key, a prompt, an answer or
an image.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from visionpipe.values import JSON

_ROOT = logging.getLogger("visionpipe")
_ROOT.addHandler(logging.NullHandler())
_FIELDS = "visionpipe"


def logger(part: str) -> logging.Logger:
    """The logger of a part of the library, ``visionpipe.PART``."""
    return _ROOT.getChild(part)


def tell(to: logging.Logger, severity: int, event: str, /, **fields: JSON) -> None:
    """Log an event by its name, with its fields in the line's words and, for ``JsonLines``, as data."""
    if to.isEnabledFor(severity):
        words = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        to.log(severity, "%s %s", event, words, extra={_FIELDS: {**fields, "event": event}}, stacklevel=2)


def shown_source(source: str) -> str:
    """An item's name without what a URL may hold of credentials: the query, a user's name and password."""
    if "://" not in source:
        return source
    try:
        parts = urlsplit(source)
    except ValueError:
        return source.partition("?")[0]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, event and its fields (or the message of other loggers)."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        fields = getattr(record, _FIELDS, None)
        line |= fields if isinstance(fields, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def to_stderr(level: int = logging.INFO, *, as_json: bool = False) -> logging.Handler:
    """Writes the library's log to stderr until ``stop``, in words or as one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    words = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if as_json else words)
    _ROOT.addHandler(handler)
    _ROOT.setLevel(level)
    return handler


def stop(handler: logging.Handler) -> None:
    """Takes a handler of ``to_stderr`` away."""
    _ROOT.removeHandler(handler)
    _ROOT.setLevel(logging.NOTSET)
