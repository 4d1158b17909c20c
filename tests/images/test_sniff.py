"""The header parsers agree with Pillow on good files and raise nothing but BadImageError on bad ones."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from visionpipe.errors import BadImageError
from visionpipe.images.headers import Header
from visionpipe.images.sniff import HEAD_BYTES, kind_of, read_header
from visionpipe.testing.images import gif_bytes, image_bytes, jpeg_bytes, png_bytes, webp_bytes

MODES = {
    "jpeg": ["L", "RGB", "CMYK"],
    "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "webp": ["RGB", "RGBA"],
    "gif": ["L", "P", "RGB"],
}
COLOURS = {"1": "grey", "L": "grey", "LA": "grey", "I;16": "grey", "P": "palette", "CMYK": "cmyk"}
SEGMENT = b"\xff\xe2" + struct.pack(">H", 60_002) + bytes(60_000)


def header_of(data: bytes) -> Header:
    header = read_header(data)
    assert header is not None
    return header


def read_in_pieces(data: bytes, head: int = HEAD_BYTES) -> tuple[Header, list[tuple[int, int]]]:
    """The header as read from a file of which only the head is in memory, and the reads it took."""
    reads: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return data[offset : offset + length]

    header = read_header(data[:head], size=len(data), read=read)
    assert header is not None
    return header, reads


@st.composite
def encoded(draw: st.DrawFn) -> tuple[str, str, int, bytes]:
    format = draw(st.sampled_from(sorted(MODES)))
    mode = draw(st.sampled_from(MODES[format]))
    orientation = 1 if format == "gif" else draw(st.integers(1, 8))
    width, height = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    options: dict[str, bool] = {}
    if format == "webp":
        options["lossless"] = draw(st.booleans())
    if format == "jpeg":
        options["progressive"] = draw(st.booleans())
    frames = 1 if format == "jpeg" else draw(st.sampled_from([1, 1, 2, 3]))
    data = image_bytes(format, width, height, mode=mode, orientation=orientation, frames=frames, **options)
    return format, mode, frames, data


@settings(max_examples=200, deadline=None)
@given(encoded(), st.sampled_from([16, 100, HEAD_BYTES]))
def test_agrees_with_pillow(case: tuple[str, str, int, bytes], head: int) -> None:
    format, _, _, data = case
    header = header_of(data)
    with pillow.open(io.BytesIO(data)) as picture:
        assert (header.width, header.height) == picture.size
        assert header.orientation == picture.getexif().get(0x0112, 1)
        assert header.frames == getattr(picture, "n_frames", 1)
        assert header.format == format == (picture.format or "").lower()
        if format != "gif":
            has_alpha = "A" in picture.mode or "transparency" in picture.info
            assert header.alpha == has_alpha
        if format in ("jpeg", "png"):
            assert header.colour == COLOURS.get(picture.mode, "rgb")
    assert header.complete
    assert read_in_pieces(data, head)[0] == header


@settings(max_examples=200, deadline=None)
@given(encoded(), st.data())
def test_mutated_bytes_raise_only_bad_image(case: tuple[str, str, int, bytes], data: st.DataObject) -> None:
    damaged = bytearray(case[3])
    for _ in range(data.draw(st.integers(0, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    outcomes = []
    for head in (len(cut), 16):
        try:
            outcomes.append(read_header(cut[:head], size=len(cut), read=lambda at, n: cut[at : at + n]))
        except BadImageError as error:
            assert error.code in ("truncated", "corrupt") and error.cure
            outcomes.append(None)
    if len(cut) >= 16:
        assert outcomes[0] == outcomes[1]


MAGICS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x40\0\0\0WEBP",
    b"GIF89a",
    b"\0\0\0\x18ftyp",
    b"<svg",
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_bad_image(magic: bytes, rest: bytes) -> None:
    data = magic + rest
    assert kind_of(data).words
    try:
        header = read_header(data)
    except BadImageError as error:
        assert error.subject == "image"
    else:
        assert header is None or (header.width > 0 and header.height > 0)


def test_exif_beyond_the_head_is_read_by_seeking() -> None:
    jpeg = jpeg_bytes(40, 30, orientation=6)
    exif_end = 4 + int.from_bytes(jpeg[4:6], "big")
    moved = jpeg[:2] + SEGMENT * 3 + jpeg[2:]
    assert jpeg[2:4] in (b"\xff\xe0", b"\xff\xe1") and exif_end < len(jpeg)
    header, reads = read_in_pieces(moved)
    assert header.orientation == 6
    assert (header.width, header.height) == (30, 40)
    assert sum(length for _, length in reads) < 4096


def test_exif_after_the_frame_header_counts() -> None:
    jpeg = jpeg_bytes(40, 30, orientation=3)
    start = jpeg.index(b"\xff\xe1")
    segment = jpeg[start : start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")]
    frame = jpeg.index(b"\xff\xc0")
    frame_end = frame + 2 + int.from_bytes(jpeg[frame + 2 : frame + 4], "big")
    late = jpeg[:start] + jpeg[start + len(segment) : frame_end] + segment + jpeg[frame_end:]
    assert header_of(late).orientation == 3


def test_exif_after_the_pixels_of_a_png_is_found() -> None:
    png = png_bytes(40, 30, orientation=8)
    start = png.index(b"eXIf") - 4
    chunk = png[start : start + 12 + int.from_bytes(png[start : start + 4], "big")]
    late = png[:start] + png[start + len(chunk) : -12] + chunk + png[-12:]
    assert header_of(late).orientation == 8


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_out_of_range_means_upright(value: int) -> None:
    jpeg = jpeg_bytes(orientation=6)
    broken = jpeg.replace(
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06",
        b"\x01\x12\x00\x03\x00\x00\x00\x01" + struct.pack(">H", value),
    )
    assert broken != jpeg
    assert header_of(broken).orientation == 1


def test_a_little_endian_exif_is_read() -> None:
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 7, 0, 0)
    segment = b"Exif\0\0" + tiff
    jpeg = jpeg_bytes()
    marked = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    assert header_of(marked).orientation == 7


def test_bytes_after_the_end_of_a_jpeg_leave_a_doubt() -> None:
    jpeg = jpeg_bytes()
    assert header_of(jpeg).complete
    assert not header_of(jpeg + b"\0" * 64).complete


def test_bytes_after_the_end_of_a_png_leave_none() -> None:
    assert header_of(png_bytes() + b"padding").complete


def test_an_interlaced_png_is_whole() -> None:
    header = header_of(png_of(3, 2, interlace=1))
    assert (header.width, header.height, header.complete) == (3, 2, True)


def test_transparency_is_seen_in_a_palette() -> None:
    assert header_of(png_bytes(mode="P", transparency=0)).alpha
    assert header_of(gif_bytes(mode="P", transparency=0)).alpha
    assert not header_of(gif_bytes(mode="P")).alpha


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(
    width: int,
    height: int,
    bits: int = 8,
    kind: int = 2,
    compression: int = 0,
    filtering: int = 0,
    interlace: int = 0,
) -> bytes:
    head = chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, compression, filtering, interlace)
    )
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (jpeg_bytes()[:100], "truncated", "cut off"),
        (b"\xff\xd8\xff\xd9", "corrupt", "before its picture"),
        (b"\xff\xd8\xff\xe0\0\1" + bytes(20), "corrupt", "1 bytes long"),
        (b"\xff\xd8\xff\xda\0\2" + bytes(20), "corrupt", "no frame header"),
        (b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\x10\x03" + bytes(9) + b"\xff\xda\0\2", "corrupt", "16x0"),
        (b"\xff\xd8" + b"\xff" * 30_000, "corrupt", "no picture within"),
        (png_bytes()[:60], "truncated", "cut off"),
        (png_bytes()[:-12], "truncated", "cut off"),
        (png_of(0, 1), "corrupt", "0x1"),
        (png_of(1, 1, bits=3), "corrupt", "contradicts"),
        (png_of(1, 1, compression=1), "corrupt", "contradicts"),
        (png_of(1, 1, filtering=1), "corrupt", "contradicts"),
        (png_of(1, 1, interlace=2), "corrupt", "contradicts"),
        (png_of(1, 1)[:20] + b"\x07" + png_of(1, 1)[21:], "corrupt", "checksum"),
        (png_of(1, 1).replace(b"IDAT", b"IDOT"), "corrupt", "no pixels"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4)) + png_of(1, 1)[8:], "corrupt", "iPhone"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", bytes(13)), "corrupt", "does not begin with its header"),
        (webp_bytes()[:-20], "truncated", "cut off"),
        (webp_bytes().replace(b"VP8 ", b"VP9 "), "corrupt", "does not begin with a picture"),
        (webp_bytes().replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b"), "corrupt", "key frame"),
        (webp_bytes(lossless=True).replace(b"\x2f", b"\x2e", 1), "corrupt", "signature"),
        (
            jpeg_bytes().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
            "unread_kind",
            "JPEG of 12 bits",
        ),
        (gif_bytes()[:30], "truncated", "cut off"),
        (b"GIF89a" + bytes(7) + b";", "truncated", "cut off"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, code: str, words: str) -> None:
    with pytest.raises(BadImageError, match=words) as caught:
        read_header(data, name="photo.x")
    assert caught.value.code == code
    assert str(caught.value).startswith("photo.x: ")


@pytest.mark.parametrize(
    ("head", "family", "words"),
    [
        (b"%PDF-1.7\n", "document", "a PDF document"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video", "an MP4 video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video", "a QuickTime video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image", "a HEIC image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image", "an AVIF image"),
        (b"\x1a\x45\xdf\xa3" + bytes(10), "video", "a Matroska or WebM video"),
        (b"RIFF\0\0\0\0AVI LIST", "video", "an AVI video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio", "a WAV sound file"),
        (b"PK\3\4" + bytes(20), "archive", "a ZIP archive (or an office document)"),
        (b"  <!DOCTYPE html><html>", "text", "a web page (HTML)"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "document", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "text", "a Git LFS pointer"),
        (b'{"error": 404}', "text", "a JSON text"),
        ("ein schöner Tag".encode(), "text", "plain text"),
        ("日本語".encode()[:-1], "text", "plain text"),
        ("日本語".encode("utf-16"), "text", "plain text"),
        (b"II*\0\x10\0\0\0CR\x02\0", "unread", "a camera raw photo (CR2)"),
        (bytes(50), "other", "nothing but zero bytes"),
        (b"\x80\x81\x82\x83", "other", "bytes of no known kind"),
        (b"PF\n2 2\n-1.0\n", "unread", "a PFM image in colour, which cannot be read here"),
        (b"P7\nWIDTH 2\n", "unread", "a PAM image, which cannot be read here"),
        (b"P6\n2 2\n255\n", "image", "a PNM image"),
        (b"", "other", "empty"),
    ],
)
def test_kinds_are_told_by_content(head: bytes, family: str, words: str) -> None:
    kind = kind_of(head)
    assert (kind.family, kind.words) == (family, words)


def with_exif(block: bytes) -> bytes:
    segment = b"Exif\0\0" + block
    jpeg = jpeg_bytes()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"garbage!",
        b"II*\0",
        b"II*\0\xff\xff\0\0",
        b"MM\0*\0\0\0\x08\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12",
        b"II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 0x0112, 2, 1, 6, 0),
        b"II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 0x0100, 3, 1, 6, 0),
    ],
)
def test_a_broken_exif_is_no_hindrance(block: bytes) -> None:
    assert header_of(with_exif(block)).orientation == 1


def test_bytes_between_the_segments_of_a_jpeg_are_stepped_over() -> None:
    jpeg = jpeg_bytes(40, 30)
    first_end = 4 + int.from_bytes(jpeg[4:6], "big")
    for between, complete in ((b"\xff\xff\xff", True), (b"\xff\x01", True), (b"stray", False)):
        header = header_of(jpeg[:first_end] + between + jpeg[first_end:])
        assert (header.width, header.height) == (40, 30)
        assert header.complete is complete


def test_unusual_codings_of_a_jpeg_leave_a_doubt() -> None:
    jpeg = jpeg_bytes()
    frame = jpeg.index(b"\xff\xc0")
    assert not header_of(jpeg.replace(b"\xff\xc0", b"\xff\xc3")).complete
    assert header_of(jpeg[: frame + 9] + b"\x02" + jpeg[frame + 10 :]).colour == "other"


def test_a_gif_without_its_trailer_leaves_a_doubt() -> None:
    gif = gif_bytes(40, 30, frames=3)
    assert header_of(gif).complete
    for cut in (gif[:-1], gif[:-1] + b"\x07", gif[:-40]):
        assert not header_of(cut).complete
    assert header_of(gif[:-40]).frames == 2


def test_a_gif_frame_beyond_the_screen_widens_it() -> None:
    gif = bytearray(gif_bytes(40, 30))
    gif[6:10] = b"\x01\0\x01\0"
    assert (header_of(bytes(gif)).width, header_of(bytes(gif)).height) == (40, 30)
    descriptor = gif.index(b"\x2c\0\0\0\0")
    gif[6:10] = bytes(4)
    gif[descriptor + 5 : descriptor + 9] = bytes(4)
    with pytest.raises(BadImageError, match="0x0"):
        header_of(bytes(gif))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def vp8x(flags: int) -> tuple[bytes, bytes]:
    return b"VP8X", struct.pack("<I", flags) + b"\x27\0\0\x1d\0\0"


def test_an_extended_webp_is_read_by_its_flags() -> None:
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 5, 0, 0)
    pixels = (b"VP8 ", bytes(11))
    for block in (tiff, b"Exif\0\0" + tiff):
        told = header_of(riff(vp8x(0x18), pixels, (b"EXIF", block)))
        assert (told.width, told.height, told.orientation, told.alpha) == (40, 30, 5, True)
    assert header_of(riff(vp8x(0), pixels, (b"EXIF", tiff))).orientation == 1
    frames = [(b"ANMF", bytes(30))] * 3
    assert header_of(riff(vp8x(0x02), *frames)).frames == 3
    with pytest.raises(BadImageError, match="no picture"):
        header_of(riff(vp8x(0), (b"ICCP", b"x")))
    cut = bytearray(riff(vp8x(0), pixels))
    cut[34:38] = b"\xff\xff\0\0"
    with pytest.raises(BadImageError, match="cut off"):
        header_of(bytes(cut))


def test_a_simple_webp_must_hold_what_it_says() -> None:
    webp = bytearray(webp_bytes())
    webp[16:20] = b"\xff\xff\0\0"
    with pytest.raises(BadImageError, match="cut off"):
        header_of(bytes(webp))
    webp = bytearray(webp_bytes())
    webp[26:28] = b"\0\0"
    with pytest.raises(BadImageError, match="0x24"):
        header_of(bytes(webp))
