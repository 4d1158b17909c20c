"""What bytes are, told from the bytes alone: never from a file's name, and without decoding.

JPEG, PNG, WebP and GIF headers are read here in microseconds; other image formats are recognised
and left to Pillow; for everything else there is a plain word, so that an error can say what came instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from visionpipe.images.headers import Header, read_gif, read_jpeg, read_png, read_webp
from visionpipe.images.metadata import ReadAt, Window

HEAD_BYTES = 4096
"""How much of a file is read to tell what it is."""

SNIFFED = frozenset(["jpeg", "png", "webp", "gif"])
"""The formats whose headers are read here."""

IMAGE_SUFFIXES = frozenset(
    f".{word}"
    for word in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff"),
        *("avif", "avifs", "heic", "heif", "hif", "jp2", "j2k", "jpx", "ico"),
        *("ppm", "pgm", "pbm", "pnm", "psd", "tga"),
    )
)
"""How the names of images end. Only a hint: contents decide."""

Family: TypeAlias = Literal["image", "video", "audio", "document", "archive", "text", "unread", "other"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What some bytes are: a ``family`` ("unread" for pictures of kinds that cannot be read here), a
    ``format`` for images ("bmp"), and ``words`` for people."""

    family: Family
    words: str
    format: str = ""


def read_header(
    head: bytes, *, size: int | None = None, read: ReadAt | None = None, name: str = "image"
) -> Header | None:
    """The facts in the header of a JPEG, PNG, WebP or GIF; None for anything else.

    Args:
        head: the first bytes of the file (4 KiB will do), or the whole of it.
        size: the file's size in bytes where ``head`` is not all of it.
        read: (offset, length) -> bytes, for what ``head`` does not hold.
        name: the subject of errors.

    Raises:
        BadImageError: truncated or corrupt.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return read_jpeg(Window(head, size=size, read=read, name=name))
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return read_png(Window(head, size=size, read=read, name=name))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return read_webp(Window(head, size=size, read=read, name=name))
    if head.startswith((b"GIF89a", b"GIF87a")):
        return read_gif(Window(head, size=size, read=read, name=name))
    return None


def is_start_of_image(head: bytes) -> bool:
    """Whether ``head`` is the first part of a signature that ``read_header`` knows."""
    return bool(head) and any(magic.startswith(head) for _, magic, kind in _MAGIC if kind.format in SNIFFED)


def kind_of(head: bytes) -> Kind:
    """What the file that begins with ``head`` (some hundred bytes or more) is."""
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], Kind("other", "an unknown RIFF file"))
    if head[4:8] == b"ftyp":
        return _media_container(head)
    if head.startswith(b"OggS"):
        return _OGG_VIDEO if any(codec in head for codec in _OGG_CODECS) else _OGG_SOUND
    if head.startswith((b"PF", b"P7")) and head[2:3].isspace():
        words = "a PFM image in colour" if head[1:2] == b"F" else "a PAM image"
        return Kind("unread", f"{words}, which cannot be read here")
    if head.startswith((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf")) and head[2:3].isspace():
        return Kind("image", "a PNM image", "ppm")
    if _is_bare_bitmap(head):
        return Kind("image", "a BMP image without a file header (DIB)", "dib")
    if _is_tga(head):
        return Kind("image", "a TGA image", "tga")
    return _by_text(head)


_BITMAP_HEADERS = frozenset([40, 52, 56, 64, 108, 124])
_BITMAP_DEPTHS = frozenset([1, 4, 8, 16, 24, 32])


def _is_bare_bitmap(head: bytes) -> bool:
    """Whether ``head`` is a BMP's information header, with which .dib files may begin."""
    if len(head) < 40 or int.from_bytes(head[:4], "little") not in _BITMAP_HEADERS:
        return False
    planes, depth = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    compression = int.from_bytes(head[16:20], "little")
    width, height = int.from_bytes(head[4:8], "little"), int.from_bytes(head[8:12], "little", signed=True)
    return planes == 1 and depth in _BITMAP_DEPTHS and compression <= 6 and bool(width and height)


_TGA_DEPTHS = {1: (8,), 2: (15, 16, 24, 32), 3: (1, 8, 16)}  # by the lower bits of the image type


def _is_tga(head: bytes) -> bool:
    """Whether ``head`` can be a TGA's. The format has no signature, so every field has to make sense."""
    if len(head) < 26:
        return False
    mapped, kind = head[1], head[2]
    first, entries = int.from_bytes(head[3:5], "little"), int.from_bytes(head[5:7], "little")
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    depth, alpha, reserved = head[16], head[17] & 15, head[17] & 0xC0
    if kind & ~8 not in _TGA_DEPTHS or depth not in _TGA_DEPTHS[kind & ~8]:
        return False
    if kind & ~8 == 1:
        palette = mapped == 1 and 0 < entries <= 256 and head[7] in (15, 16, 24, 32)
    else:
        palette = mapped == 0 and not (first or entries or head[7])
    return palette and alpha in (0, 1, 8) and not reserved and bool(width and height)


def _media_container(head: bytes) -> Kind:
    """ISO base media: HEIC, AVIF, MP4 and their kin, told apart by their brands."""
    length = max(16, min(int.from_bytes(head[:4], "big"), 256, len(head)))
    major = head[8:12]
    brands = {major} | {head[i : i + 4] for i in range(16, length - 3, 4)}
    if brands & {b"avif", b"avis"}:
        return Kind("image", "an AVIF image", "avif")
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return Kind("image", "a HEIC image", "heic")
    if major == b"crx ":
        return Kind("unread", "a camera raw photo (CR3)")
    if major in (b"M4A ", b"M4B "):
        return Kind("audio", "an M4A sound file")
    if major == b"qt  ":
        return Kind("video", "a QuickTime video")
    return Kind("video", "an MP4 video")


def _by_text(head: bytes) -> Kind:
    if not head:
        return Kind("other", "empty")
    if not head.strip(b"\0"):
        return Kind("other", "nothing but zero bytes")
    text = _as_text(head)
    if text is None:
        if any(head[at : at + 2 * step + 1 : step] == b"GGG" for at, step in _TRANSPORT_PACKETS):
            return Kind("video", "an MPEG transport stream")
        return Kind("other", "bytes of no known kind")
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return Kind("text", "a web page (HTML)")
    if start.startswith(("<svg", "<?xml", "<!--", "<!doctype svg")) and "<svg" in start:
        return Kind("document", "an SVG drawing")
    if start.startswith("<?xml"):
        return Kind("text", "an XML text")
    if start.startswith(("version https://git-lfs", "version http://git-lfs")):
        return Kind("text", "a Git LFS pointer")
    if start.startswith(("{", "[")):
        return Kind("text", "a JSON text")
    return Kind("text", "plain text")


def _as_text(head: bytes) -> str | None:
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    for cut in range(4):  # the head may end within a character
        try:
            text = head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if any(c < " " and c not in "\t\n\r\f\x1b" for c in text) else text
    return None


_TRANSPORT_PACKETS = ((0, 188), (4, 192))  # where the first sync byte stands, and the next ones
_OGG_CODECS = (b"\x80theora", b"OVP80\1")
_OGG_SOUND, _OGG_VIDEO = Kind("audio", "an Ogg sound file"), Kind("video", "an Ogg video")
_RIFF = {
    b"WEBP": Kind("image", "a WebP image", "webp"),
    b"AVI ": Kind("video", "an AVI video"),
    b"WAVE": Kind("audio", "a WAV sound file"),
}
_H264 = Kind("video", "a raw H.264 stream")
_TIFF = Kind("image", "a TIFF image", "tiff")
_JPEG_2000 = Kind("image", "a JPEG 2000 image", "jp2")
_ZIP = Kind("archive", "a ZIP archive (or an office document)")
_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\xff\xd8\xff", Kind("image", "a JPEG image", "jpeg")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("image", "a PNG image", "png")),
    (0, b"GIF89a", Kind("image", "a GIF image", "gif")),
    (0, b"GIF87a", Kind("image", "a GIF image", "gif")),
    (0, b"BM", Kind("image", "a BMP image", "bmp")),
    (8, b"CR\x02", Kind("unread", "a camera raw photo (CR2)")),
    (0, b"II*\0", _TIFF),
    (0, b"MM\0*", _TIFF),
    (0, b"II+\0", _TIFF),
    (0, b"MM\0+", _TIFF),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", _JPEG_2000),
    (0, b"\xff\x4f\xff\x51", _JPEG_2000),
    (0, b"\0\0\1\0", Kind("image", "an icon", "ico")),
    (0, b"8BPS", Kind("image", "a Photoshop document", "psd")),
    (0, b"FUJIFILMCCD-RAW", Kind("unread", "a camera raw photo (RAF)")),
    (0, b"IIRO", Kind("unread", "a camera raw photo (ORF)")),
    (0, b"IIU\0", Kind("unread", "a camera raw photo (RW2)")),
    (0, b"\xff\x0a", Kind("unread", "a JPEG XL image, which cannot be read here")),
    (0, b"\0\0\0\x0cJXL ", Kind("unread", "a JPEG XL image, which cannot be read here")),
    (0, b"%PDF-", Kind("document", "a PDF document")),
    (0, b"%!PS", Kind("document", "a PostScript document")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("document", "an office document")),
    (0, b"{\\rtf", Kind("document", "an RTF document")),
    (4, b"moov", Kind("video", "a QuickTime video")),
    (4, b"mdat", Kind("video", "a QuickTime video")),
    (4, b"wide", Kind("video", "a QuickTime video")),
    (4, b"free", Kind("video", "an MP4 video")),
    (4, b"skip", Kind("video", "an MP4 video")),
    (0, b"DKIF\0\0", Kind("video", "an IVF video")),
    (0, b"\x06\x0e\x2b\x34\x02\x05\1\1\x0d\1\2\1\1\2", Kind("video", "an MXF video")),
    (0, b"nut/multimedia container\0", Kind("video", "a NUT video")),
    (0, b"YUV4MPEG2 ", Kind("video", "a YUV4MPEG2 video")),
    (0, b".RMF\0\0", Kind("video", "a RealMedia video")),
    (0, b"\0\0\0\1\x67", _H264),
    (0, b"\0\0\0\1\x27", _H264),
    (0, b"\0\0\0\1\t\x10", _H264),
    (0, b"\0\0\0\1\t\xf0", _H264),
    (0, b"\0\0\0\1\x40\1", Kind("video", "a raw HEVC stream")),
    (0, b"\x1a\x45\xdf\xa3", Kind("video", "a Matroska or WebM video")),
    (0, b"FLV\1", Kind("video", "an FLV video")),
    (0, b"\0\0\1\xba", Kind("video", "an MPEG video")),
    (0, b"\0\0\1\xb3", Kind("video", "an MPEG video")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("video", "a Windows Media video")),
    (0, b"ID3", Kind("audio", "an MP3 sound file")),
    (0, b"fLaC", Kind("audio", "a FLAC sound file")),
    (0, b"PK\3\4", _ZIP),
    (0, b"PK\5\6", _ZIP),
    (0, b"\x1f\x8b", Kind("archive", "a gzip archive")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("archive", "a 7-Zip archive")),
    (0, b"Rar!\x1a\7", Kind("archive", "a RAR archive")),
    (257, b"ustar", Kind("archive", "a tar archive")),
    (0, b"SQLite format 3\0", Kind("other", "an SQLite database")),
    (0, b"\x7fELF", Kind("other", "a program")),
    (0, b"MZ", Kind("other", "a program")),
)
