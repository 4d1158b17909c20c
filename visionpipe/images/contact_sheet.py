"""Several images on one labelled sheet, for models that take fewer images than there are.

Every image keeps its proportions and has its label under it, so that an answer can say which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from visionpipe.errors import ParameterError
from visionpipe.images.decode import upright
from visionpipe.images.encode import saved_as_jpeg
from visionpipe.images.pixels import WHITE
from visionpipe.media import Image, MemoryContent
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_SMALLEST_CELL = 32  # pixels; below it nothing can be made out
_QUALITY = 90


def contact_sheet(
    images: Sequence[Image], *, labels: Sequence[str] | None = None, max_side: int = 2048
) -> Image:
    """One JPEG with all of ``images`` in a grid, row by row.

    Args:
        images: what to show; transparency is put on white, animations show their first frame.
        labels: what to write under each, as many as images; "1", "2" and so on if None.
        max_side: of the sheet, in pixels.

    Returns:
        An image whose adjustments are those of the images, and "contact_sheet" with its figures.

    Raises:
        ParameterError: no image, labels of another number, or a sheet too small for so many.
        BadImageError, UnreadableSourceError: an image that cannot be decoded or read.
    """
    if not images:
        raise ParameterError("a contact sheet of no images", cure="Give one or more.", subject="images")
    marks = [str(n + 1) for n in range(len(images))] if labels is None else list(labels)
    if len(marks) != len(images):
        raise ParameterError(
            f"{len(marks)} labels for {len(images)} images", cure="Give one label an image.", subject="labels"
        )
    columns, rows = _grid(images)
    gap = max(2, max_side // 256)
    cell = (max_side // columns - gap, max_side // rows - gap)
    line = max(10, min(cell) // 14)
    if min(cell[0], cell[1] - line) < _SMALLEST_CELL:
        raise ParameterError(
            f"{len(images)} images on a sheet of {max_side} pixels",
            cure="Use fewer images a sheet, or a larger max_side.",
            subject="max_side",
        )
    sheet = _drawn(images, marks, columns, rows, cell, line, gap)
    earlier = tuple(adjustment for image in images for adjustment in image.adjustments)
    made = Adjustment(
        "contact_sheet",
        "contact sheet",
        f"{len(images)} images -> one of {sheet.width}x{sheet.height}, {columns} columns, {rows} rows,"
        f" at most {cell[0]}x{cell[1] - line} each: "
        + "; ".join(f"{m} = {i.name}" for m, i in zip(marks, images, strict=True)),
    )
    return Image(
        "contact sheet",
        MemoryContent(saved_as_jpeg(sheet, quality=_QUALITY, subsampling=0)),
        "jpeg",
        sheet.width,
        sheet.height,
        adjustments=(*earlier, made),
    )


def _grid(images: Sequence[Image]) -> tuple[int, int]:
    """Columns and rows that leave the images largest on a square sheet."""
    shapes = [image.upright_size for image in images]
    # One banner among photos must not shrink them all, so the usual shape is held near a photo's.
    mean = math.exp(sum(math.log(width / height) for width, height in shapes) / len(shapes))
    columns = min(len(images), max(1, round(math.sqrt(len(images) / min(2.0, max(0.5, mean))))))
    return columns, math.ceil(len(images) / columns)


def _drawn(
    images: Sequence[Image],
    marks: Sequence[str],
    columns: int,
    rows: int,
    cell: tuple[int, int],
    line: int,
    gap: int,
) -> Picture:
    from PIL import Image as pillow
    from PIL import ImageDraw, ImageFont

    across, down = cell
    sheet = pillow.new("RGB", (columns * (across + gap) - gap, rows * (down + gap) - gap), WHITE)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(line * 0.8)
    for index, (image, mark) in enumerate(zip(images, marks, strict=True)):
        left, top = index % columns * (across + gap), index // columns * (down + gap)
        small = _small(image, across, down - line)
        sheet.paste(small, (left + (across - small.width) // 2, top + (down - line - small.height) // 2))
        while mark and pen.textlength(mark, font=font) > across:
            mark = mark[:-1]
        pen.text((left + across / 2, top + down - line / 2), mark, fill=(0, 0, 0), font=font, anchor="mm")
    return sheet


def _small(image: Image, width: int, height: int) -> Picture:
    """The upright picture of ``image``, fitted into a box; it is never enlarged."""
    across, down = image.upright_size
    scale = min(1.0, width / across, height / down)
    size = (max(1, round(across * scale)), max(1, round(down * scale)))
    picture, _ = upright(image, at_least=size, background=WHITE)
    return picture.convert("RGB").resize(size, reducing_gap=2.0)
