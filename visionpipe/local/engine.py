"""The embedded engine: encoded images in, facts and a plain sentence out.

Thread-safe, constant in memory, and the same bytes give the same facts in every thread. Colours, sharpness
and exposure are measured at one fixed size, so that a figure means the same for a thumbnail and a 12 MP
photo.

Measured with OpenCV 5.0 and no reader: 110 to 136 ms of CPU time an image, most of it the detector. 190 MB
resident with one thread, 290 with two, flat over 200 images.

Lines of text are read by rapidocr where the extra ``ocr`` is installed. It reads with the models that lie in
the installed package and never fetches any; where that is not possible it says so in one clause, and the
analysis goes on without text. Text upside down is not read. (Older versions than the extra asks for fetch a
font or a model at the first image.)
"""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from visionpipe.errors import BadImageError, install_command
from visionpipe.images.decode import upright
from visionpipe.images.load import image_from_bytes
from visionpipe.local.decide import objects_of, subject_of
from visionpipe.local.facts import Colour, Exposure, Facts, LocalAnswer, Look, TextLine
from visionpipe.local.networks import NetworkPool, Pixels, calls, classify, detect
from visionpipe.local.sentence import sentence
from visionpipe.media import Image
from visionpipe.prompts.presets import Language

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


ANALYSED_SIDE = 960
GUESSES = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """``pixels`` are upright, BGR, their longer side at most what was asked; ``width`` and ``height`` are the
    image's own, upright; ``format`` is what the bytes are; ``notes`` say what of the file means nothing."""

    pixels: Pixels
    width: int
    height: int
    format: str
    notes: tuple[str, ...] = ()


def to_analyse(image: Image, longest: int) -> Picture:
    """What a viewer sees of ``image``, the longer side at most ``longest`` pixels.

    Raises:
        BadImageError: it is truncated or corrupt.
    """
    width, height = image.upright_size
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shown, _ = upright(image, at_least=size)
    pixels = np.ascontiguousarray(np.asarray(shown.convert("RGB"))[:, :, ::-1])
    if shown.size != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    notes = tuple(change.detail for change in image.adjustments if change.kind == "orientation")
    return Picture(pixels, width, height, image.format, notes)


class LocalEngine:
    """Analyses images on this machine, from any number of threads.

    Args:
        pool_size: most pairs of networks alive at once; None takes one a core, at most 4.
        opencv_threads: threads OpenCV may use inside one call, set for the whole process; None leaves
            OpenCV's own setting alone.
        reader: what reads text; None reads none. By default text is read where the extra ``ocr`` is
            installed. Looking for it costs about as much again as the rest, a full page several times that.
    """

    def __init__(
        self,
        *,
        pool_size: int | None = None,
        opencv_threads: int | None = None,
        reader: TextReader | Literal["installed"] | None = "installed",
    ) -> None:
        self._pool = NetworkPool(pool_size, opencv_threads=opencv_threads)
        self._reader = TextReader() if reader == "installed" else reader

    def analyse(self, data: bytes) -> Facts:
        """The facts of one encoded image (JPEG, PNG, WebP, ...).

        Raises:
            BadImageError: the bytes are no usable image.
        """
        with calls.under_way():
            return self._analyse(data)

    def _analyse(self, data: bytes) -> Facts:
        picture = to_analyse(image_from_bytes(data, "image"), ANALYSED_SIDE)
        look = measure(picture.pixels)
        with self._pool.borrow() as networks:
            classes = classify(networks.classifier, picture.pixels)
            detections = detect(networks.detector, picture.pixels)
        subject = subject_of(classes, look, detections)
        text, hindrance = self._reader.read(picture.pixels) if self._reader else (None, None)
        return Facts(
            sha256=hashlib.sha256(data).hexdigest(),
            format=picture.format,
            width=picture.width,
            height=picture.height,
            subject=subject,
            guesses=classes.top(GUESSES),
            objects=objects_of(detections, subject, classes),
            look=look,
            text=text,
            notes=(*picture.notes, hindrance) if hindrance else picture.notes,
        )

    def describe(self, images: Sequence[bytes], *, lang: Language = "en") -> LocalAnswer:
        """One sentence for one image, or one numbered sentence a line for several.

        Raises:
            BadImageError: one of the images is not usable; ``subject`` says which.
        """
        facts = tuple(self._numbered(i, data) for i, data in enumerate(images, 1))
        return LocalAnswer(answer_text(facts, lang), facts)

    def _numbered(self, number: int, data: bytes) -> Facts:
        try:
            return self.analyse(data)
        except BadImageError as error:
            raise BadImageError(
                error.reason, cure=error.cure, subject=f"image {number}", code=error.code
            ) from error


def answer_text(facts: Sequence[Facts], lang: Language) -> str:
    """The sentences for ``facts``, numbered where there are several."""
    if len(facts) == 1:
        return sentence(facts[0], lang)
    number = "图{}：{}" if lang == "zh" else "Image {}: {}"
    return "\n".join(number.format(i, sentence(one, lang)) for i, one in enumerate(facts, 1))


COLOUR_SIDE = 96
EDGE_SIDE = 512
SMALLEST_SHARE = 0.05
DARK_BELOW = 55.0
BRIGHT_ABOVE = 200.0
FAINTEST_EDGE = 2.0  # levels a pixel; below, noise would be measured

NAMES = (
    "black", "grey", "white", "red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink",
    "brown", "beige",
)  # fmt: skip
_AT = {name: index for index, name in enumerate(NAMES)}

# Upper bound of each hue on OpenCV's circle of 180.
_HUES = ((8, "red"), (21, "orange"), (33, "yellow"), (80, "green"), (98, "turquoise"), (128, "blue"),
         (150, "purple"), (170, "pink"), (181, "red"))  # fmt: skip


def measure(pixels: Pixels) -> Look:
    """Measure ``pixels`` (height x width x 3, BGR, 0 to 255)."""
    small = _within(pixels, COLOUR_SIDE)
    luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    spread = small.max(axis=2).astype(np.int16) - small.min(axis=2)
    brightness = float(luma.mean())
    return Look(
        colours=_colours(small),
        grey=bool((spread <= 12).mean() >= 0.995),
        bilevel=_bilevel(luma),
        sharpness=_sharpness(pixels),
        brightness=brightness,
        exposure=_exposure(brightness),
    )


def _bilevel(luma: NDArray[np.float32]) -> bool:
    ink, paper = float((luma < 40).mean()), float((luma > 215).mean())
    return ink + paper >= 0.9 and min(ink, paper) >= 0.02


def _within(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _exposure(brightness: float) -> Exposure:
    if brightness < DARK_BELOW:
        return "dark"
    return "bright" if brightness > BRIGHT_ABOVE else "normal"


def _colours(small: Pixels) -> tuple[Colour, ...]:
    hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
    counts = np.bincount(_named(hsv).ravel(), minlength=len(NAMES)) / (hsv.shape[0] * hsv.shape[1])
    order = np.argsort(-counts, kind="stable")
    return tuple(Colour(NAMES[int(i)], float(counts[i])) for i in order if counts[i] >= SMALLEST_SHARE)


def _named(hsv: NDArray[np.generic]) -> NDArray[np.intp]:
    hue, saturation, value = (hsv[:, :, channel].astype(np.int16) for channel in range(3))
    found = np.full(hue.shape, _AT["red"], np.intp)
    below = -1
    for bound, name in _HUES:
        found[(hue > below) & (hue <= bound)] = _AT[name]
        below = bound
    chroma = saturation * (value / 255.0)
    warm = (hue <= 25) | (hue >= 172)
    found[warm & (value < 170) & (hue >= 4) & (hue <= 25)] = _AT["brown"]
    found[(hue >= 8) & (hue <= 30) & (chroma < 75) & (value >= 170)] = _AT["beige"]
    found[(hue > 170) & (chroma < 110) & (value >= 170)] = _AT["pink"]
    found[(hue < 8) & (chroma < 110) & (value >= 190)] = _AT["pink"]
    dull = chroma < 28
    found[dull & (value >= 200)] = _AT["white"]
    found[dull & (value < 200)] = _AT["grey"]
    found[value < 50] = _AT["black"]
    return found


def _sharpness(pixels: Pixels) -> float | None:
    """How much of the steepest edges a further blur takes away, in the direction that loses least.

    After Crete and others (2007), but on the steepest hundredth only and with noise smoothed out first:
    over the whole image, grain passes for detail and a blurred photo for a sharp one.
    """
    grey = cv2.cvtColor(_within(pixels, EDGE_SIDE), cv2.COLOR_BGR2GRAY).astype(np.float32)
    calm = cv2.GaussianBlur(grey, (0, 0), 1.0)
    kept: list[float] = []
    for axis, kernel in ((1, (9, 1)), (0, (1, 9))):
        if calm.shape[axis] < 2 * max(kernel):
            continue
        before = np.abs(np.diff(calm, axis=axis))
        steep = before >= np.quantile(before, 0.99)
        if before[steep].mean() < FAINTEST_EDGE:
            continue
        after = np.abs(np.diff(cv2.blur(calm, kernel), axis=axis))
        kept.append(float(np.maximum(0.0, before - after)[steep].sum() / before[steep].sum()))
    return min(kept, default=None)
