"""A small labelled set of clips for scene detection, made from the sample photos.

Shots move as films do (still, slow pan, zoom, handheld) and carry noise. Eleven clips have one cut of each of
five kinds (hard, dissolve, fade through black, wipe, iris); nine have none, and hold what is taken for one:
quick and slow pans, a zoom, strong handheld shake, flashes, a lamp that goes on, something large that passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Shot = Callable[[int], Picture]

RATE = 25
SIZE = (320, 180)
SAMPLES = Path(__file__).parents[1] / "samples"
PHOTOS = (
    "chelsea.png",
    "china.jpg",
    "flower.jpg",
    "astronaut.png",
    "coffee.png",
    "rocket.jpg",
    "grace_hopper.jpg",
)
KINDS = ("hard", "dissolve", "fade", "wipe", "iris")
SHOT_PICTURES = 50


@dataclass(frozen=True)
class Cut:
    """A true cut: the pictures [first, last] in which it happens; a hard one has one."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True)
class Labelled:
    """A clip and its cuts, in order."""

    name: str
    path: Path
    cuts: tuple[Cut, ...]


def make_set(folder: Path, numbers: Sequence[int] = range(11)) -> Iterator[Labelled]:
    """Encodes the set into ``folder``: clips of five cuts each, whose photos, motions and lengths their
    ``numbers`` decide, then those without."""
    for number in numbers:
        pictures, cuts = _with_cuts(number)
        yield Labelled(f"cuts {number}", write(folder / f"cuts{number}.mp4", pictures), tuple(cuts))
    for name, pictures in _without_cuts():
        yield Labelled(name, write(folder / f"{name.replace(' ', '_')}.mp4", pictures), ())


def write(path: Path, pictures: list[Picture]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def photo(number: int) -> Picture:
    """One of the samples, at least twice as large as a picture on both sides."""
    read = cv2.imread(str(SAMPLES / PHOTOS[number % len(PHOTOS)]))
    assert read is not None
    if number // len(PHOTOS) % 2:
        read = read[:, ::-1]
    scale = max(2 * SIZE[0] / read.shape[1], 2 * SIZE[1] / read.shape[0])
    large = cv2.resize(
        read, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    return np.ascontiguousarray(large[:, :, ::-1])


def seen(image: Picture, x: float, y: float, zoom: float = 1.0) -> Picture:
    """A window of the photo with its middle at (x, y), each 0 to 1; ``zoom`` 1 shows half of its width."""
    width, height = SIZE[0] / zoom, SIZE[1] / zoom
    middle_x = width / 2 + x * (image.shape[1] - width)
    middle_y = height / 2 + y * (image.shape[0] - height)
    affine = np.asarray(
        [[zoom, 0, SIZE[0] / 2 - zoom * middle_x], [0, zoom, SIZE[1] / 2 - zoom * middle_y]], np.float64
    )
    return np.asarray(cv2.warpAffine(image, affine, SIZE, borderMode=cv2.BORDER_REFLECT), np.uint8)


def shot(number: int, motion: str, seed: int) -> Shot:
    """A shot of a photo: picture by its number."""
    image = photo(number)
    chance = np.random.default_rng(seed)
    shake = np.cumsum(chance.normal(0, 1, (400, 2)), axis=0)
    shake = (shake - cv2.blur(shake, (1, 15))) * 0.006

    def at(i: int) -> Picture:
        t = i / RATE
        x, y, zoom = 0.5, 0.5, 1.0
        if motion == "pan":
            x = 0.3 + 0.10 * t
        elif motion == "zoom":
            zoom = 0.8 + 0.08 * t
        elif motion == "handheld":
            x, y = 0.5 + shake[i % 400, 0], 0.5 + shake[i % 400, 1]
        noise = np.random.default_rng(seed * 1000 + i).normal(0, 3, (SIZE[1], SIZE[0], 1))
        return np.clip(seen(image, x, y, zoom) + noise, 0, 255).astype(np.uint8)

    return at


def _joined(kind: str, before: Picture, after: Picture, share: float) -> Picture:
    """Between two shots, ``share`` (0 to 1) on the way."""
    a, b = before.astype(np.float32), after.astype(np.float32)
    if kind == "dissolve":
        return (a * (1 - share) + b * share).astype(np.uint8)
    if kind == "fade":
        return (a * (1 - 2 * share) if share < 0.5 else b * (2 * share - 1)).clip(0, 255).astype(np.uint8)
    if kind == "wipe":
        edge = round(share * SIZE[0])
        return np.concatenate([after[:, :edge], before[:, edge:]], axis=1)
    radius = share * np.hypot(*SIZE) / 2
    y, x = np.ogrid[: SIZE[1], : SIZE[0]]
    inside = (x - SIZE[0] / 2) ** 2 + (y - SIZE[1] / 2) ** 2 < radius**2
    return np.where(inside[..., None], after, before)


def _with_cuts(number: int) -> tuple[list[Picture], list[Cut]]:
    motions = ("still", "pan", "handheld", "zoom")
    chance = np.random.default_rng(number)
    order = [KINDS[(k + number) % len(KINDS)] for k in range(len(KINDS))]
    shots = [shot(number + 2 * k, motions[(number + k) % 4], 10 * number + k) for k in range(len(order) + 1)]
    pictures: list[Picture] = []
    cuts: list[Cut] = []
    begun = 0
    for k, kind in enumerate(order):
        pictures += [shots[k](i) for i in range(begun, SHOT_PICTURES)]
        length = 0 if kind == "hard" else int(chance.integers(10, 26))
        for i in range(length):
            share = (i + 1) / (length + 1)
            pictures.append(_joined(kind, shots[k](SHOT_PICTURES + i), shots[k + 1](i), share))
        cuts.append(Cut(kind, len(pictures) - length, len(pictures)))
        begun = length
    pictures += [shots[-1](i) for i in range(begun, SHOT_PICTURES)]
    return pictures, cuts


def _without_cuts() -> Iterator[tuple[str, list[Picture]]]:
    def noisy(picture: Picture, i: int) -> Picture:
        noise = np.random.default_rng(i).normal(0, 3, picture.shape[:2])[..., None]
        return np.clip(picture + noise, 0, 255).astype(np.uint8)

    span = range(100)
    for speed, number in ((0.12, 1), (0.35, 3), (1.2, 4)):
        image = photo(number)
        # There and back, as often as it takes.
        places = [abs((0.5 * speed * i / RATE * 2) % 2 - 1) for i in span]
        yield f"pan {speed}", [noisy(seen(image, x, 0.4), i) for i, x in enumerate(places)]
    image = photo(1)
    whip = [min(1.0, max(0.0, (i - 45) / 10)) for i in span]
    yield "whip pan", [noisy(seen(image, x, 0.5), i) for i, x in enumerate(whip)]
    image = photo(5)
    yield "zoom", [noisy(seen(image, 0.5, 0.5, 0.6 + 0.012 * i), i) for i in span]
    image = photo(3)
    shake = np.cumsum(np.random.default_rng(7).normal(0, 1, (100, 2)), axis=0) * 0.02
    yield "handheld", [noisy(seen(image, 0.5 + shake[i, 0], 0.5 + shake[i, 1]), i) for i in span]
    still = seen(photo(6), 0.5, 0.3)
    light = {20: 1.9, 21: 1.6, 50: 2.2, 51: 1.8, 52: 1.3, 80: 2.5}
    yield "flashes", [noisy(np.clip(still * light.get(i, 1.0), 0, 255).astype(np.uint8), i) for i in span]
    dim = seen(photo(0), 0.5, 0.5)
    lamp = [0.35 + 0.65 * min(1.0, max(0.0, (i - 40) / 15)) for i in span]
    yield "lamp", [noisy((dim * factor).astype(np.uint8), i) for i, factor in enumerate(lamp)]
    street, bus = seen(photo(1), 0.5, 0.5), cv2.resize(seen(photo(4), 0.5, 0.5), (200, 120))
    passing = []
    for i in span:
        picture = street.copy()
        left = round((i - 30) * 13) - 200
        a, b = max(0, left), min(SIZE[0], left + 200)
        if a < b:
            picture[40:160, a:b] = bus[:, a - left : b - left]
        passing.append(noisy(picture, i))
    yield "passing", passing
