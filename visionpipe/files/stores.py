"""A folder on this machine or in an object store, under one face: ``s3://``, ``gs://``, ``hf://`` and what
else fsspec knows. What is put there is there whole or not at all.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from visionpipe.errors import (
    ConfigurationError,
    ConnectionFailedError,
    OutputError,
    UnreadableSourceError,
    VisionPipeError,
    missing_extra,
)
from visionpipe.files.writing import back_up, output_errors, prove_folder, replace_file, whole_file

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LINKS = ("http", "https", "data")
_EXTRAS = {"hf": "hf", "gs": "cloud", "gcs": "cloud", "s3": "cloud", "s3a": "cloud"}
_COMMITS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "hf")
"""Stores in which a file is there when all of it was sent, and not before."""
_PROBE = ".visionpipe-probe"


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of a store: its name below the store's root, its size in bytes, and a text that changes with
    its content (an ETag, or the time of its change)."""

    name: str
    size: int
    version: str


class Store(Protocol):
    """A folder that holds files under names with forward slashes."""

    address: str

    def open(self, name: str) -> IO[bytes]:
        """The file, for reading from its beginning.

        Raises:
            UnreadableSourceError: it is not there, or may not be read.
            ConnectionFailedError: the store is out of reach.
        """
        ...

    def read(self, name: str) -> bytes: ...

    def put(self, name: str, data: bytes, *, new: bool = False) -> bool:
        """Stores ``data`` whole. With ``new``, only where nothing has that name; returns whether it did.

        Raises:
            OutputError: it cannot be stored.
            ConnectionFailedError: the store is out of reach.
        """
        ...

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to write to, of any size, in constant memory: afterwards it is there whole, or, after an
        error, what was there before.

        Raises:
            OutputError: it cannot be stored; also from its ``write``.
            ConnectionFailedError: the store is out of reach; likewise.
        """
        ...

    def back_up(self, name: str) -> str:
        """Keeps a file under another name beside it, too: ``NAME.~1~`` or the next free number."""
        ...

    def find(self, prefix: str = "") -> Iterator[Stored]:
        """Every file below ``prefix``, a folder's in the order of names."""
        ...

    def remove(self, name: str) -> None: ...

    def prove(self) -> None:
        """Makes sure that files can be put here, by one that is gone at once.

        Raises:
            OutputError: they cannot.
            ConnectionFailedError: the store is out of reach.
        """
        ...


def scheme_of(address: str) -> str:
    """The scheme of an object store's address, "" for a path, a ``file:`` URL, or a link."""
    found = _ADDRESS.match(address)
    scheme = found.group(1).lower() if found is not None else ""
    return "" if scheme in _LINKS or scheme == "file" else scheme


def open_store(address: str, options: Mapping[str, Any] | None = None) -> Store:
    """The folder at ``address``.

    Args:
        address: a path, or a URL such as ``s3://bucket/prefix/``.
        options: for the store, such as ``endpoint_url``; credentials come from the store's own environment.

    Raises:
        ConfigurationError: the extra is not installed, or the store is not known.
    """
    if not scheme_of(address):
        return LocalFolder(address)
    files, root = files_of(address, {"use_listings_cache": False, **(options or {})})
    return ObjectStore(address, files, root)


def files_of(address: str, options: Mapping[str, Any], extra: str | None = None) -> tuple[Any, str]:
    """fsspec's file system of an address, and the place in it.

    Args:
        address: a URL such as ``s3://bucket/prefix/``.
        options: for the file system.
        extra: that brings what is needed; default the store's own.

    Raises:
        ConfigurationError: the extra is not installed, or the store is not known.
    """
    scheme = scheme_of(address)
    extra = extra or _EXTRAS.get(scheme, "cloud")
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # it ships no types
    except ImportError as missing:
        raise missing_extra(f"{scheme}:// needs fsspec", extra, subject=address) from missing
    try:
        files, root = url_to_fs(scheme + address[len(scheme) :], **options)
    except ImportError as missing:
        raise missing_extra(f"{scheme}:// needs a package", extra, subject=address) from missing
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"this store cannot be used ({error})",
            cure="Give a path, or an address such as s3://bucket/prefix/.",
            subject=address,
        ) from error
    return files, root


def open_place(address: str) -> tuple[Store, str]:
    """The folder that a file of a store lies in, and the file's name in it.

    Raises:
        ConfigurationError: as for ``open_store``.
    """
    folder, slash, name = address.rpartition("/")
    return open_store(folder + slash), name


class LocalFolder:
    """A folder on this machine, as a ``Store``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._root = Path(address)

    def open(self, name: str) -> IO[bytes]:
        """As ``Store.open``."""
        from visionpipe.files.reading import open_regular

        path = str(self._root / name)
        return os.fdopen(open_regular(path, path)[0], "rb")

    def read(self, name: str) -> bytes:
        """The file's bytes."""
        with self.open(name) as file:
            return file.read()

    def put(self, name: str, data: bytes, *, new: bool = False) -> bool:
        """As ``Store.put``."""
        target = self._root / name
        if not new:
            replace_file(target, data)
            return True
        with output_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".visionpipe-") as draft:
                draft.write(data)
                draft.flush()
                os.fsync(draft.fileno())
                try:
                    os.link(draft.name, target)
                except FileExistsError:
                    return False
        return True

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """As ``Store.writing``."""
        target = self._root / name
        with whole_file(target) as draft:
            with output_errors(target):
                file = draft.open("wb")
            with file:
                yield cast("IO[bytes]", _Checked(file, lambda: output_errors(target)))
                with output_errors(target):
                    file.flush()
                    os.fsync(file.fileno())

    def back_up(self, name: str) -> str:
        """As ``Store.back_up``."""
        return back_up(self._root / name).relative_to(self._root).as_posix()

    def find(self, prefix: str = "") -> Iterator[Stored]:
        """As ``Store.find``."""
        for folder, folders, names in os.walk(self._root / prefix):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if name.startswith("."):
                    continue
                state = path.stat()
                relative = path.relative_to(self._root).as_posix()
                yield Stored(relative, state.st_size, str(state.st_mtime_ns))

    def remove(self, name: str) -> None:
        """Takes a file away; nothing happens where it is gone."""
        path = self._root / name
        with output_errors(path):
            path.unlink(missing_ok=True)

    def prove(self) -> None:
        """As ``Store.prove``."""
        prove_folder(self._root)


class ObjectStore:
    """A prefix of an object store, as a ``Store``.

    Args:
        address: as given, for errors.
        files: fsspec's file system.
        root: the prefix as that knows it.
    """

    def __init__(self, address: str, files: Any, root: str) -> None:
        self.address = address
        self._files = files
        self._root = root.rstrip("/")

    def open(self, name: str) -> IO[bytes]:
        """As ``Store.open``; reads ahead a megabyte at a time."""
        with self._read_errors(name):
            return cast(
                "IO[bytes]",
                self._files.open(self._key(name), "rb", block_size=1 << 20, cache_type="readahead"),
            )

    def read(self, name: str) -> bytes:
        """The file's bytes."""
        with self._read_errors(name):
            return bytes(self._files.cat_file(self._key(name)))

    def put(self, name: str, data: bytes, *, new: bool = False) -> bool:
        """As ``Store.put``."""
        with self._write_errors(name):
            try:
                self._files.pipe_file(self._key(name), data, mode="create" if new else "overwrite")
            except FileExistsError:
                return False
            return True

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """As ``Store.writing``."""
        if scheme_of(self.address) not in _COMMITS:
            with self._drafted(name) as file:
                yield file
            return
        with self._write_errors(name):
            sent = self._files.open(self._key(name), "wb", block_size=8 << 20, autocommit=False)
        try:
            yield cast("IO[bytes]", _Checked(sent, lambda: self._write_errors(name)))
            with self._write_errors(name):
                sent.close()
                sent.commit()
        except BaseException:
            sent.closed = True  # else it is sent when it is collected
            with self._write_errors(name):
                sent.discard()
            raise

    @contextmanager
    def _drafted(self, name: str) -> Iterator[IO[bytes]]:
        folder, slash, last = name.rpartition("/")
        draft = self._key(f"{folder}{slash}.{last}.part")
        try:
            with self._write_errors(name):
                self._files.makedirs(self._key(folder), exist_ok=True)
                sent = self._files.open(draft, "wb")
            with sent:
                yield cast("IO[bytes]", _Checked(sent, lambda: self._write_errors(name)))
            with self._write_errors(name):
                self._files.mv(draft, self._key(name))
        except BaseException:
            with self._write_errors(name):
                if self._files.exists(draft):
                    self._files.rm_file(draft)
            raise

    def back_up(self, name: str) -> str:
        """As ``Store.back_up``."""
        with self._write_errors(name):
            number = 1
            while self._files.exists(self._key(f"{name}.~{number}~")):
                number += 1
            kept = f"{name}.~{number}~"
            self._files.copy(self._key(name), self._key(kept))
            return kept

    def find(self, prefix: str = "") -> Iterator[Stored]:
        """As ``Store.find``."""
        with self._read_errors(prefix):
            folders = [self._key(prefix)]
            while folders:
                try:
                    entries = self._files.ls(folders.pop(), detail=True, refresh=True)
                except FileNotFoundError:
                    continue
                below = sorted(entries, key=lambda entry: str(entry["name"]))
                folders += [entry["name"] for entry in reversed(below) if entry["type"] == "directory"]
                for entry in below:
                    name = str(entry["name"]).removeprefix(self._root).lstrip("/")
                    if entry["type"] == "file" and name and not name.endswith("/"):
                        version = entry.get("ETag") or entry.get("etag") or entry.get("blob_id")
                        version = version or entry.get("mtime") or entry.get("LastModified") or ""
                        yield Stored(name, int(entry["size"] or 0), str(version).strip('"'))

    def remove(self, name: str) -> None:
        """Takes a file away; nothing happens where it is gone."""
        with self._write_errors(name):
            try:
                self._files.rm_file(self._key(name))
            except FileNotFoundError:
                return

    def prove(self) -> None:
        """As ``Store.prove``."""
        name = f"{_PROBE}-{os.urandom(4).hex()}"
        self.put(name, b"visionpipe")
        self.remove(name)

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/") if self._root else name

    @contextmanager
    def _read_errors(self, name: str) -> Iterator[None]:
        subject = f"{self.address.rstrip('/')}/{name}".rstrip("/")
        try:
            yield
        except VisionPipeError:
            raise
        except FileNotFoundError as error:
            raise UnreadableSourceError(
                "there is no such file or bucket", cure="Check the address.", subject=subject, code="missing"
            ) from error
        except PermissionError as error:
            forget(self._files)
            raise UnreadableSourceError(
                f"the store refuses ({error})",
                cure="Check the credentials in the environment, and their rights.",
                subject=subject,
                code="permission",
            ) from error
        except Exception as error:  # every store's library has kinds of its own
            raise store_error(error, self._files, subject) from error

    @contextmanager
    def _write_errors(self, name: str) -> Iterator[None]:
        subject = f"{self.address.rstrip('/')}/{name}"
        try:
            yield
        except VisionPipeError:
            raise
        except (FileNotFoundError, PermissionError) as error:
            forget(self._files)
            raise OutputError(
                f"the store refuses ({error})",
                cure="Check the bucket's name, the credentials and their rights.",
                subject=subject,
            ) from error
        except Exception as error:  # every store's library has kinds of its own
            raise store_error(error, self._files, subject) from error


class _Checked(io.RawIOBase):
    """A file whose writing fails with an error that names it."""

    def __init__(self, file: IO[bytes], errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._errors = file, errors
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        with self._errors():
            self._file.write(view)
        self._written += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._written


def forget(files: Any) -> None:
    """Has the next who opens such a store look at the environment again: fsspec keeps what it has opened,
    with the credentials and the address that it found then."""
    type(files).clear_instance_cache()


def store_error(error: Exception, files: Any, subject: str) -> VisionPipeError:
    """The error for what a store's library raised that is neither a missing file nor a refusal."""
    forget(files)
    if "Credential" in type(error).__name__:
        return ConfigurationError(
            f"the store knows no credentials ({error})",
            cure="Set them in the environment as the store's own tools take them.",
            subject=subject,
        )
    return ConnectionFailedError(
        f"the store is out of reach ({error})", cure="Try again later.", subject=subject
    )
