"""What trainers read beside text sidecars: kohya's metadata, the metadata of Hugging Face's ImageFolder, and
pairs of texts for training by preference.

The first two hold the plain text of the items that are done (``visionpipe.stages.plain_text``). All are
written beside their target and take its place when they are whole.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from visionpipe.errors import OutputError
from visionpipe.files import ReplacingFile
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.sink import Locate, dump, missing_image
from visionpipe.stages.plain_text import TextForm, part_texts, plain_text


class KohyaSink:
    """A JSON object from each image's absolute path to its ``caption``, or its ``tags`` where the answer is a
    list of them, or both: what kohya's trainers take as ``metadata_file`` (``--in_json``).

    Args:
        path: the file to make or replace at ``close``.
        locate: from a source to its image; None: the source is a path.
        form: of the texts.

    Attributes:
        tidied: what was taken off answers, counted by kind.
    """

    keeps_previous = False

    def __init__(
        self, path: str | Path, *, locate: Locate | None = None, form: TextForm | None = None
    ) -> None:
        self.path = Path(path)
        self._locate: Locate = locate or Path
        self._form = form or TextForm()
        self._file = ReplacingFile(self.path)
        self._separator = b"{\n"
        self._ended = False
        self.tidied: Counter[str] = Counter()

    def write(self, result: ItemResult) -> None:
        if result.outcome is not Outcome.DONE:
            return
        image = self._locate(result.source)
        if image is None:
            raise missing_image(result.source, None)
        entry = {}
        for is_tags, form in self._kinds(result):
            plain = plain_text(result.caption or "", result.data, form)
            if plain.text or not self._form.parts:
                entry["tags" if is_tags else "caption"] = plain.text
            self.tidied.update(note.kind for note in plain.notes)
        self._file.add(self._separator + dump(str(image.absolute())) + b": " + dump(entry))
        self._separator = b",\n"

    def _kinds(self, result: ItemResult) -> list[tuple[bool, TextForm]]:
        """Whether there are tags, and the form of the text; of an answer to several presets those with words
        and those with tags."""
        has_tags = isinstance(result.data, dict) and isinstance(result.data.get("tags"), list)
        if not self._form.parts:
            return [(has_tags, self._form)]
        kinds = []
        for is_tags in (False, True):
            parts = tuple(part for part in self._form.parts if (part[0] == "tags") == is_tags)
            if parts and (has_tags or not is_tags):
                kinds.append((is_tags, replace(self._form, parts=parts)))
        return kinds

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        if not self._ended:
            self._file.add(b"{}\n" if self._separator == b"{\n" else b"\n}\n")
            self._ended = True
        self._file.finish()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.discard()


class ImageFolderSink:
    """``metadata.jsonl`` of an ImageFolder: a line an image with its ``file_name``, relative to the file's
    own folder, its ``text`` and, of an answer to several presets, a column for each. ``datasets`` reads it
    with ``load_dataset("imagefolder", data_dir=...)``.

    Args:
        path: the file, in the images' folder or above it; made or replaced at ``close``.
        locate, form: as for ``KohyaSink``.

    Attributes:
        tidied: what was taken off answers, counted by kind.
    """

    keeps_previous = False

    def __init__(
        self, path: str | Path, *, locate: Locate | None = None, form: TextForm | None = None
    ) -> None:
        self.path = Path(path)
        self._folder = Path(os.path.realpath(self.path.parent))
        self._locate: Locate = locate or Path
        self._form = form or TextForm()
        self._file = ReplacingFile(self.path)
        self.tidied: Counter[str] = Counter()

    def write(self, result: ItemResult) -> None:
        if result.outcome is not Outcome.DONE:
            return
        image = self._locate(result.source)
        if image is None:
            raise missing_image(result.source, None)
        place = Path(os.path.realpath(image.parent), image.name)
        if not place.is_relative_to(self._folder):
            raise OutputError(
                f"it does not lie below {self.path.parent}, where an ImageFolder's images lie",
                cure="Write metadata.jsonl into the images' folder.",
                subject=result.source,
                code="outside_folder",
                scope="item",
            )
        plain = plain_text(result.caption or "", result.data, self._form)
        name = place.relative_to(self._folder).as_posix()
        row = {"file_name": name, "text": plain.text}
        texts = part_texts(result.data, self._form)
        row |= {part: texts[part].text if part in texts else "" for part, _ in self._form.parts}
        self._file.add(dump(row) + b"\n")
        self.tidied.update(note.kind for note in plain.notes)

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.finish()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.discard()


CHOSEN = ("edited", "accepted")
"""The kinds of note by which a person has said that an item's text is the one to have."""


class PairsSink:
    """A JSON line for each text that a person preferred to another one about the same image: ``prompt``,
    ``chosen`` and ``rejected`` as trainers by preference (DPO and its kin) take them, and the path in
    ``images``. Chosen is a text that was written, chosen or accepted in a review; rejected are the other
    answers that the item ever got. Items that nobody has looked at, or that have one text only, make no pair.

    Args:
        path: the file to make or replace at ``close``.
        answers: from a result's ``source`` to the texts of every answer that it ever got.
        prompt: gives what was asked.
        locate: from a source to its image; None: the source is a path.
    """

    keeps_previous = False

    def __init__(
        self,
        path: str | Path,
        *,
        answers: Callable[[str], Iterable[str]],
        prompt: Callable[[], str] = str,
        locate: Locate | None = None,
    ) -> None:
        self.path = Path(path)
        self._answers = answers
        self._prompt = prompt
        self._locate: Locate = locate or Path
        self._file = ReplacingFile(self.path)

    def write(self, result: ItemResult) -> None:
        chosen = result.caption
        is_chosen = any(note.kind in CHOSEN for note in result.notes)
        if chosen is None or not is_chosen or any(note.kind == "rejected" for note in result.notes):
            return
        image = self._locate(result.source)
        pair = {
            "images": [result.source if image is None else str(image.absolute())],
            "prompt": self._prompt(),
            "chosen": chosen,
        }
        for rejected in dict.fromkeys(self._answers(result.source)):
            if rejected != chosen:
                self._file.add(dump({**pair, "rejected": rejected}) + b"\n")

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        if not self._file.closed:
            self._file.finish()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.discard()
