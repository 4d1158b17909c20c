"""What arrived: every image, video and file of a request, decoded from its base64 and looked at.

An image is held to its model's record here (form, format, bytes, pixels) and described by what its bytes say,
so that an answer or the log can prove what was sent. What is only a link stays a link.

Tokens are an estimate, the same for the same request: texts 1.5 Chinese characters or 4 others a token
(docs.bigmodel.cn), pictures by the formula in the model's record; where there is none or only a link, 1030,
as in the sample answer on glm-4v-plus-0111's page. What the hosted models really count is not documented.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import pybase64

from visionpipe.errors import BadImageError, FetchError, MediaLimitError
from visionpipe.images.headers import Header
from visionpipe.images.sniff import read_header
from visionpipe.registry.estimates import image_tokens
from visionpipe.registry.records import FileRules, ImageRules, ModelRecord, VideoRules
from visionpipe.sandbox.replies import Refusal

MOST_FILE_BYTES = 50 * 1024 * 1024
"""Bytes of one document; docs.bigmodel.cn, chat completion, 2026-09."""

_MOST_FETCHED = 256 * 1024 * 1024
_FETCH_SECONDS = 60.0

BAD_IMAGE = "image input format or parse error"


@dataclass(frozen=True, slots=True)
class MediaForms:
    """Which forms a dialect takes: bare base64, data URIs, base64 videos, or links only where the
    model's page says so; ``decode``: look at the pixels too; ``fetch``: follow links to images and videos."""

    bare: bool = True
    data_uri: bool = False
    inline_video: bool = False
    url_only: bool = False
    decode: bool = False
    fetch: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One thing that arrived. ``form``: base64, data_uri, url or file_id. Width and height in pixels, size
    in bytes; 0 and an empty hash where there is a link that was not followed."""

    kind: Literal["image", "video", "file"]
    form: str
    format: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    sha256: str = ""
    link: str = ""
    data: bytes = field(default=b"", repr=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "form": self.form,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "size": self.size,
            "sha256": self.sha256,
            "link": self.link,
        }


def receive_image(value: str, rules: ImageRules, forms: MediaForms) -> Received:
    """Take one image as the field ``url`` gives it; Refusal 1210 where the model would not."""
    link = _link(value) if _is_link(value) else ""
    if link and not forms.fetch:
        return Received("image", "url", link=link)
    if forms.url_only and rules.transfer == "url_preferred" and not link:
        raise Refusal("1210", f"{BAD_IMAGE}: this model takes image links only")
    form, data = ("url", _fetched(value)) if link else _decode(value, forms, BAD_IMAGE)
    if rules.max_bytes is not None and len(data) > rules.max_bytes:
        raise Refusal("1210", f"the image has {len(data)} bytes, over {rules.max_bytes}")
    header = _look_at(data, decode=forms.decode)
    if header is None or header.format not in rules.formats:
        raise Refusal("1210", BAD_IMAGE)
    if rules.max_side_px is not None and max(header.width, header.height) > rules.max_side_px:
        raise Refusal("1210", f"the image is {header.width}x{header.height}, over {rules.max_side_px} px")
    return Received(
        "image",
        form,
        format=header.format,
        width=header.width,
        height=header.height,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        link=link,
        data=data,
    )


def receive_video(value: str, rules: VideoRules, forms: MediaForms) -> Received:
    """Take one video; base64 only where the record or a lenient sandbox allows it. Refusal 1210."""
    link = _link(value) if _is_link(value) else ""
    if link and not forms.fetch:
        return Received("video", "url", link=link)
    if not (link or rules.inline or forms.inline_video):
        raise Refusal("1210", "a video is given by its link")
    fault = "video input format or parse error"
    form, data = ("url", _fetched(value)) if link else _decode(value, forms, fault)
    if rules.below_bytes is not None and len(data) >= rules.below_bytes:
        raise Refusal("1210", f"the video has {len(data)} bytes; it must be below {rules.below_bytes}")
    container = _container(data)
    if container not in rules.containers:
        raise Refusal("1210", fault)
    digest = hashlib.sha256(data).hexdigest()
    return Received("video", form, format=container, size=len(data), sha256=digest, link=link, data=data)


def receive_file(value: str, rules: FileRules) -> Received:
    """Take one document, which is given by its link and never as base64. Refusal 1210."""
    if not _is_link(value):
        raise Refusal("1210", "a file is given by its link")
    suffix = urlsplit(value).path.rpartition(".")[2].lower()
    if rules.formats and suffix not in rules.formats:
        raise Refusal("1210", f"the file's type is not one of {', '.join(rules.formats)}")
    return Received("file", "url", format=suffix, link=_link(value))


def receive_document(holder: Mapping[str, Any], rules: FileRules) -> Received:
    """Take one document of the newer form: by ``file_id``, ``file_url``, or ``file_data`` with a data URI.
    Refusal 1210 or 1213."""
    identity, url, inline = (holder.get(name) for name in ("file_id", "file_url", "file_data"))
    if isinstance(identity, str) and identity:
        return Received("file", "file_id", link=identity)
    if isinstance(url, str) and url:
        return receive_file(url, rules)
    if not isinstance(inline, str) or not inline:
        raise Refusal("1213", "file.file_id, file.file_url or file.file_data")
    form, data = _decode(inline, MediaForms(bare=False, data_uri=True), "file input format or parse error")
    if len(data) > MOST_FILE_BYTES:
        raise Refusal("1210", f"the file has {len(data)} bytes, over {MOST_FILE_BYTES}")
    suffix = str(holder.get("filename") or "").rpartition(".")[2].lower()
    digest = hashlib.sha256(data).hexdigest()
    return Received("file", form, format=suffix, size=len(data), sha256=digest, data=data)


def _is_link(value: str) -> bool:
    return value[:8].lower().startswith(("http://", "https://"))


def _link(value: str) -> str:
    """The address as it may be logged: a presigned link's query holds a secret."""
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        raise Refusal("1210", "the link cannot be read")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _fetched(link: str) -> bytes:
    """What lies at the link, on this machine too; Refusal 1210 where nothing can be had."""
    from visionpipe.transport.fetch import fetch_bytes

    try:
        found = fetch_bytes(link, max_bytes=_MOST_FETCHED, timeout_s=_FETCH_SECONDS, allow_private=True)
    except FetchError as problem:
        raise Refusal("1210", f"the link cannot be fetched: {problem.reason}") from problem
    return found.data


def _decode(value: str, forms: MediaForms, fault: str) -> tuple[str, bytes]:
    form = "base64"
    if value.startswith("data:"):
        if not forms.data_uri:
            raise Refusal("1210", f"{fault}: base64 without a data prefix is expected")
        form = "data_uri"
        head, _, value = value.partition(",")
        if not head.endswith(";base64"):
            raise Refusal("1210", f"{fault}: the data URI is not base64")
    elif not forms.bare:
        raise Refusal("1210", f"{fault}: a link or a data URI is expected")
    try:
        data = pybase64.b64decode(value, validate=True)
    except ValueError:
        raise Refusal("1210", f"{fault}: not base64") from None
    if not data:
        raise Refusal("1210", f"{fault}: empty")
    return form, data


def _look_at(data: bytes, *, decode: bool = False) -> Header | None:
    """The facts in an image's header; None where it is no JPEG, PNG, GIF or WebP, or is broken.

    Args:
        data: the whole file.
        decode: decode the pixels too, and answer None where they cannot be.
    """
    try:
        header = read_header(data)
        if header is not None and decode:
            from visionpipe.images.decode import decode_bytes

            decode_bytes(data, header.format, "image")
    except BadImageError:
        return None
    return header


def _container(data: bytes) -> str:
    """The container's short name, by its first bytes."""
    if data[4:8] == b"ftyp":
        return "mov" if data[8:10] == b"qt" else "mp4"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "webm" if b"webm" in data[:64] else "mkv"
    return "avi" if data[:4] == b"RIFF" and data[8:12] == b"AVI " else "other"


PICTURE = 1030
VIDEO = 3000


def text_tokens(text: str) -> int:
    """Estimated tokens of a text; 0 only for an empty one."""
    narrow = len(text) if text.isascii() else sum(map(str.isascii, text))
    return -(-(narrow * 3 + (len(text) - narrow) * 8) // 12)


def media_tokens(media: Iterable[Received], record: ModelRecord) -> tuple[int, int]:
    """Estimated tokens of images and files, and of videos."""
    pictures = videos = 0
    for item in media:
        if item.kind == "video":
            videos += VIDEO
        else:
            pictures += _picture(item, record)
    return pictures, videos


def _picture(item: Received, record: ModelRecord) -> int:
    if not item.width:
        return PICTURE
    try:
        return image_tokens(item.width, item.height, record.tokens) or PICTURE
    except MediaLimitError:  # a ribbon that the published processor refuses; the hosted models do not say
        return PICTURE
