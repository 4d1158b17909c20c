"""Small pictures of image files, for pages and notebooks."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

LARGEST_DECODED = 60_000_000
"""Pixels; above, a thumbnail would take more memory than it is worth."""


def thumbnail(path: Path, pixels: int = 256) -> bytes | None:
    """A WebP of the image, upright, its longest side ``pixels``; None where it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are held below
            image = Image.open(path)
        with image:
            image.draft("RGB", (pixels, pixels))  # JPEG alone: decodes at a fraction of its size
            if image.width * image.height > LARGEST_DECODED:
                return None
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((pixels, pixels), Image.Resampling.LANCZOS, reducing_gap=2.0)
            if upright.mode not in ("RGB", "RGBA"):
                upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
            encoded = io.BytesIO()
            upright.save(encoded, "WEBP", quality=68, method=2)
            return encoded.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # shown as "no preview"; why the item failed stands in its result
