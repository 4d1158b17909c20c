"""What preparing an image costs, as two ratios of CPU time measured in one run.

1. An image that fits its model: load_image and the base64 of its bytes, against reading the same files and
   pybase64 alone. The photos of samples/ and generated ones of about 0.8 MB.
2. A photo of 12 megapixels that does not: apply_repair from 4032x3024 to 2016x1512, against Pillow's full
   decode, LANCZOS resize and JPEG encode at the same size and quality; and how alike the two results are
   (SSIM, Gaussian window of 11 pixels, on luma).

Takes no arguments: python benchmarks/preparation.py
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pybase64
from numpy.typing import NDArray
from PIL import Image as pillow

from visionpipe.files import read_content
from visionpipe.images.encode import apply_repair
from visionpipe.images.load import load_image
from visionpipe.media import Image, Repair

SAMPLES = Path(__file__).parent.parent / "samples"
FULL, HALF = (4032, 3024), (2016, 1512)
QUALITY = 90


def photo(seed: int, size: tuple[int, int], grain: float) -> pillow.Image:
    """A sample photo enlarged to ``size`` with film grain, so that it has detail at every scale."""
    names = ("china.jpg", "flower.jpg", "rocket.jpg")
    with pillow.open(SAMPLES / names[seed % len(names)]) as sample:
        large = sample.convert("RGB").resize(size, pillow.Resampling.LANCZOS)
    noise = np.random.default_rng(seed).normal(0, grain, (size[1], size[0], 1))
    return pillow.fromarray((np.asarray(large) + noise).clip(0, 255).astype(np.uint8))


def jpeg(picture: pillow.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def best(work: Callable[[], object], rounds: int) -> float:
    """The least CPU time of ``work`` in milliseconds."""
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time_ns()
        work()
        least = min(least, time.process_time_ns() - start)
    return least / 1e6


def ssim(one: NDArray[Any], two: NDArray[Any]) -> float:
    """The mean structural similarity of two 8-bit grey images (Wang et al., 2004)."""

    def blur(values: NDArray[Any]) -> NDArray[Any]:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    a, b = one.astype(np.float64), two.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def luma(data: bytes) -> NDArray[Any]:
    return np.asarray(pillow.open(io.BytesIO(data)).convert("L"))


def fitting_as_it_lies(files: list[Path], label: str) -> None:
    paths = [str(path) for path in files]

    def bare() -> None:
        for path in paths:
            with open(path, "rb") as file:  # noqa: PTH123  the least that can be done
                pybase64.b64encode(file.read())

    def prepared() -> None:
        for path in paths:
            image = load_image(path)
            assert isinstance(image, Image)
            pybase64.b64encode(read_content(image.content))

    floor, ours = (best(work, 40) / len(paths) for work in (bare, prepared))
    mean = sum(path.stat().st_size for path in files) / len(files) / 1e6
    print(
        f"an image that fits, {label} ({len(files)} files, {mean:.2f} MB mean): "
        f"{ours * 1000:.0f} us against {floor * 1000:.0f} us = {ours / floor:.2f}x (at most 2x)"
    )


def shrinking(seed: int) -> None:
    data = jpeg(photo(seed, FULL, 3), 92)
    image = load_image(data)
    assert isinstance(image, Image)
    result: dict[str, bytes] = {}

    def usual() -> None:
        full = pillow.open(io.BytesIO(data)).convert("RGB")
        result["usual"] = jpeg(full.resize(HALF, pillow.Resampling.LANCZOS), QUALITY)

    def ours() -> None:
        result["ours"] = read_content(apply_repair(image, Repair("jpeg", *HALF)).content)

    floor, cost = best(usual, 5), best(ours, 5)
    alike = ssim(luma(result["usual"]), luma(result["ours"]))
    print(
        f"12 megapixels ({len(data) / 1e6:.1f} MB) to {HALF[0]}x{HALF[1]}: "
        f"{cost:.0f} ms against {floor:.0f} ms = {cost / floor:.2f}x (at most 0.4x), "
        f"SSIM {alike:.4f} (at least 0.98)"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for seed in range(6):
            path = Path(folder) / f"{seed}.jpg"
            path.write_bytes(jpeg(photo(seed, (2016, 1512), 3), 92))
            made.append(path)
        fitting_as_it_lies(sorted([*SAMPLES.glob("*.jpg"), *SAMPLES.glob("*.png")]), "samples/")
        fitting_as_it_lies(made, "generated photos")
    for seed in range(3):
        shrinking(seed)


if __name__ == "__main__":
    main()
