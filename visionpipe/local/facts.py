"""What the embedded engine found in one image, as frozen values.

A fact that was not looked for is None and says so in ``notes``; it is never an empty guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from visionpipe.values import JSON

Shape = Literal["landscape", "portrait", "square"]
Exposure = Literal["dark", "normal", "bright"]

BLURRED_BELOW = 0.3
"""Sharpness: 15 sharp photos had 0.51 to 0.86; blurred by a Gaussian of 3 pixels, 13 had 0.13 to 0.29, and
two full of fine detail 0.35, so those pass for sharp."""


@dataclass(frozen=True, slots=True)
class Guess:
    """One of the 1000 ImageNet classes: its index, its label, and its probability (0 to 1)."""

    index: int
    label: str
    probability: float

    def to_json(self) -> dict[str, JSON]:
        return {"index": self.index, "label": self.label, "probability": round(self.probability, 4)}


@dataclass(frozen=True, slots=True)
class Subject:
    """What the image shows as a whole.

    ``label`` is the likeliest ImageNet class and ``index`` its number; ``family`` is the word that covers it
    and its kin ("cat"), None where the class stands alone. ``probability`` is the family's sum, or the
    class's own.
    """

    index: int
    label: str
    family: str | None
    probability: float

    def to_json(self) -> dict[str, JSON]:
        return {"label": self.label, "family": self.family, "probability": round(self.probability, 4)}


@dataclass(frozen=True, slots=True)
class Box:
    """Where an object lies, as fractions (0 to 1) of the upright image's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Share of the image, 0 to 1."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def overlap(self, other: Box) -> float:
        """The common area's share of both together, 0 to 1."""
        common = Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        ).area
        both = self.area + other.area - common
        return common / both if both else 0.0

    def to_json(self) -> list[JSON]:
        return [round(side, 4) for side in (self.left, self.top, self.right, self.bottom)]


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found: its COCO label, the detector's score (0 to 1), and its box."""

    label: str
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class Objects:
    """All accepted detections of one COCO label; ``score`` is the best one's."""

    label: str
    score: float
    boxes: tuple[Box, ...]

    @property
    def count(self) -> int:
        return len(self.boxes)

    def to_json(self) -> dict[str, JSON]:
        return {
            "label": self.label,
            "count": self.count,
            "score": round(self.score, 4),
            "boxes": [box.to_json() for box in self.boxes],
        }


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour's plain name and the share (0 to 1) of the pixels that bear it."""

    name: str
    share: float

    def to_json(self) -> dict[str, JSON]:
        return {"name": self.name, "share": round(self.share, 3)}


@dataclass(frozen=True, slots=True)
class Look:
    """What can be measured without knowing what is shown.

    Attributes:
        colours: most frequent first; each covers at least a twentieth of the image.
        grey: no pixel bears a noticeable hue.
        bilevel: nearly every pixel is close to black or white: print, a drawing, a silhouette.
        sharpness: 0 (blurred) to 1 (sharp) at the analysed size; None where nothing has an edge.
        brightness: mean luma, 0 to 255.
        exposure: dark, normal or bright.
    """

    colours: tuple[Colour, ...]
    grey: bool
    bilevel: bool
    sharpness: float | None
    brightness: float
    exposure: Exposure

    @property
    def blurred(self) -> bool:
        return self.sharpness is not None and self.sharpness < BLURRED_BELOW

    def to_json(self) -> dict[str, JSON]:
        return {
            "colours": [colour.to_json() for colour in self.colours],
            "grey": self.grey,
            "bilevel": self.bilevel,
            "sharpness": None if self.sharpness is None else round(self.sharpness, 3),
            "blurred": self.blurred,
            "brightness": round(self.brightness, 1),
            "exposure": self.exposure,
        }


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text as read, with the reader's confidence (0 to 1)."""

    text: str
    confidence: float

    def to_json(self) -> dict[str, JSON]:
        return {"text": self.text, "confidence": round(self.confidence, 4)}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the embedded engine knows of one image.

    Attributes:
        sha256: of the encoded bytes, hex.
        format: as the bytes tell it: jpeg, png, webp, ...
        width, height: pixels, upright.
        subject: None where the networks are not sure.
        guesses: the likeliest classes, sure or not, best first.
        objects: what the detector is sure of, largest first.
        look: colours, sharpness and exposure.
        text: the lines of text in reading order; None where no text was looked for.
        notes: what was not looked for, and why.
    """

    sha256: str
    format: str
    width: int
    height: int
    subject: Subject | None
    guesses: tuple[Guess, ...]
    objects: tuple[Objects, ...]
    look: Look
    text: tuple[TextLine, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        if self.width == self.height:
            return "square"
        return "landscape" if self.width > self.height else "portrait"

    def to_json(self) -> dict[str, JSON]:
        return {
            "sha256": self.sha256,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "shape": self.shape,
            "subject": self.subject.to_json() if self.subject else None,
            "guesses": [guess.to_json() for guess in self.guesses],
            "objects": [group.to_json() for group in self.objects],
            **self.look.to_json(),
            "text": None if self.text is None else [line.to_json() for line in self.text],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """What the engine says of some images, and the facts behind it, one for each image."""

    text: str
    facts: tuple[Facts, ...]
