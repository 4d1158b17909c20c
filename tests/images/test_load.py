"""Whatever an image comes as, it becomes the same value, and what cannot be one says why."""

from __future__ import annotations

import base64
import io
import os
import socket
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow

from visionpipe.errors import (
    BadImageError,
    ConfigurationError,
    InputError,
    ParameterError,
    UnreadableSourceError,
)
from visionpipe.files import open_regular, read_all, read_content, unreadable
from visionpipe.images.decode import open_encoded
from visionpipe.images.load import IN_MEMORY_BYTES, ImageSource, load_image, verify_image
from visionpipe.media import FileContent, Image, LinkedImage, MemoryContent
from visionpipe.testing.images import CORNERS, image_bytes, jpeg_bytes, picture, png_bytes


def loaded(source: ImageSource, *, name: str | None = None, max_pixels: int | None = None) -> Image:
    image = load_image(source, name=name) if max_pixels is None else load_image(source, max_pixels=max_pixels)
    assert isinstance(image, Image)
    return image


def pixels(image: Image) -> pillow.Image:
    return pillow.open(io.BytesIO(read_content(image.content)))


def noisy_jpeg() -> bytes:
    """A JPEG of more than 1 MiB."""
    noise = np.random.default_rng(7).integers(0, 256, (800, 900, 3), dtype=np.uint8)
    out = io.BytesIO()
    pillow.fromarray(noise).save(out, "JPEG", quality=95, subsampling=0)
    assert len(out.getvalue()) > IN_MEMORY_BYTES
    return out.getvalue()


def test_every_way_of_giving_bytes_keeps_them(tmp_path: Path) -> None:
    data = jpeg_bytes(40, 30, orientation=6)
    path = tmp_path / "photo.png"  # the wrong name on purpose
    path.write_bytes(data)
    text = base64.b64encode(data).decode()
    with path.open("rb") as opened:
        ways: list[ImageSource] = [
            path,
            str(path),
            path.as_uri(),
            data,
            bytearray(data),
            memoryview(data),
            opened,
            io.BytesIO(data),
            "data:image/jpeg;base64," + text,
            "data:image/jpeg;base64," + quote(text, safe=""),
            "DATA:;BASE64," + text,
            "data:image/jpeg," + quote(data),
            text,
            "\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
            text.replace("+", "-").replace("/", "_").rstrip("="),
        ]
        for way in ways:
            image = loaded(way)
            assert read_content(image.content) == data
            assert (image.format, image.width, image.height, image.orientation) == ("jpeg", 30, 40, 6)
            assert image.upright_size == (40, 30)
            assert image.adjustments == ()
        assert opened.tell() == 0


def test_names_say_where_an_image_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    assert loaded(path).name == str(path)
    assert loaded(path, name="shop/a.jpg").name == "shop/a.jpg"
    assert loaded(jpeg_bytes()).name == "image bytes"
    assert loaded("data:;base64," + base64.b64encode(png_bytes()).decode()).name == "data URI"
    with path.open("rb") as opened:
        assert loaded(opened).name == str(path)


def test_a_url_is_a_link_and_an_image_stays_itself() -> None:
    assert load_image("https://example.org/a.jpg") == LinkedImage("https://example.org/a.jpg")
    assert load_image("HTTP://example.org/a b.jpg") == LinkedImage("HTTP://example.org/a b.jpg")
    link = LinkedImage("https://example.org/a.jpg")
    assert load_image(link) is link
    image = loaded(png_bytes())
    assert load_image(image) is image


def test_a_large_file_stays_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(noisy_jpeg())
    image = loaded(path)
    state = path.stat()
    assert image.content == FileContent(str(path), state.st_size, state.st_mtime_ns)
    assert (image.width, image.height) == (900, 800)
    assert read_content(image.content) == path.read_bytes()


def test_a_large_file_given_relatively_is_found_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(noisy_jpeg())
    with chdir(tmp_path):
        image = loaded("large.jpg")
    assert len(read_content(image.content)) == image.size
    assert image.name == "large.jpg"


def test_a_file_that_changed_or_vanished_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(noisy_jpeg())
    image = loaded(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UnreadableSourceError, match="changed") as caught:
        read_content(image.content)
    assert caught.value.retryable
    path.unlink()
    with pytest.raises(UnreadableSourceError, match="gone since") as caught:
        verify_image(image)
    assert caught.value.code == "vanished"


@pytest.mark.parametrize("format", ["bmp", "tiff", "avif", "gif", "webp"])
def test_other_formats_are_known_by_content(tmp_path: Path, format: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(image_bytes(format, 33, 21))
    image = loaded(path)
    assert (image.format, image.width, image.height, image.orientation) == (format, 33, 21, 1)


@pytest.mark.parametrize("format", ["tiff", "avif"])
def test_their_orientation_is_read(format: str) -> None:
    image = loaded(image_bytes(format, 40, 30, orientation=6))
    assert (image.width, image.height, image.orientation) == (30, 40, 6)
    assert image.upright_size == (40, 30)


def test_pages_and_depth_of_a_tiff_are_read() -> None:
    assert loaded(image_bytes("tiff", frames=3)).frames == 3
    assert loaded(image_bytes("tiff", mode="I;16")).bits == 16
    assert loaded(image_bytes("tiff", mode="CMYK")).colour == "cmyk"
    assert loaded(image_bytes("tiff", mode="1")).bits == 1
    assert loaded(image_bytes("tiff", mode="RGBA")).alpha


def test_a_heic_photo_is_read_with_the_extra() -> None:
    from pillow_heif import from_pillow

    out = io.BytesIO()
    from_pillow(picture(64, 48)).save(out)
    image = loaded(out.getvalue())
    assert (image.format, image.width, image.height) == ("heic", 64, 48)
    verify_image(image)
    with pytest.raises(BadImageError):
        verify_image(loaded(out.getvalue()[:-40]))


def test_a_heic_photo_without_the_extra_names_it() -> None:
    def nothing_installed(module: str) -> ModuleType:
        raise ImportError(module)

    with pytest.raises(ConfigurationError) as caught:
        open_encoded(b"", "heic", "IMG_1.HEIC", importer=nothing_installed)
    assert "pip install 'visionpipe-vlm[heif]'" in str(caught.value)
    assert caught.value.scope == "item"


def test_a_camera_raw_in_tiff_clothing_is_refused() -> None:
    with pytest.raises(BadImageError, match="camera raw"):
        load_image(image_bytes("tiff", tiffinfo={254: 1}))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((30, 40), "grey"), ((30, 40, 1), "grey"), ((30, 40, 3), "rgb"), ((30, 40, 4), "rgb")],
)
def test_arrays_of_every_shape(shape: tuple[int, ...], kind: str) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint64).reshape(shape).astype(np.uint8)
    before = array.copy()
    image = loaded(array)
    assert (image.width, image.height, image.colour, image.format) == (40, 30, kind, "png")
    assert np.array_equal(
        np.asarray(pixels(image)), array.reshape(shape[:2] + shape[2:] if shape[2:] != (1,) else shape[:2])
    )
    assert np.array_equal(array, before)
    [adjustment] = image.adjustments
    assert adjustment.kind == "converted" and "x".join(map(str, shape)) in adjustment.detail


def test_channel_order_is_obeyed() -> None:
    array = np.zeros((2, 2, 3), np.uint8)
    array[..., 0] = 200
    rgb, bgr = load_image(array), load_image(array, channel_order="bgr")
    assert isinstance(rgb, Image) and isinstance(bgr, Image)
    assert pixels(rgb).getpixel((0, 0)) == (200, 0, 0)
    assert pixels(bgr).getpixel((0, 0)) == (0, 0, 200)


def test_deep_and_floating_arrays_are_scaled() -> None:
    deep = np.array([[0, 257, 32_768, 65_535]], np.uint16)
    assert list(pixels(loaded(deep)).tobytes()) == [0, 1, 128, 255]
    floating = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert list(pixels(loaded(floating)).tobytes()) == [0, 128, 255]
    assert list(pixels(loaded(np.array([[True, False]]))).tobytes()) == [255, 0]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.full((2, 2), 1.5),
        np.full((2, 2), np.nan),
        np.full((2, 2), -0.1),
        np.zeros((2, 2), np.int64),
    ],
)
def test_arrays_that_are_no_image_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ParameterError):
        load_image(array)


def test_a_wrong_channel_order_or_source_is_refused() -> None:
    with pytest.raises(ParameterError, match="channel_order"):
        load_image(png_bytes(), channel_order="gbr")  # type: ignore[arg-type]  # what a user might write
    with pytest.raises(ParameterError, match="no image source"):
        load_image(12)  # type: ignore[arg-type]  # what a user might give
    with pytest.raises(ParameterError, match="open for text"):
        load_image(io.StringIO("x"))  # type: ignore[arg-type]  # what a user might give
    closed = io.BytesIO(png_bytes())
    closed.close()
    with pytest.raises(UnreadableSourceError, match="closed"):
        load_image(closed)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr", "HSV", "F", "I"]
)
def test_pillow_images_of_every_mode(mode: str) -> None:
    given = picture(20, 10, mode)
    before = given.tobytes()
    image = loaded(given)
    assert (image.format, image.width, image.height) == ("png", 20, 10)
    assert given.mode == mode and given.tobytes() == before
    assert image.adjustments[0].kind == "converted" and mode in image.adjustments[0].detail
    if mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        assert pixels(image).convert("RGBA").tobytes() == given.convert("RGBA").tobytes()


def test_a_pillow_image_with_exif_is_turned_upright() -> None:
    with pillow.open(io.BytesIO(jpeg_bytes(40, 30, orientation=6))) as given:
        image = loaded(given)
        assert given.size == (30, 40)
    assert (image.width, image.height, image.orientation) == (40, 30, 1)
    assert [a.kind for a in image.adjustments] == ["converted", "rotated"]
    corner = pixels(image).getpixel((2, 2))
    assert isinstance(corner, tuple)
    assert max(abs(a - b) for a, b in zip(corner, CORNERS[0], strict=True)) < 12


def test_a_pillow_image_of_a_broken_file_is_refused() -> None:
    with (
        pillow.open(io.BytesIO(jpeg_bytes(200, 200)[:-300])) as given,
        pytest.raises(BadImageError) as caught,
    ):
        load_image(given)
    assert caught.value.code == "truncated"


def test_trailing_bytes_are_no_reason_to_refuse(tmp_path: Path) -> None:
    jpeg = jpeg_bytes(200, 200)
    for tail in (b"\0" * 100, b"\0\0\0\x18ftypmp42" + bytes(2000), jpeg_bytes()):
        assert loaded(jpeg + tail).width == 200
    large = tmp_path / "motion.jpg"
    large.write_bytes(noisy_jpeg() + bytes(5000))
    assert loaded(large).width == 900


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("padding", [b"", bytes(5000)])
def test_a_cut_jpeg_is_found_even_where_zeros_follow(tmp_path: Path, keep: float, padding: bytes) -> None:
    for jpeg in (jpeg_bytes(200, 200), noisy_jpeg()):
        path = tmp_path / "cut.jpg"
        path.write_bytes(jpeg[: int(len(jpeg) * keep)] + padding)
        with pytest.raises(BadImageError) as caught:
            load_image(path)
        assert caught.value.code in ("truncated", "corrupt")


@pytest.mark.parametrize("format", ["bmp", "tiff", "avif", "gif", "webp", "png"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_cut_file_of_any_format_is_found(format: str, keep: float) -> None:
    data = image_bytes(format, 120, 90)
    with pytest.raises(BadImageError) as caught:
        load_image(data[: int(len(data) * keep)])
    assert caught.value.code in ("truncated", "corrupt")


def test_a_signature_alone_is_a_cut_file() -> None:
    for data in (b"\x89PNG\r\n", b"\xff\xd8", b"GIF8"):
        with pytest.raises(BadImageError, match="cut off"):
            load_image(data)


@pytest.mark.parametrize(
    ("content", "name", "code", "words"),
    [
        (b"", "a.jpg", "empty", "empty"),
        (
            b"Sorry, not found.",
            "a.jpg",
            "not_an_image",
            "plain text, not an image, although its name ends in .jpg",
        ),
        (b"<html>", "a.png", "not_an_image", "a web page"),
        (b"%PDF-1.4", "a.pdf", "not_an_image", "a PDF document, not an image."),
        (bytes(5000), "a.jpg", "not_an_image", "zero bytes"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, name: str, code: str, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadImageError) as caught:
        load_image(path)
    assert caught.value.code == code
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_the_ceiling_of_pixels_can_be_set() -> None:
    data = png_bytes(100, 100)
    assert loaded(data, max_pixels=10_000).width == 100
    with pytest.raises(BadImageError, match="100x100") as caught:
        load_image(data, max_pixels=9_999)
    assert caught.value.code == "bomb"
    with pytest.raises(BadImageError, match="ceiling"):
        load_image(image_bytes("bmp", 100, 100), max_pixels=9_999)


def test_paths_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    file = tmp_path / "file.txt"
    file.write_text("x")
    expected = {
        "nothing.jpg": ("missing", "no such file"),
        "folder.jpg": ("is_a_folder", "folder"),
        "gone.jpg": ("missing", "link to a file that is not there"),
        "loop.jpg": ("missing", "leads back"),
        "pipe.jpg": ("special_file", "pipe"),
        "file.txt/a.jpg": ("missing", "no such file"),
        "x" * 300: ("missing", "no path"),
        "nul\0byte": ("missing", "no path"),
    }
    for name, (code, words) in expected.items():
        with pytest.raises(UnreadableSourceError, match=words) as caught:
            load_image(f"{tmp_path}/{name}")
        assert caught.value.code == code
        assert caught.value.cure in str(caught.value)


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.jpg"))
        with pytest.raises(UnreadableSourceError) as caught:
            load_image(tmp_path / "s.jpg")
    assert caught.value.code == "special_file"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied"), "permission"),
        (IsADirectoryError(21, "Is a directory"), "is_a_folder"),
        (OSError(5, "Input/output error"), "unreadable"),
    ],
)
def test_what_the_system_says_is_told_in_our_words(error: OSError, code: str) -> None:
    told = unreadable(error, "a.jpg", "a.jpg")
    assert told.code == code
    assert told.cure


def test_a_file_on_another_machine_is_refused() -> None:
    with pytest.raises(UnreadableSourceError, match="server"):
        load_image("file://server/share/a.jpg")


@pytest.mark.parametrize("text", ["photos/cat", "a" * 40, "QUJD" * 100, "A" * 33])
def test_short_words_are_paths_not_base64(text: str) -> None:
    with pytest.raises(UnreadableSourceError) as caught:
        load_image(text)
    assert caught.value.code == "missing"


def test_base64_of_something_else_is_named() -> None:
    text = base64.b64encode(b"%PDF-1.7" + bytes(1000)).decode()
    with pytest.raises(BadImageError, match="a PDF document"):
        load_image(text)
    with pytest.raises(BadImageError, match="comma"):
        load_image("data:image/png;base64")
    with pytest.raises(BadImageError, match="damaged"):
        load_image("data:image/png;base64,!!!!")


def test_verify_decodes_in_full() -> None:
    data = bytearray(png_bytes(64, 64))
    verify_image(loaded(bytes(data)))
    middle = data.index(b"IDAT") + 20
    data[middle : middle + 8] = bytes(8)
    broken = loaded(bytes(data))
    with pytest.raises(InputError) as caught:
        verify_image(broken)
    assert isinstance(caught.value, BadImageError)
    assert caught.value.subject == "image bytes"


def test_the_bytes_of_an_image_are_not_shown() -> None:
    assert "JFIF" not in repr(loaded(jpeg_bytes()))
    assert isinstance(loaded(jpeg_bytes()).content, MemoryContent)


def test_an_image_that_looks_right_is_loaded_without_a_decoder(tmp_path: Path) -> None:
    for name, data in {"a.jpg": jpeg_bytes(), "b.png": png_bytes(), "c.gif": image_bytes("gif")}.items():
        (tmp_path / name).write_bytes(data)
    program = (
        "import sys\n"
        "from visionpipe.images.load import load_image\n"
        "from visionpipe.sources.find import find_sources\n"
        "print([load_image(found.location).format for found in find_sources(sys.argv[1])])\n"
        "print({'PIL', 'numpy', 'cv2', 'av', 'httpx'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['jpeg', 'png', 'gif']\nset()\n"


def test_other_machines_photos_are_read_by_whatever_pillow_brings() -> None:
    assert loaded(image_bytes("tiff", mode="LA")).colour == "grey"
    out = io.BytesIO()
    picture(32, 24).save(out, "PPM")
    assert loaded(out.getvalue()).format == "ppm"
    out = io.BytesIO()
    picture(32, 32).save(out, "ICO")
    assert loaded(out.getvalue()).format == "ico"
    out = io.BytesIO()
    picture(32, 24).save(out, "JPEG2000")
    assert loaded(out.getvalue()).format == "jp2"


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 5000)
    descriptor, _ = open_regular(str(path), "a")
    try:
        assert read_all(descriptor, 100) == b"x" * 5000
    finally:
        os.close(descriptor)


def test_a_jpeg_of_12_bits_says_what_to_do() -> None:
    data = bytearray(image_bytes("jpeg", 64, 48))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = 0xC1, 12
    with pytest.raises(BadImageError, match="a JPEG of 12 bits, which cannot be read") as caught:
        loaded(bytes(data))
    assert "8 bits" in caught.value.cure


def test_a_float_map_in_colour_is_named() -> None:
    with pytest.raises(BadImageError, match="a PFM image in colour, which cannot be read"):
        loaded(b"PF\n2 1\n-1.0\n" + bytes(24))
