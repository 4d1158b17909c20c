"""Putting media where the service can fetch them: an object store, a folder behind a web server, or
whatever the caller's own function does.

A file is named by its content, so the same one is never uploaded twice; it is read in pieces and
never held whole; what was put there can be taken away again.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol
from urllib.parse import quote

from visionpipe.errors import (
    ConfigurationError,
    ParameterError,
    VisionPipeError,
)
from visionpipe.files import opened, sha256_of_content, whole_file
from visionpipe.files.stores import files_of, forget, store_error
from visionpipe.media import Content, FileContent, Image, LinkedImage, LinkedVideo, Video

_PIECE = 8 * 1024**2
_NAMED_BY_CONTENT = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{2,4}")
_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}


@dataclass(frozen=True, slots=True)
class Published:
    """Where something can be fetched. ``key`` is what it is called in the store (empty: it was there
    already and is not ours to remove); ``uploaded`` is False where nothing had to be sent;
    ``expires_s`` are the seconds that the URL holds (None: for good)."""

    url: str
    key: str
    size: int
    uploaded: bool
    expires_s: float | None = None


class Publisher(Protocol):
    """Makes a URL of content. ``suffix`` is the file's, without a dot."""

    def publish(self, content: Content, suffix: str) -> Published: ...
    def remove(self, published: Published) -> None: ...


def publish_video(video: Video, publisher: Publisher) -> LinkedVideo:
    """The clip as a link that the service can fetch."""
    return LinkedVideo(publisher.publish(video.content, video.container).url, video.size)


def publish_image(image: Image, publisher: Publisher) -> LinkedImage:
    """The image as a link that the service can fetch."""
    return LinkedImage(publisher.publish(image.content, _SUFFIXES.get(image.format, image.format)).url)


class StorePublisher:
    """An object store that fsspec knows: S3 and its kin, Google's, Azure's, and others.

    Args:
        target: bucket and prefix as a URL, such as ``s3://bucket/prefix``.
        expires_s: seconds that a presigned URL holds.
        base_url: where the prefix can be fetched without signing; None: URLs are presigned.
        options: for the file system, such as ``key``, ``secret`` and ``endpoint_url``; credentials come
            from the store's own environment variables where none are given.
        clock: seconds since 1970, for ``sweep``.

    Raises:
        ConfigurationError: the extra is not installed, or the store is not known.
        ParameterError: ``expires_s`` is under 1.
    """

    def __init__(
        self,
        target: str,
        *,
        expires_s: float = 3600,
        base_url: str | None = None,
        options: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if expires_s < 1:
            raise ParameterError(
                f"{expires_s} s is no time to fetch in", cure="Give 1 or more.", subject="expires_s"
            )
        self._store, self._prefix = files_of(target, options or {}, "publish")
        self._target = target
        self._expires_s = expires_s
        self._base_url = base_url
        self._clock = clock

    def publish(self, content: Content, suffix: str) -> Published:
        """Uploads the content unless the store has it already.

        Raises:
            ConfigurationError: no right, no such bucket, or the store cannot presign.
            ConnectionFailedError: the store is out of reach; may succeed later.
            UnreadableSourceError: the file is gone or has changed since it was loaded.
        """
        name = f"{sha256_of_content(content)}.{suffix}"
        key = f"{self._prefix.rstrip('/')}/{name}"
        with self._translated():
            uploaded = self._size(key) != content.size
            if uploaded:
                with opened(content) as source, self._store.open(key, "wb", block_size=_PIECE) as out:
                    shutil.copyfileobj(source, out, _PIECE)
            if self._base_url is not None:
                return Published(f"{self._base_url.rstrip('/')}/{name}", key, content.size, uploaded)
            url = self._store.sign(key, expiration=int(self._expires_s))
        return Published(str(url), key, content.size, uploaded, self._expires_s)

    def remove(self, published: Published) -> None:
        """Takes away what was published; nothing happens where it is gone already."""
        with self._translated():
            if published.key and self._size(published.key) is not None:
                self._store.rm_file(published.key)

    def sweep(self, older_than_s: float) -> int:
        """Takes away everything under the prefix that is named by its content and older than so many
        seconds; returns how many. Other people's files are left alone."""
        removed = 0
        with self._translated():
            self._store.invalidate_cache()
            for key in self._store.find(self._prefix):
                old = self._clock() - self._store.modified(key).timestamp() > older_than_s
                if old and _NAMED_BY_CONTENT.fullmatch(PurePosixPath(key).name):
                    self._store.rm_file(key)
                    removed += 1
        return removed

    def _size(self, key: str) -> int | None:
        self._store.invalidate_cache()
        try:
            return int(self._store.info(key)["size"])
        except FileNotFoundError:
            return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as problem:
            raise ConfigurationError(
                "this store makes no presigned URLs",
                cure="Give base_url, where its files can be fetched.",
                subject=self._target,
            ) from problem
        except (PermissionError, FileNotFoundError) as problem:
            forget(self._store)
            raise ConfigurationError(
                f"the store refuses ({problem})",
                cure="Check the bucket's name, the credentials and their rights.",
                subject=self._target,
            ) from problem
        except VisionPipeError:
            raise
        except (
            Exception
        ) as problem:  # every store's library has its own kinds, and this one does not know them
            raise store_error(problem, self._store, self._target) from problem


class FolderPublisher:
    """A local folder that a web server shows at ``base_url``.

    What lies in the folder is linked where it is; anything else is copied there under its content's name.
    """

    def __init__(self, folder: Path, base_url: str) -> None:
        self._folder = folder.resolve()
        self._base_url = base_url.rstrip("/")

    def publish(self, content: Content, suffix: str) -> Published:
        """Raises UnreadableSourceError where the file is gone or has changed since it was loaded."""
        if isinstance(content, FileContent):
            path = Path(content.path).resolve()
            if path.is_relative_to(self._folder):
                relative = path.relative_to(self._folder).as_posix()
                return Published(f"{self._base_url}/{quote(relative)}", "", content.size, uploaded=False)
        name = f"{sha256_of_content(content)}.{suffix}"
        target = self._folder / name
        missing = not target.exists() or target.stat().st_size != content.size
        if missing:
            with whole_file(target) as draft, opened(content) as source, draft.open("wb") as out:
                shutil.copyfileobj(source, out, _PIECE)
        return Published(f"{self._base_url}/{name}", name, content.size, uploaded=missing)

    def remove(self, published: Published) -> None:
        """Takes away a copy that was made; what lay in the folder by itself stays."""
        if published.key:
            (self._folder / published.key).unlink(missing_ok=True)


class FunctionPublisher:
    """The caller's own way: a function that takes the content open for reading and its suffix, and
    returns a URL."""

    def __init__(self, function: Callable[[IO[bytes], str], str]) -> None:
        self._function = function

    def publish(self, content: Content, suffix: str) -> Published:
        """Raises whatever the function raises."""
        with opened(content) as source:
            return Published(self._function(source, suffix), "", content.size, uploaded=True)

    def remove(self, published: Published) -> None:
        """What the function made is the caller's to remove."""
