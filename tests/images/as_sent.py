"""What a model is sent of an image, for the tests of this folder."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from visionpipe.files import read_content
from visionpipe.images.encode import apply_repair
from visionpipe.images.load import ImageSource, load_image
from visionpipe.media import Image, Repair


def loaded(source: ImageSource, name: str = "photo") -> Image:
    """The image value of ``source``."""
    image = load_image(source, name=name)
    assert isinstance(image, Image)
    return image


def as_sent(source: ImageSource) -> tuple[Image, NDArray[np.int16]]:
    """The image repaired into PNG without a change of size, and its RGB pixels as (height, width, 3)."""
    image = loaded(source)
    repaired = apply_repair(image, Repair("png", *image.upright_size))
    with pillow.open(io.BytesIO(read_content(repaired.content))) as sent:
        return repaired, np.asarray(sent.convert("RGB"), np.int16)


def details(image: Image) -> str:
    """All adjustments' kinds and details in one text."""
    return "\n".join(f"{change.kind}: {change.detail}" for change in image.adjustments)
