"""Large photos are fitted in little memory, and files too large for any picture are refused unread."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image as pillow

from tests.images.as_sent import loaded
from visionpipe.errors import BadImageError
from visionpipe.files import read_content
from visionpipe.images.encode import apply_repair
from visionpipe.images.hashes import dhash
from visionpipe.images.load import MAX_FILE_BYTES, MAX_PIXELS, load_image, verify_image
from visionpipe.registry.records import ImageRules
from visionpipe.stages.fit import plan_repair
from visionpipe.testing.images import jpeg_bytes, png_bytes

RULES = ImageRules(max_bytes=5 * 1024**2, max_side_px=6000)
WIDTH, HEIGHT = 16_320, 12_240  # 200 megapixels, as phones write them


def phone_photo(path: Path, **options: object) -> Path:
    """A grey JPEG of 200 megapixels, of which only the header tells the size: one row of blocks repeated."""
    picture = pillow.new("L", (WIDTH, HEIGHT), 90)
    picture.paste(200, (0, 0, WIDTH // 2, HEIGHT // 2))
    picture.save(path, "JPEG", quality=50, **options)
    return path


def png_of(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_two_hundred_megapixels_of_a_phone_are_fitted(tmp_path: Path) -> None:
    exif = pillow.Exif()
    exif[0x0112] = 6
    image = loaded(phone_photo(tmp_path / "IMG_1.jpg", exif=exif))
    assert image.pixels > MAX_PIXELS
    repair = plan_repair(image, RULES)
    assert repair is not None
    assert (repair.width, repair.height) == (HEIGHT // 8, WIDTH // 8)
    fitted = apply_repair(image, repair)
    with pillow.open(io.BytesIO(read_content(fitted.content))) as sent:
        assert sent.size == (1530, 2040)
        corners = [sent.getpixel((x, y)) for y in (300, 1800) for x in (300, 1300)]
    assert corners == [90, 200, 90, 90]


def test_it_takes_the_memory_of_the_smaller_picture(tmp_path: Path) -> None:
    path = phone_photo(tmp_path / "IMG_1.jpg")
    program = (
        "import resource, sys\n"
        "from visionpipe.images.hashes import dhash\n"
        "from visionpipe.images.load import load_image, verify_image\n"
        "from visionpipe.images.encode import apply_repair\n"
        "from visionpipe.media import Repair\n"
        "import numpy, PIL.ImageCms\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "image = load_image(sys.argv[1])\n"
        "apply_repair(image, Repair('jpeg', 2040, 1530))\n"
        "verify_image(image)\n"
        "dhash(image)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 80_000  # KiB; the whole picture would take 195,000


def test_a_progressive_jpeg_cannot_be_scaled_in_little_memory() -> None:
    image = bytearray(jpeg_bytes(64, 48, progressive=True))
    frame = image.index(b"\xff\xc2")
    image[frame + 5 : frame + 9] = struct.pack(">HH", HEIGHT, WIDTH)
    with pytest.raises(BadImageError) as caught:
        load_image(bytes(image))
    assert caught.value.code == "bomb"


def test_a_picture_that_must_be_decoded_anyway_is_brought_down() -> None:
    data = bytearray(jpeg_bytes(64, 48, orientation=6))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 9000, 12_000)
    repair = plan_repair(loaded(bytes(data)), ImageRules(formats=("jpeg",)))
    assert repair is not None and repair.reasons == ("orientation",)
    assert repair.width * repair.height <= 4_816_896
    assert plan_repair(loaded(jpeg_bytes(64, 48)), ImageRules(formats=("jpeg",))) is None


def test_the_ceiling_is_settable_and_its_cure_names_how() -> None:
    large = png_of(20_000, 10_000)
    with pytest.raises(BadImageError) as caught:
        load_image(large)
    assert caught.value.code == "bomb"
    assert "max_pixels" in caught.value.cure and "--max-pixels" in caught.value.cure
    assert loaded_with(large, 200_000_000) == (20_000, 10_000)
    with pytest.raises(BadImageError):
        load_image(jpeg_bytes(40, 30), max_pixels=1000)


def loaded_with(data: bytes, max_pixels: int) -> tuple[int, int]:
    image = load_image(data, max_pixels=max_pixels)
    verify_image(image)  # type: ignore[arg-type]  # bytes load as an image
    return image.upright_size  # type: ignore[union-attr]  # as above


def test_a_raised_ceiling_holds_for_tiff_too() -> None:
    out = io.BytesIO()
    pillow.new("1", (20_000, 10_000)).save(out, "TIFF", compression="group4")
    with pytest.raises(BadImageError):
        load_image(out.getvalue())
    assert loaded_with(out.getvalue(), 200_000_000) == (20_000, 10_000)


@pytest.mark.parametrize(
    "head", [png_bytes(64, 48), jpeg_bytes(64, 48), b"II*\0", b""], ids=["png", "jpeg", "tiff", "zeros"]
)
def test_a_sparse_file_of_a_tebibyte_is_refused_at_once(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(head)
    os.truncate(path, 1 << 40)
    with pytest.raises(BadImageError) as caught:
        load_image(path)
    if head:
        assert caught.value.code == "too_large"
        assert "1,099,511,627,776 bytes" in str(caught.value)
    else:
        assert "nothing but zero bytes, not an image, although its name ends in .png" in str(caught.value)
    with pytest.raises(BadImageError):
        dhash(path)


def test_a_file_within_the_limit_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "padded.png"
    path.write_bytes(png_bytes(64, 48))
    os.truncate(path, MAX_FILE_BYTES)
    assert loaded(path).size == MAX_FILE_BYTES
