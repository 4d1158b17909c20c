"""An HTML gallery in one file: thumbnails, captions, notes, filters and search, without a server.

What a file name or a model says never becomes markup (it lies in a JSON block with ``<`` escaped
and is shown as text, and a content security policy allows nothing but the page's own script, by its hash).
Memory holds one item, whatever the count, and the file takes its target's place when it is whole.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TypeAlias
from urllib.parse import quote

from visionpipe.files import ReplacingFile
from visionpipe.images.thumbnail import thumbnail
from visionpipe.results import ItemResult
from visionpipe.sinks.sink import Locate, dump, encodable
from visionpipe.stages.plain_text import TextForm, part_texts
from visionpipe.values import JSON

Thumbnailer: TypeAlias = Callable[[Path, int], bytes | None]
"""From an image file and a side in pixels to a WebP no larger than that; None where there is no picture."""


class HtmlSink:
    """Writes the gallery.

    Args:
        path: the file to make or replace at ``close``.
        locate: from a source to its image; None: the source is a path. Without a file: no thumbnail.
        title: the page's heading.
        thumbnail_pixels: longest side of a thumbnail; 256 take about 8 KB an item.
        thumbnailer: how a thumbnail is made.
        form: of the texts, by which an answer to several presets is shown with a line for each.
    """

    keeps_previous = False

    def __init__(
        self,
        path: str | Path,
        *,
        locate: Locate | None = None,
        title: str = "Captions",
        thumbnail_pixels: int = 256,
        thumbnailer: Thumbnailer | None = None,
        form: TextForm | None = None,
    ) -> None:
        self.path = Path(path)
        self._locate: Locate = locate or Path
        self._pixels = thumbnail_pixels
        self._thumbnailer = thumbnailer or thumbnail
        self._form = form or TextForm()
        self._file = ReplacingFile(self.path)
        style, self._script = page_file("look.css") + page_file("gallery.css"), page_file("gallery.js")
        head = Template(page_file("gallery.html")).substitute(
            title=html.escape(encodable(title)),
            style=style,
            style_hash=_hash(style),
            script_hash=_hash(self._script),
        )
        self._file.add(head.encode())
        self._ended = False

    def write(self, result: ItemResult) -> None:
        image = self._locate(result.source)
        picture = self._thumbnailer(image, self._pixels) if image is not None and image.is_file() else None
        item = _item(result, self._form)
        if image is not None and image.is_file():
            item["link"] = quote(os.fsencode(Path(os.path.relpath(image, self.path.parent)).as_posix()))
        if picture:
            item["thumbnail"] = f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
        self._file.add(dump(item).replace(b"<", b"\\u003c") + b"\n")

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        if self._file.closed:
            return
        if not self._ended:
            self._file.add(f"</script>\n<script>{self._script}</script>\n</body>\n</html>\n".encode())
            self._ended = True
        self._file.finish()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.discard()


def _item(result: ItemResult, form: TextForm) -> dict[str, JSON]:
    item: dict[str, JSON] = {
        "path": encodable(result.source),
        "outcome": result.outcome.value,
        "notes": [[note.kind, note.detail] for note in result.notes],
        "local": result.local,
    }
    texts = part_texts(result.data, form)
    caption = "\n".join(f"{name}: {text.text}" for name, text in texts.items()) or result.caption
    if result.data is not None and not caption:
        caption = dump(result.data).decode()
    reason = result.failure.reason if result.failure else result.reason
    optional = {
        "caption": caption,
        "reason": reason,
        "cure": result.failure.cure if result.failure else None,
        "model": result.model,
        "duplicate_of": result.duplicate_of,
    }
    item.update({name: encodable(value) for name, value in optional.items() if value})
    return item


def page_file(name: str) -> str:
    """The text of one of the files that pages are made of; ``look.css`` is the look they share."""
    return files("visionpipe.sinks").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
