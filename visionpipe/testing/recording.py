"""Answers of a service recorded once into a file, and given again in tests.

The file is JSON that can be read and compared: what was asked, with the hash of each image in its place, and
what was answered. Keys, headers and the credentials in addresses are not in it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visionpipe.errors import ConfigurationError
from visionpipe.files import output_errors, whole_file
from visionpipe.logs import shown_source
from visionpipe.testing.script import ScriptError, shown_body
from visionpipe.wire.http import HttpRequest, HttpResponse
from visionpipe.wire.secrets import redact

_FORM = 1
_MOST_SHOWN = 5
_LONGEST_SHOWN = 80


class NotRecordedError(ScriptError):
    """The program under test asked what is not in the recording; the message names what differs."""


class Recording:
    """One file of questions and answers.

    Args:
        path: of the file.
        record: begin it anew and fill it; False: give what it holds.
        secrets: what is masked wherever it stands.

    Raises:
        ConfigurationError: there is no such file to be given, or it is no recording.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, record: bool = False, secrets: Iterable[str] = ()
    ) -> None:
        self.path = Path(path)
        self.record = record
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._head: dict[str, Any] = {"visionpipe_recording": _FORM}
        self._entries: list[dict[str, Any]] = []
        self._given: dict[int, int] = {}
        if not record:
            self._read()

    @property
    def endpoint(self) -> str | None:
        """The endpoint that was asked, by its name."""
        found: str | None = self._head.get("endpoint")
        return found

    @property
    def model(self) -> str | None:
        """The client's model."""
        found: str | None = self._head.get("model")
        return found

    def begin(self, endpoint: str, model: str, secrets: Iterable[str]) -> None:
        """Say who is asked, and what is to be masked."""
        self._head |= {"endpoint": endpoint, "model": model}
        self._secrets = tuple(secrets)

    def add(self, request: HttpRequest, status: int, content_type: str, body: bytes) -> None:
        """Write down one exchange; the file is whole after each.

        Raises:
            ScriptError: the answer is no text.
            OutputError: the file cannot be written.
        """
        try:
            text = redact(body.decode("utf-8"), self._secrets)
        except UnicodeDecodeError as error:
            raise ScriptError(f"{request.method} {request.url}: an answer that is no text") from error
        answered: dict[str, Any] = {"status": status, "content_type": content_type}
        if "event-stream" in content_type:
            answered["events"] = text.split("\n")
        else:
            try:
                answered["json"] = json.loads(text)
            except ValueError:
                answered["text"] = text
        with self._lock:
            self._entries.append({"asked": self._asked(request), "answered": answered})
            document = {**self._head, "exchanges": self._entries}
            with whole_file(self.path) as draft, output_errors(self.path):
                draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def answer(self, request: HttpRequest) -> HttpResponse:
        """The recorded answer; of one question asked several times, each in turn, and the last again.

        Raises:
            NotRecordedError: it is not there.
        """
        asked = self._asked(request)
        with self._lock:
            same = [number for number, entry in enumerate(self._entries) if entry["asked"] == asked]
            if not same:
                raise self._not_recorded(asked)
            turn = min(self._given.get(same[0], 0), len(same) - 1)
            self._given[same[0]] = turn + 1
        answered = self._entries[same[turn]]["answered"]
        if "events" in answered:
            text = "\n".join(answered["events"])
        elif "text" in answered:
            text = answered["text"]
        else:
            text = json.dumps(answered["json"])
        head = {"content-type": answered["content_type"]}
        return HttpResponse(answered["status"], head, text.encode())

    def _read(self) -> None:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            if found.pop("visionpipe_recording") != _FORM:
                raise ValueError("it is of another version")
            self._entries = [{"asked": e["asked"], "answered": e["answered"]} for e in found.pop("exchanges")]
        except OSError as error:
            raise ConfigurationError(
                f"there is no recording ({error.strerror})",
                cure="Record it once against the service: record=True, or pytest --record-replies.",
                subject=str(self.path),
                code="no_recording",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"this is no recording ({error})",
                cure="Record it anew: record=True, or pytest --record-replies.",
                subject=str(self.path),
                code="no_recording",
            ) from error
        self._head |= found

    def _asked(self, request: HttpRequest) -> dict[str, Any]:
        address = urlsplit(request.url)
        body = request.body.made_of if request.body is not None else None
        if request.body is not None and not isinstance(body, Mapping):
            raise ScriptError(f"{request.method} {request.url}: only calls in JSON are recorded")
        shown = None if body is None else _without_credentials(shown_body(body), self._secrets)
        url = address.path if address.netloc else request.url
        return {"method": request.method, "url": url, "body": json.loads(json.dumps(shown))}

    def _not_recorded(self, asked: Mapping[str, Any]) -> NotRecordedError:
        cure = "Record anew with record=True, or pytest --record-replies."
        if not self._entries:
            return NotRecordedError(f"{self.path} holds no question. {cure}")
        compared = [list(differences(entry["asked"], asked)) for entry in self._entries]
        nearest = min(range(len(compared)), key=lambda number: len(compared[number]))
        found = compared[nearest]
        more = f"\n  and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        listed = "".join(f"\n  {difference}" for difference in found[:_MOST_SHOWN])
        return NotRecordedError(
            f"{self.path} does not hold this question. From the nearest one, number {nearest + 1} of "
            f"{len(compared)}, it differs in:{listed}{more}\n{cure}"
        )


def differences(recorded: Any, asked: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(recorded, Mapping) and isinstance(asked, Mapping):
        for name in dict.fromkeys([*recorded, *asked]):
            at = f"{place}.{name}" if place else str(name)
            if name not in asked:
                yield f"{at}: recorded {_short(recorded[name])}, and now not there"
            elif name not in recorded:
                yield f"{at}: now {_short(asked[name])}, and not there when it was recorded"
            else:
                yield from differences(recorded[name], asked[name], at)
    elif isinstance(recorded, list) and isinstance(asked, list):
        if len(recorded) != len(asked):
            yield f"{place}: recorded {len(recorded)} of them, now {len(asked)}"
        for number, (one, other) in enumerate(zip(recorded, asked, strict=False)):
            yield from differences(one, other, f"{place}[{number}]")
    elif recorded != asked:
        yield f"{place}: recorded {_short(recorded)}, now {_short(asked)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _without_credentials(value: Any, secrets: tuple[str, ...]) -> Any:
    match value:
        case Mapping():
            return {name: _without_credentials(entry, secrets) for name, entry in value.items()}
        case list():
            return [_without_credentials(entry, secrets) for entry in value]
        case str() if value.startswith(("http://", "https://")):
            return shown_source(value)
        case str():
            return redact(value, secrets)
    return value
