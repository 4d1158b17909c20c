"""Anything that is an image, made into an Image value: paths, bytes, files, pixels, links, base64.

Text is base64 only when it decodes to an image or could be nothing else; all other text is taken
for a path.

A source is told by what it holds, never by its name, and bytes that look right from end to end
are kept as they lie, undecoded. Only where the header or the end leaves a doubt is the picture decoded once,
so that a broken file is found here and not by the service.
"""

from __future__ import annotations

import binascii
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from visionpipe.errors import BadImageError, ParameterError, UnreadableSourceError
from visionpipe.files import absolute, content_of, open_regular, opened, read_all, read_content, unreadable
from visionpipe.files.stores import open_place, scheme_of
from visionpipe.images.headers import END_OF_IMAGE, Header
from visionpipe.images.metadata import TRUNCATED_CURE
from visionpipe.images.sniff import (
    HEAD_BYTES,
    IMAGE_SUFFIXES,
    SNIFFED,
    Kind,
    is_start_of_image,
    kind_of,
    read_header,
)
from visionpipe.media import Content, FileContent, Image, LinkedImage, MemoryContent
from visionpipe.values import Adjustment

if TYPE_CHECKING:
    import numpy
    import PIL.Image


_ALPHABET = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SHORTEST = 32  # characters; the smallest images are longer
_SURELY_NO_PATH = 512
_URL_SAFE = str.maketrans("-_", "+/")


def from_data_uri(uri: str, name: str) -> bytes:
    """The bytes in a ``data:`` URI, base64 or percent-encoded.

    Raises:
        BadImageError: it has no data part, or that is no base64.
    """
    head, comma, payload = uri.partition(",")
    if not comma:
        raise BadImageError(
            "the data URI has no comma, so no data",
            cure="Write it as data:image/png;base64,...",
            subject=name,
        )
    plain = unquote_to_bytes(payload) if "%" in payload else payload.encode("utf-8", "replace")
    if not head.lower().rstrip().endswith(";base64"):
        return plain
    data = _decode("".join(plain.decode("latin-1").split()))
    if data is None:
        raise BadImageError(
            "the data URI's base64 is damaged", cure="Encode the image again, in full.", subject=name
        )
    return data


def from_bare_base64(text: str) -> bytes | None:
    """The bytes that ``text`` encodes, or None where it is more likely the path of a missing file.

    Raises:
        BadImageError: base64 beyond doubt, but of something that is no image.
    """
    compact = "".join(text.split())
    if len(compact) < _SHORTEST or not _ALPHABET.fullmatch(compact):
        return None
    data = _decode(compact)
    if data is None:
        return None
    kind = kind_of(data[:512])
    if kind.family == "image":
        return data
    if len(compact) < _SURELY_NO_PATH:
        return None
    raise BadImageError(
        f"it is {kind.words}, not an image",
        cure="Encode the image file's own bytes as base64.",
        subject="base64 text",
        code="not_an_image",
    )


def path_of_file_url(url: str) -> str:
    """The path that a ``file:`` URL names on this machine.

    Raises:
        UnreadableSourceError: it names another machine.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnreadableSourceError(
            f"the URL names a file on {parts.netloc}",
            cure="Copy the file to this machine, and give its path.",
            subject=url,
            code="missing",
        )
    return url2pathname(parts.path)


def _decode(text: str) -> bytes | None:
    import pybase64

    text = text.translate(_URL_SAFE).rstrip("=")
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file whose bytes went by just now, so that it is opened again only for what is not in here.

    Attributes:
        path: of the file.
        size, modified_ns: as they were meanwhile, in bytes and since the epoch.
        head, tail: its first and last bytes, at most ``HEAD_BYTES`` and ``TAIL_BYTES``.
    """

    path: str
    size: int
    modified_ns: int
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the file's end.

        Raises:
            UnreadableSourceError: the file ``vanished``, ``changed``, or cannot be read.
        """
        from_end = self.size - offset
        if from_end <= len(self.tail):
            return self.tail[len(self.tail) - from_end :][:length]
        with opened(FileContent(self.path, self.size, self.modified_ns)) as file:
            file.seek(offset)
            return file.read(length)


TAIL_BYTES = 16

ChannelOrder: TypeAlias = Literal["rgb", "bgr"]
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | PIL.Image.Image"
    " | numpy.ndarray[Any, Any] | Image | LinkedImage"
)
"""What ``load_image`` makes an image of."""

_DOCUMENTS = re.compile(
    r"\.(pdf|docx?|docm|odt|rtf|xls[xm]?|ods|csv|pptx?|odp|epub|txt|md|jsonl?|xml|html?)$", re.IGNORECASE
)


MAX_PIXELS = 178_956_970
"""Above this many pixels a picture counts as a decompression bomb; the figure is Pillow's."""

MAX_SCALED_PIXELS = 4 * MAX_PIXELS
"""The same for JPEG whose lines follow each other, as cameras write it: decoded at an eighth of its size at
the least, it takes an eighth of the memory a side, so the 200 megapixels of a phone are no bomb."""

MAX_FILE_BYTES = 2 << 30
"""A larger file is refused before it is read: no picture within the limits of pixels needs so much."""

IN_MEMORY_BYTES = 1 << 20
"""Files up to this size are read once and kept, unless told otherwise; larger ones wait on disk."""


def load_image(
    source: ImageSource,
    *,
    name: str | None = None,
    channel_order: ChannelOrder = "rgb",
    max_pixels: int | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Image | LinkedImage:
    """Make an image value of ``source``, decoding nothing that looks right.

    Args:
        source: a path; bytes; a file open for reading bytes (read from where it stands); a Pillow image;
            a numpy array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) and type bool, uint8, uint16
            or float in 0..1; an http(s) URL; a data URI; bare base64 text; or an image value, returned as
            it is. A URL is not fetched: it becomes a LinkedImage.
        name: what errors and adjustments call it; the path or a word for the kind of source if not given.
        channel_order: the order of an array's colours, "rgb" or "bgr" (OpenCV's).
        max_pixels: width x height above which the source is refused as a decompression bomb; if None,
            ``MAX_PIXELS``, and ``MAX_SCALED_PIXELS`` for JPEG that can be decoded at a fraction.
        in_memory_bytes: files up to this size are read once and kept; larger ones stay on disk.

    Raises:
        UnreadableSourceError: missing, permission, is_a_folder, special_file, unreadable.
        BadImageError: empty, truncated, corrupt, not_an_image, bomb, too_large.
        ParameterError: a source of no such kind, or an array of no such shape or values.
        ConfigurationError: a HEIC photo without the extra ``heif``.
    """
    if channel_order not in ("rgb", "bgr"):
        raise ParameterError(
            f"channel_order is {channel_order!r}", cure='Use "rgb" or "bgr".', subject="channel_order"
        )
    if isinstance(source, str):
        return _from_text(source, name, max_pixels, in_memory_bytes)
    if isinstance(source, os.PathLike):
        path = os.fspath(source)
        return _from_path(path, name or path, max_pixels, in_memory_bytes)
    if isinstance(source, (Image, LinkedImage)):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return image_from_bytes(bytes(source), name or "image bytes", max_pixels)
    if hasattr(source, "read"):
        return _from_file(source, name, max_pixels)
    pillow, numpy_ = sys.modules.get("PIL.Image"), sys.modules.get("numpy")
    if pillow is not None and isinstance(source, pillow.Image):
        from visionpipe.images.encode import encode_picture

        subject = name or getattr(source, "filename", "") or "Pillow image"
        data, change = encode_picture(source, subject)
    elif numpy_ is not None and isinstance(source, numpy_.ndarray):
        from visionpipe.images.encode import encode_array

        subject = name or "array"
        data, change = encode_array(source, channel_order, subject)
    else:
        raise ParameterError(
            f"an object of type {type(source).__name__} is no image source",
            cure="Give a path, bytes, an open file, a Pillow image, an array, a URL, a data URI or base64.",
            subject=name or "source",
        )
    return image_from_bytes(data, subject, max_pixels, change)


def image_seen(
    file: SeenFile, *, max_pixels: int | None = None, in_memory_bytes: int = IN_MEMORY_BYTES
) -> Image:
    """As ``load_image`` of the file's path, mostly without opening it."""
    if file.size <= in_memory_bytes:
        return _from_path(file.path, file.path, max_pixels, in_memory_bytes)
    try:
        header = read_header(file.head, size=file.size, read=file.read_at, name=file.path)
    except OSError as error:
        raise unreadable(error, file.path, file.path) from error
    content = FileContent(absolute(file.path), file.size, file.modified_ns)
    return _image(content, file.head, header, file.path, max_pixels, ())


def image_from_bytes(
    data: bytes, name: str, max_pixels: int | None = None, adjustments: tuple[Adjustment, ...] = ()
) -> Image:
    """The image that ``data`` encodes.

    Raises:
        BadImageError, ConfigurationError: as ``load_image``.
    """
    header = read_header(data, name=name)
    return _image(MemoryContent(data), data, header, name, max_pixels, adjustments)


def verify_image(image: Image) -> None:
    """Decode ``image`` in full.

    Raises:
        BadImageError: truncated or corrupt.
        UnreadableSourceError: its file vanished or changed.
    """
    from visionpipe.images.decode import decode

    decode(image, at_least=(1, 1))  # reads all of a JPEG's pixels, whatever their scale


def _refuse_document(url: str) -> None:
    """A link whose name is a document's would be refused by the service as a broken image."""
    document = _DOCUMENTS.search(urlsplit(url).path)
    if document is not None:
        raise BadImageError(
            f"it is a link to a document ({document.group()}), not an image",
            cure="Export its pages as PNG or JPEG first.",
            subject=url,
            code="not_an_image",
        )


def _from_text(
    text: str, name: str | None, max_pixels: int | None, in_memory_bytes: int
) -> Image | LinkedImage:
    scheme = text[:8].lower()
    if scheme.startswith(("http://", "https://")):
        _refuse_document(text)
        return LinkedImage(text)
    if scheme.startswith("data:"):
        return image_from_bytes(from_data_uri(text, name or "data URI"), name or "data URI", max_pixels)
    if scheme.startswith("file://"):
        path = path_of_file_url(text)
        return _from_path(path, name or path, max_pixels, in_memory_bytes)
    if scheme_of(text):
        return image_from_bytes(_stored(text), name or text, max_pixels)
    try:
        return _from_path(text, name or text, max_pixels, in_memory_bytes)
    except UnreadableSourceError as error:
        if error.code != "missing":
            raise

        data = from_bare_base64(text)
        if data is None:
            raise
    return image_from_bytes(data, name or "base64 text", max_pixels)


def _stored(address: str) -> bytes:
    """A file of an object store, as far as it can be a picture."""
    store, name = open_place(address)
    with store.open(name) as file:
        return file.read(MAX_FILE_BYTES + 1)


def _from_path(path: str, name: str, max_pixels: int | None, in_memory_bytes: int) -> Image:
    descriptor, state = open_regular(path, name)
    size = state.st_size
    try:
        if size <= in_memory_bytes:
            data = read_all(descriptor, size)
            header = read_header(data, name=name)
            content: Content = MemoryContent(data)
        else:
            data = os.read(descriptor, HEAD_BYTES)

            def read_at(offset: int, length: int) -> bytes:
                os.lseek(descriptor, offset, os.SEEK_SET)
                return os.read(descriptor, length)

            header = read_header(data, size=size, read=read_at, name=name)
            content = content_of(path, state)
    except OSError as error:
        raise unreadable(error, path, name) from error
    finally:
        os.close(descriptor)
    return _image(content, data, header, name, max_pixels, ())


def _from_file(file: object, name: str | None, max_pixels: int | None) -> Image:
    stated = getattr(file, "name", None)
    subject = name or (stated if isinstance(stated, str) else "open file")
    stream = cast("IO[bytes]", file)
    try:
        place = stream.tell() if stream.seekable() else None
        data = stream.read()
        if place is not None:
            stream.seek(place)
    except OSError as error:
        raise unreadable(error, "", subject) from error
    except ValueError as error:
        raise UnreadableSourceError(
            f"the open file cannot be read ({error})",
            cure="Pass it while it is open for reading.",
            subject=subject,
        ) from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ParameterError("the file is open for text", cure='Open it with mode "rb".', subject=subject)
    return image_from_bytes(bytes(data), subject, max_pixels)


def _image(
    content: Content,
    head: bytes,
    header: Header | None,
    name: str,
    max_pixels: int | None,
    adjustments: tuple[Adjustment, ...],
) -> Image:
    format = header.format if header is not None else _foreign_kind(head, content.size, name).format
    if content.size > MAX_FILE_BYTES:
        raise BadImageError(
            f"the file of {content.size:,} bytes is too large for a picture (at most {MAX_FILE_BYTES:,})",
            cure="Leave it out, or save the picture anew at a smaller size.",
            subject=name,
            code="too_large",
        )
    if header is None:
        from visionpipe.images.decode import foreign_header

        header = foreign_header(read_content(content), format, name)
    ceiling = max_pixels or (MAX_SCALED_PIXELS if header.scalable else MAX_PIXELS)
    if header.width * header.height > ceiling:
        raise BadImageError(
            f"it says it is {header.width}x{header.height} pixels, above the ceiling of {ceiling:,}",
            cure="Leave it out if it is not trusted; else raise max_pixels (--max-pixels), or shrink it.",
            subject=name,
            code="bomb",
        )
    if not header.complete:
        _settle_doubt(content, header, name)
    if header.stray_orientation:
        said = f"EXIF orientation {header.stray_orientation} means nothing; taken as upright"
        adjustments = (*adjustments, Adjustment("orientation", name, said))
    return Image(
        name,
        content,
        header.format,
        header.width,
        header.height,
        header.orientation,
        header.colour,
        header.bits,
        header.alpha,
        header.frames,
        adjustments,
        header.wide_gamut,
    )


def _settle_doubt(content: Content, header: Header, name: str) -> None:
    """Decode what the header leaves open, as cheaply as the format allows."""
    from visionpipe.images.decode import decode_bytes

    data = read_content(content)
    # Coded pixels never hold these two bytes, so without them the end is missing, even where zeros that a
    # broken download left would decode.
    if header.format == "jpeg" and data.find(END_OF_IMAGE, header.body) < 0:
        raise BadImageError(
            f"the JPEG is cut off: no end marker in {len(data):,} bytes",
            cure=TRUNCATED_CURE,
            subject=name,
            code="truncated",
        )
    decode_bytes(data, header.format, name, at_least=(1, 1))


def _foreign_kind(head: bytes, size: int, name: str) -> Kind:
    """What a file without a header of ours is, where Pillow can read it.

    Raises:
        BadImageError: empty, truncated or not an image, with a word on what it is instead.
    """
    if not size:
        raise BadImageError(
            "the file is empty",
            cure="Copy or download it again.",
            subject=name,
            code="empty",
        )
    kind = kind_of(head)
    if kind.family == "image" and kind.format not in SNIFFED:
        return kind
    if kind.format in SNIFFED or (size < 12 and is_start_of_image(head)):
        raise BadImageError(
            f"the image is cut off after {size:,} bytes",
            cure=TRUNCATED_CURE,
            subject=name,
            code="truncated",
        )
    suffix = PurePath(name).suffix.lower()
    named = f", although its name ends in {suffix}" if suffix in IMAGE_SUFFIXES else ""
    no_image = "" if kind.family == "unread" else ", not an image"
    raise BadImageError(
        f"it is {kind.words}{no_image}{named}",
        cure=_CURES.get(kind.family, "Leave it out, or give the picture it was made from."),
        subject=name,
        code="not_an_image",
    )


_CURES = {
    "video": "Use the video command or call for clips.",
    "document": "Export its pages as PNG or JPEG first.",
    "archive": "Unpack it first.",
    "unread": "Export it as JPEG, PNG or TIFF first.",
    "text": "Check what wrote it; a failed download often leaves a page of text under a picture's name.",
}
