"""What the server decodes: the very bytes of an image that fits, and a repaired one within every limit."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import PIL.Image

from tests.client.faces import Face, chat, setup_for
from tests.loopback import Loopback, Seen
from visionpipe.client import Client
from visionpipe.registry.lookup import Registry
from visionpipe.testing.images import CORNERS, jpeg_bytes, png_bytes

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def sent_images(seen: Seen) -> list[bytes]:
    content = seen.json()["messages"][-1]["content"]
    return [base64.b64decode(part["image_url"]["url"]) for part in content if part["type"] == "image_url"]


def noise(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pixels that do not compress."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mixed_files(folder: Path) -> list[Path]:
    """A hundred files of both formats, from a pixel to megabytes, some too large to be held in memory."""
    found = [SAMPLES / name for name in ("china.jpg", "flower.jpg", "coffee.png", "chelsea.png")]
    for n in range(46):
        (folder / f"{n}.jpg").write_bytes(jpeg_bytes(1 + 13 * n, 1 + 7 * n))
        (folder / f"{n}.png").write_bytes(png_bytes(1 + 11 * n, 1 + 5 * n))
        found += [folder / f"{n}.jpg", folder / f"{n}.png"]
    for n, (width, height) in enumerate([(900, 700), (1200, 900), (700, 640), (1000, 1400)]):
        path = folder / f"large{n}.png"
        PIL.Image.fromarray(noise(width, height)).save(path)
        assert path.stat().st_size > 1 << 20
        found.append(path)
    return found


def test_an_image_that_fits_arrives_byte_for_byte(loopback: Loopback, tmp_path: Path) -> None:
    loopback.script(chat("Done."))
    files = mixed_files(tmp_path)
    assert len(files) == 100
    with Client(**setup_for(loopback, model="glm-4v-plus-0111")) as client:
        for begin in range(0, len(files), 5):
            reply = client.ask("What?", *files[begin : begin + 5])
            assert reply.adjustments == ()
    arrived = [image for seen in loopback.requests for image in sent_images(seen)]
    assert arrived == [path.read_bytes() for path in files]


def test_a_phone_photo_over_the_limit_goes_out_upright_and_within_every_limit(
    face: Face, loopback: Loopback, tmp_path: Path
) -> None:
    loopback.script(chat("Done."))
    pixels = noise(4032, 3024)
    # Red, where the upright picture's top left corner comes to lie under EXIF orientation 6.
    pixels[-400:, :400] = (255, 0, 0)
    photo = tmp_path / "IMG_0001.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(pixels).save(photo, quality=76, exif=exif)
    assert photo.stat().st_size > 7_000_000
    reply = face.ask("What?", photo, setup=setup_for(loopback, model="glm-4v-plus-0111"))
    (sent,) = sent_images(loopback.requests[0])
    rules = Registry.load().model("glm-4v-plus-0111").images
    assert rules is not None
    assert rules.max_bytes is not None
    assert rules.max_side_px is not None
    assert len(sent) <= rules.max_bytes
    with PIL.Image.open(io.BytesIO(sent)) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (1512, 2016)
        assert max(picture.size) <= rules.max_side_px
        assert picture.getexif().get(0x0112, 1) == 1
        red, green, _ = picture.convert("RGB").resize((16, 16)).getpixel((0, 0))  # type: ignore[misc]  # RGB
        assert red > 200 > 80 > green
    assert {a.kind for a in reply.adjustments} == {"rotated", "resized", "re-encoded"}
    assert all(a.subject.endswith("IMG_0001.jpg") for a in reply.adjustments)


def test_all_orientations_arrive_upright(loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    with Client(**setup_for(loopback, model="glm-4.6v")) as client:
        client.ask("What?", *[jpeg_bytes(64, 48, orientation=n) for n in range(1, 9)])
    for sent in sent_images(loopback.requests[0]):
        with PIL.Image.open(io.BytesIO(sent)) as picture:
            assert picture.size == (64, 48)
            corner = picture.convert("RGB").getpixel((3, 3))
            assert isinstance(corner, tuple)
            assert max(abs(a - b) for a, b in zip(corner, CORNERS[0], strict=True)) < 40
