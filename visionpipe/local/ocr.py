"""Lines of text, read by rapidocr where the extra ``ocr`` is installed.

It reads with the models that lie in the installed package and never fetches any; where that is not
possible it says so in one clause, and the analysis goes on without text. Text upside down is not read.
(Older versions than the extra asks for fetch a font or a model at the first image.)
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visionpipe.errors import install_command
from visionpipe.local.facts import TextLine
from visionpipe.local.networks import Pixels

LONGEST_SIDE = 960
LEAST_CONFIDENCE = 0.85
"""Below, patterns on roofs and medals pass for letters."""

FEWEST_CHARACTERS = 3
FEWEST_HAN = 2

TASKS = ("det", "cls", "rec")
SETTINGS: dict[str, Any] = {
    "Global.log_level": "critical",
    "Global.use_cls": False,
    "Det.limit_type": "max",
    "Det.limit_side_len": LONGEST_SIDE,
}

Importer = Callable[[str], Any]


class TextReader:
    """Reads text, for any number of threads, one at a time: the runtime uses all cores by itself.

    Args:
        importer: how the extra's packages are imported.
    """

    def __init__(self, importer: Importer = importlib.import_module) -> None:
        self._importer = importer
        self._lock = threading.Lock()
        self._reader: Any = None
        self._hindrance: str | None = None

    def read(self, pixels: Pixels) -> tuple[tuple[TextLine, ...] | None, str | None]:
        """The lines in ``pixels`` (height x width x 3, BGR) in reading order, or None and why not."""
        with self._lock:
            if self._reader is None and self._hindrance is None:
                self._open()
            if self._hindrance is not None:
                return None, self._hindrance
            try:
                found = self._reader(pixels)
            except Exception as error:  # whatever the runtime raises costs the text, not the image
                return None, f"text was not read: rapidocr failed ({error})"
        pairs = zip(found.txts or (), found.scores or (), strict=True)
        lines = (TextLine(" ".join(text.split()), float(score)) for text, score in pairs)
        return tuple(line for line in lines if _believable(line)), None

    def _open(self) -> None:
        # The runtime reports home and stores a device id unless told not to before it is imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        try:
            self._importer("onnxruntime")
            package = self._importer("rapidocr")
        except ImportError as error:
            self._hindrance = f"text was not read: {error.name or error} is missing; {install_command('ocr')}"
            return
        models = {task: _model(Path(package.__file__).parent / "models", task) for task in TASKS}
        if None in models.values():
            self._hindrance = (
                "text was not read: this rapidocr comes without its models; install another version"
            )
            return
        paths = {f"{task.title()}.model_path": path for task, path in models.items()}
        try:
            self._reader = package.RapidOCR(params=SETTINGS | paths)
        except Exception as error:  # as above, and it would fail for every image
            self._hindrance = f"text was not read: rapidocr does not start ({error})"


def _model(folder: Path, task: str) -> str | None:
    return next((str(path) for path in sorted(folder.glob(f"*_{task}_*.onnx"))), None)


def _believable(line: TextLine) -> bool:
    characters = sum(character.isalnum() for character in line.text)
    han = sum("\u4e00" <= character <= "\u9fff" for character in line.text)
    return line.confidence >= LEAST_CONFIDENCE and (characters >= FEWEST_CHARACTERS or han >= FEWEST_HAN)
