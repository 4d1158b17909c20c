"""Files that hold many images, and folders of object stores: tar shards as WebDataset writes them, Parquet,
Arrow and Lance tables, ``s3://``, ``gs://``, ``hf://``.

An item is called by its file's address and its own name in it, so that it has one name whatever else is read.
Memory holds one sample, or a few rows, whatever the count. What holds no image is skipped with its reason,
and a file that breaks off says how far it was read.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

import orjson

from visionpipe.errors import ParameterError, UnreadableSourceError, VisionPipeError, missing_extra
from visionpipe.files.stores import Store, open_place, open_store, scheme_of
from visionpipe.images.sniff import IMAGE_SUFFIXES, kind_of
from visionpipe.sources.walking import FailedSource, Found, SkippedSource, Source

TARS = (".tar", ".tar.gz", ".tgz")
TABLES = (".parquet", ".arrow", ".feather")
LANCE = ".lance"
_MANY = (*TARS, *TABLES, LANCE)
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_TEXTS = (".txt", ".caption", ".cls")
_LARGEST = 1 << 30
_ROWS = 16
_IMAGE_COLUMNS = ("image", "img", "picture", "photo", "jpg", "png", "webp", "bytes", "image_bytes")
_PATH_COLUMNS = ("path", "file", "url", "image_path", "image_url", "file_name", "filename")


@dataclass(frozen=True, slots=True)
class Unit:
    """One file of many items, or the folder of a store (``name`` is then empty)."""

    address: str
    store: Store
    name: str


def holds_many(spec: str) -> bool:
    """Whether ``spec`` names a file that holds many images, several of them, or a place in a store."""
    return bool(scheme_of(spec)) or spec.lower().rstrip("/").endswith(_MANY)


def units_of(spec: str) -> list[Unit]:
    """The files that ``spec`` stands for: with ``{000..127}`` each of the range, with ``*`` what matches.

    Raises:
        UnreadableSourceError: one of them is not there, or cannot be read; all are looked for.
        ConfigurationError: an extra is not installed.
        ConnectionFailedError: the store is out of reach.
        ParameterError: a range that runs back.
    """
    found: list[Unit] = []
    known: dict[str, set[str]] = {}
    for address in expanded(spec.rstrip("/") if spec.lower().rstrip("/").endswith(LANCE) else spec):
        _refuse_missing(address)
        folder, slash, name = address.rpartition("/")
        folder = folder + slash or "."
        if not address.lower().endswith(_MANY) and not _is_wild(address):
            if address.lower().endswith(tuple(IMAGE_SUFFIXES)):
                store = open_store(folder)
                store.open(name).close()
                found.append(Unit(address, store, name))
                continue
            store = open_store(address)
            if next(store.find(), None) is None:
                raise UnreadableSourceError(
                    "there is nothing there", cure="Check the address.", subject=address, code="missing"
                )
            found.append(Unit(address.rstrip("/"), store, ""))
            continue
        while _is_wild(folder):
            above, _, last = folder.rstrip("/").rpartition("/")
            folder, name = above + "/", f"{last}/{name}"
        store = open_store(folder)
        if _is_wild(name):
            there = (_lance_table(each.name) or each.name for each in store.find())
            matching = [each for each in dict.fromkeys(there) if _matches(each, name)]
            if not matching:
                raise UnreadableSourceError(
                    "the pattern matches no file", cure="Check it.", subject=address, code="missing"
                )
            base = "" if folder == "." else folder
            found += [Unit(base + each, store, each) for each in matching]
            continue
        if address.lower().endswith(LANCE):
            if next(store.find(name), None) is None:
                raise UnreadableSourceError(
                    "there is no such table", cure="Check the address.", subject=address, code="missing"
                )
            found.append(Unit(address, store, name))
            continue
        if folder not in known:
            known[folder] = {each.name for each in store.find()} if scheme_of(folder) else set()
        if scheme_of(folder) and name not in known[folder]:
            raise UnreadableSourceError(
                "there is no such file", cure="Check the address.", subject=address, code="missing"
            )
        if not scheme_of(folder):
            store.open(name).close()
        found.append(Unit(address, store, name))
    return found


def expanded(spec: str) -> list[str]:
    """``spec`` with each number of its range; a local file that is named so is meant itself.

    Raises:
        ParameterError: the range runs back.
    """
    match = _BRACES.search(spec)
    if match is None or (not scheme_of(spec) and Path(spec).exists()):
        return [spec]
    first, last = match.groups()
    if int(first) > int(last):
        raise ParameterError(
            f"the range {match.group()} runs back", cure="Write the lower number first.", subject=spec
        )
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    numbers = (f"{number:0{width}}" for number in range(int(first), int(last) + 1))
    return [
        one for number in numbers for one in expanded(spec[: match.start()] + number + spec[match.end() :])
    ]


def items_of(units: Sequence[Unit], column: str | None = None) -> Iterator[Found]:
    """The items of all units, in their order."""
    for unit in units:
        name = unit.name.lower()
        try:
            if name.endswith(TARS):
                yield from _of_tar(unit)
            elif name.endswith((*TABLES, LANCE)):
                yield from _of_table(unit, column)
            elif name:
                yield Source(unit.address, "", image=_Stored(unit.store, unit.name))
            else:
                yield from _of_folder(unit)
        except VisionPipeError as error:
            if error.scope == "job":
                raise
            yield FailedSource(f"{unit.address}/", error)


def stored(address: str, name: str, fields: Mapping[str, str] | None = None) -> Source | FailedSource:
    """One picture of a store, fetched when it is its turn; what is wrong with it is its own affair."""
    try:
        return Source(name, "", fields or {}, _Stored(*open_place(address)))
    except VisionPipeError as error:
        error.scope = "item"
        return FailedSource(name, error)


def in_shard(name: str, number: int, count: int) -> bool:
    """Whether an item belongs to shard ``number`` (from 0) of ``count``, by a hash of its name."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == number


def _refuse_missing(address: str) -> None:
    """Raises ConfigurationError where what reads a table is not installed."""
    kind = PurePosixPath(address.lower()).suffix
    if kind == LANCE and find_spec("lance") is None:
        raise missing_extra("reading Lance tables needs pylance", "lance", subject=address)
    if kind in TABLES and find_spec("pyarrow") is None:
        raise missing_extra("reading tables needs pyarrow", "parquet", subject=address)


def _lance_table(name: str) -> str | None:
    """The Lance table that a file belongs to."""
    parts = name.split("/")
    ends = [at for at, part in enumerate(parts[:-1], 1) if part.lower().endswith(LANCE)]
    return "/".join(parts[: ends[0]]) if ends else None


def _is_wild(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _matches(name: str, pattern: str) -> bool:
    """As a shell does: ``*`` stays within a folder, ``**`` does not."""
    if "**" in pattern:
        return fnmatch.fnmatchcase(name, pattern.replace("**/", "*"))
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


class _Stored:
    """A picture in a store, fetched when it is read."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name

    def seekable(self) -> bool:
        return False

    def read(self) -> bytes:
        return self._store.read(self._name)


def _of_folder(unit: Unit) -> Iterator[Found]:
    for found in unit.store.find():
        name = f"{unit.address}/{found.name}"
        path = PurePosixPath(found.name)
        if any(part.startswith(".") for part in path.parts):
            yield SkippedSource(name, "hidden")
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            yield SkippedSource(name, "not an image", "told by its name")
        else:
            yield Source(name, name, {}, _Stored(unit.store, found.name), found.version or None)


class _Member(tarfile.TarInfo):
    """Notes the mark of an archive's end, without which it was cut off, though between two members."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if "end of file" in str(error):
                tarfile_.ended = True  # type: ignore[attr-defined]
            raise


def _of_tar(unit: Unit) -> Iterator[Found]:
    """Samples are members in a row with one name up to the first dot; ``.txt`` and ``.json`` beside a picture
    are its fields."""
    key, members = "", list[tuple[str, bytes | VisionPipeError]]()
    try:
        for member, data in members_of(unit):
            if data is None:
                continue
            folder, _, last = member.name.rpartition("/")
            sample = f"{folder}/{last.partition('.')[0]}"
            if sample != key:
                yield from _sample(unit, members)
                key, members = sample, []
            members.append((member.name, data))
    except UnreadableSourceError:
        yield from _sample(unit, members)
        raise
    yield from _sample(unit, members)


def members_of(unit: Unit) -> Iterator[tuple[tarfile.TarInfo, bytes | VisionPipeError | None]]:
    """A tar's members, one in memory at a time, and what files hold; None for what is no file.

    Raises:
        UnreadableSourceError: it breaks off.
    """
    read = 0
    with unit.store.open(unit.name) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # else the list grows with the tar
                    data = _member(archive, member) if member.isfile() else None
                    yield member, data
                    read += 1
                if not getattr(archive, "ended", False):
                    raise tarfile.ReadError("the mark of its end is missing")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UnreadableSourceError(
                f"the shard breaks off after {read} files ({error})",
                cure="Write or copy it again; what comes after is not known.",
                subject=unit.address,
                code="truncated",
            ) from error


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | VisionPipeError:
    if member.size > _LARGEST:
        return UnreadableSourceError(
            f"the file of {member.size:,} bytes is too large for a picture",
            cure="Leave it out.",
            subject=member.name,
        )
    found = archive.extractfile(member)
    data = found.read() if found is not None else b""
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data


def _sample(unit: Unit, members: Sequence[tuple[str, bytes | VisionPipeError]]) -> Iterator[Found]:
    fields: dict[str, str] = {}
    pictures: list[tuple[str, bytes | VisionPipeError]] = []
    others: list[str] = []
    for name, data in members:
        suffix = PurePosixPath(name).suffix.lower()
        if isinstance(data, VisionPipeError):
            pictures.append((name, data))
        elif suffix in _TEXTS:
            fields[suffix[1:]] = data.decode("utf-8", "replace").strip()
        elif suffix == ".json":
            fields |= _json_fields(data)
        elif is_picture(name, data):
            pictures.append((name, data))
        else:
            others.append(name)
    for name, data in pictures:
        called = f"{unit.address}/{name}"
        if isinstance(data, VisionPipeError):
            yield FailedSource(called, data)
        else:
            yield Source(called, "", fields, data)
    if members and not pictures:
        yield SkippedSource(f"{unit.address}/{(others or [members[0][0]])[0]}", "not an image")


def is_picture(name: str, data: bytes) -> bool:
    """Whether a member of a shard is taken for a picture."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or kind_of(data[:512]).family == "image"


def _json_fields(data: bytes) -> dict[str, str]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return _shown(found) if isinstance(found, dict) else {}


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(name): value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        for name, value in row.items()
        if value is not None and not isinstance(value, bytes)
    }


def _of_table(unit: Unit, column: str | None) -> Iterator[Found]:
    number = 0
    with table_batches(unit) as (batches, schema):
        chosen = _image_column(schema, column, unit.address)
        for batch in batches:
            for row in batch.to_pylist():
                yield _of_row(unit, f"{unit.address}/{number:08}", row, chosen)
                number += 1


@contextmanager
def table_batches(unit: Unit) -> Iterator[tuple[Iterator[Any], Any]]:
    """A table's rows, a few in memory at a time, and its schema.

    Raises:
        UnreadableSourceError: it breaks off.
    """
    import pyarrow as pa

    number = 0

    def counted(batches: Iterator[Any]) -> Iterator[Any]:
        nonlocal number
        for batch in batches:
            number += batch.num_rows
            yield batch

    with ExitStack() as closing:
        try:
            if unit.name.lower().endswith(LANCE):
                import lance

                table = lance.dataset(unit.address)
                scanner = table.scanner(batch_size=_ROWS, batch_readahead=2, fragment_readahead=1)
                batches, schema = scanner.to_batches(), table.schema
            else:
                batches, schema = _batches(unit, closing.enter_context(unit.store.open(unit.name)))
            yield counted(batches), schema
        except (pa.ArrowException, OSError) as error:  # Lance's are OSErrors, too
            raise UnreadableSourceError(
                f"the table cannot be read after {number} rows ({error})",
                cure="Write or copy it again; what comes after is not known.",
                subject=unit.address,
                code="truncated",
            ) from error


def _batches(unit: Unit, file: IO[bytes]) -> tuple[Iterator[Any], Any]:
    import pyarrow as pa

    if unit.name.lower().endswith(".parquet"):
        import pyarrow.parquet as pq

        table = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        return table.iter_batches(batch_size=_ROWS), table.schema_arrow
    head = file.read(6)
    file.seek(0)
    if head == b"ARROW1":
        reader = pa.ipc.open_file(file)
        held = (reader.get_batch(n) for n in range(reader.num_record_batches))
        return (part for batch in held for part in _parts(batch)), reader.schema
    stream = pa.ipc.open_stream(file)
    return (part for batch in stream for part in _parts(batch)), stream.schema


def _parts(batch: Any) -> Iterator[Any]:
    for begin in range(0, batch.num_rows, _ROWS):
        yield batch.slice(begin, _ROWS)


def _image_column(schema: Any, column: str | None, address: str) -> str:
    """The column that holds the pictures: the one named, else one of bytes or of Hugging Face's struct of
    bytes and path, else one of paths or URLs."""
    import pyarrow.types as types

    names = list(schema.names)
    if column is not None and column in names:
        return column

    def is_bytes(name: str) -> bool:
        kind = schema.field(name).type
        if types.is_struct(kind):
            return {kind.field(n).name for n in range(kind.num_fields)} >= {"bytes", "path"}
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    if column is None:
        order = sorted(names, key=lambda name: name.lower() not in _IMAGE_COLUMNS)
        held = [name for name in order if is_bytes(name)]
        paths = [name for wanted in _PATH_COLUMNS for name in names if name.lower() == wanted]
        if held or paths:
            return str((held + paths)[0])
    raise ParameterError(
        f"no column {column or 'of images'}; it has {', '.join(names) or 'none'}",
        cure="Say which column holds the bytes, paths or URLs (--column).",
        subject=address,
        scope="job",
    )


def _of_row(unit: Unit, name: str, row: dict[str, Any], column: str) -> Found:
    value = row.pop(column)
    fields = _shown({key: each for key, each in row.items() if not isinstance(each, dict)})
    path = None
    if isinstance(value, dict):
        path, value = value.get("path"), value.get("bytes")
        if path and "path" not in fields:
            fields["path"] = path
    if isinstance(value, str):
        path, value = value, None
    if value is not None:
        return Source(name, "", fields, bytes(value))
    if not path:
        return SkippedSource(name, "not an image", "the row has no image")
    if "://" in path or path.startswith("/"):
        if scheme_of(path):
            return stored(path, name, fields)
        return Source(name, path, fields)
    folder = unit.name.rpartition("/")[0]
    return Source(name, "", fields, _Stored(unit.store, f"{folder}/{path}" if folder else path))
