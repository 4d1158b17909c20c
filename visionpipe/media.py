"""What a message is made of: text, images, videos, links to them. Frozen values; nothing here does I/O.

A part knows everything a limit can be checked against (bytes, pixels, format, orientation), so
that checking and planning never open a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeAlias

from visionpipe.values import Adjustment, Timecode


@dataclass(frozen=True, slots=True)
class MemoryContent:
    """Encoded bytes held in memory."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class FileContent:
    """Encoded bytes that stay on disk until they are sent.

    ``size`` (bytes) and ``modified_ns`` are as found when the file was probed, so that the sender can
    tell that it has changed since.
    """

    path: str
    size: int
    modified_ns: int


Content: TypeAlias = MemoryContent | FileContent


@dataclass(frozen=True, slots=True)
class Text:
    """A text part; never empty on the wire (the service answers 1214 to empty text)."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """One still image whose bytes are at hand.

    ``width`` and ``height`` are pixels as stored, before ``orientation`` (EXIF, 1 to 8; 1 is upright) is
    applied. ``format`` is the content's own, told from its bytes: jpeg, png, webp, gif, bmp, tiff, avif,
    heic. ``colour`` is rgb, grey, palette, cmyk or other; ``bits`` are per channel. ``alpha`` says that
    the format carries transparency, not that any pixel is transparent. ``wide_gamut`` says that its header
    names colours beyond Display P3's, which look pale where they are taken for sRGB. ``fetched_sha256`` is
    that of the bytes that a link led to, in hexadecimal.
    """

    name: str
    content: Content
    format: str
    width: int
    height: int
    orientation: int = 1
    colour: str = "rgb"
    bits: int = 8
    alpha: bool = False
    frames: int = 1
    adjustments: tuple[Adjustment, ...] = ()
    wide_gamut: bool = False
    fetched_sha256: str | None = None

    @property
    def size(self) -> int:
        """Encoded size in bytes."""
        return self.content.size

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in pixels as a viewer shows it."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class LinkedImage:
    """An image the service fetches itself."""

    url: str

    @property
    def name(self) -> str:
        return self.url


Timing: TypeAlias = Literal["stamped", "ordered", "joined", "counted"]
"""How a container keeps its pictures' times: each with its own; in the order of decoding, to be given out in
the order of display (AVI with reordered pictures); with steps back or jumps, told on end to end (recordings
joined); or not at all, counted at the stated rate (a raw stream)."""


OverLimit: TypeAlias = Literal["refuse", "split", "transcode", "frames"]
"""What is done with a clip that the model does not take as it is: an error with the cures; parts cut at key
frames; a smaller re-encoding; or its frames instead of itself."""


@dataclass(frozen=True, slots=True)
class Video:
    """One clip whose bytes are at hand. ``width`` and ``height`` are pixels as shown (rotation applied);
    ``container`` is mp4, mkv, mov, webm, avi or another demuxer's short name.

    ``rotation`` is the degrees counter-clockwise (0, 90, 180, 270) by which a viewer turns the stored
    picture, which is flipped left to right before where it is ``mirrored``. ``start_pts`` is the first
    picture's moment in ticks of ``time_base``; all times that the library gives count from it.
    ``duration_s`` is how long the pictures last, whatever the header says; ``frame_count`` and
    ``frame_rate`` are what is there. ``track`` is the picture track's place among the container's, from 0;
    None: the one that a player shows. ``timing`` says how the pictures' times are kept; where they are
    "counted" or "joined" they hold from the beginning on only. ``offset`` is where a part begins in the clip
    that it was cut from.
    """

    name: str
    content: Content
    container: str
    width: int
    height: int
    duration_s: float
    frame_rate: float
    frame_count: int
    codec: str = ""
    rotation: int = 0
    variable_rate: bool = False
    audio: bool = False
    adjustments: tuple[Adjustment, ...] = ()
    time_base: Fraction = Fraction(1, 1000)
    start_pts: int = 0
    mirrored: bool = False
    track: int | None = None
    timing: Timing = "stamped"
    offset: Timecode = field(default_factory=lambda: Timecode(0, Fraction(1, 1000)))

    @property
    def size(self) -> int:
        """Encoded size in bytes."""
        return self.content.size

    @property
    def duration(self) -> Timecode:
        """The duration in ticks of the clip's own time base."""
        return Timecode(round(Fraction(self.duration_s) / self.time_base), self.time_base)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a clip. ``time`` counts from the clip's first picture and is exact; ``image`` is
    upright; ``key`` says that the container marks it as a key frame."""

    time: Timecode
    image: Image
    key: bool = False


@dataclass(frozen=True, slots=True)
class LinkedVideo:
    """A video the service fetches itself; ``size`` in bytes where the server told it."""

    url: str
    size: int | None = None

    @property
    def name(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A document (pdf, docx, ...) the service fetches itself."""

    url: str

    @property
    def name(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Repair:
    """What to do to an image so that its model takes it; decided without I/O, carried out in images/.

    ``width`` and ``height`` are the upright target in pixels; equal to the image's upright size where only
    the encoding changes. ``format`` is what to encode as, ``max_bytes`` the encoded size not to pass
    (quality, then size, give way), ``background`` what transparency is flattened on (RGB, 0 to 255),
    ``reasons`` one word a cause: orientation, bytes, side, format, colour, bits, alpha, gamut, frames.
    """

    format: str
    width: int
    height: int
    max_bytes: int | None = None
    background: tuple[int, int, int] = (255, 255, 255)
    reasons: tuple[str, ...] = ()


Media: TypeAlias = Image | LinkedImage | Video | LinkedVideo | LinkedFile
Part: TypeAlias = Text | Media
