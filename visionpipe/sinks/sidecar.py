"""Text and JSON sidecars: one small file an image, and where it goes.

One file name for one source. Two sources that would share one (a.jpg beside a.png) are found
before anything is written, and the second is refused if it is tried all the same.

A sidecar is there whole or not at all, and only for an item that is done; a failed or skipped item
leaves what is there as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from visionpipe.errors import OutputError, ParameterError
from visionpipe.files import output_errors, replace_file
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.sink import Locate, dump, encodable

_FIELDS = ("{stem}", "{name}")


@dataclass(frozen=True, slots=True)
class SidecarNaming:
    """The rule that names sidecars.

    Attributes:
        pattern: the file name, with ``{stem}`` (the source's name without suffix) or ``{name}`` (with it):
            ``{stem}.txt`` is what kohya's trainers expect, ``{name}.txt`` never collides.
        folder: where sidecars go, with the source's folders kept below it; None: beside the source.
        root: what is left out of the source's path below ``folder``.
        locate: from a source to its file; None: the source is a path.
    """

    pattern: str
    folder: Path | None = None
    root: Path | None = None
    locate: Locate | None = None

    def __post_init__(self) -> None:
        if not any(field in self.pattern for field in _FIELDS) or "/" in self.pattern or "\\" in self.pattern:
            raise ParameterError(
                "the naming rule is a file name with {stem} or {name}",
                cure="Such as {stem}.txt.",
                subject=repr(self.pattern),
            )

    def target(self, source: str) -> Path:
        """The sidecar's path.

        Raises:
            OutputError: the source has no file beside which the sidecar could go (scope "item").
        """
        path = _path(source)
        name = file_name(self.pattern, path)
        if self.folder is not None:
            return self.folder / self._below(path).parent / name
        file = self.locate(source) if self.locate else (None if "://" in source else Path(source))
        if file is None:
            raise OutputError(
                "there is no file to put a sidecar beside",
                cure="Give a folder for the sidecars.",
                subject=source,
                code="source_missing",
                scope="item",
            )
        return file.parent / name

    def _below(self, path: PurePosixPath) -> PurePosixPath:
        if self.root is not None:
            root = PurePosixPath(self.root.as_posix())
            if path.is_relative_to(root):
                return path.relative_to(root)
        if path.is_absolute() or ".." in path.parts:
            return PurePosixPath(path.name)
        return path


def file_name(pattern: str, path: PurePosixPath) -> str:
    """The sidecar's file name that ``pattern`` gives the source at ``path``."""
    return pattern.replace("{stem}", path.stem).replace("{name}", path.name)


@dataclass(frozen=True, slots=True)
class Collision:
    """Sources whose sidecars would be one file."""

    target: Path
    sources: tuple[str, ...]


def collisions(sources: Iterable[str], naming: SidecarNaming) -> Iterator[Collision]:
    """Those that would overwrite each other's sidecars, by target."""
    claims: dict[Path, list[str]] = {}
    for source in dict.fromkeys(sources):
        claims.setdefault(naming.target(source), []).append(source)
    for target, claimed in claims.items():
        if len(claimed) > 1:
            yield Collision(target, tuple(claimed))


class Claims:
    """Which source a target belongs to, within one run; sixteen bytes a target are kept, not its name."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}

    def claim(self, target: Path, source: str) -> None:
        """Raises OutputError (scope "item") where the target is another source's."""
        owner = hash(source)
        if self._owners.setdefault(hash(target), owner) != owner:
            raise OutputError(
                f"its sidecar {target} is already that of another item of the same name",
                cure="Choose a naming rule with {name} in place of {stem} (--naming), or rename one of them.",
                subject=source,
                code="collision",
                scope="item",
            )


def _path(source: str) -> PurePosixPath:
    text = unquote(urlsplit(source).path).lstrip("/") if "://" in source else source.replace("\\", "/")
    return PurePosixPath(text)


class SidecarSink:
    """What the kinds of sidecar share: naming, collisions, and writing in one step.

    Args:
        naming: where each sidecar goes.
    """

    keeps_previous = True

    def __init__(self, naming: SidecarNaming) -> None:
        self.naming = naming
        self._claims = Claims()

    def content(self, result: ItemResult, target: Path) -> bytes:
        """The sidecar's bytes; ``target`` may hold an earlier one."""
        raise NotImplementedError

    def write(self, result: ItemResult) -> None:
        if result.outcome is not Outcome.DONE:
            return
        target = self.naming.target(result.source)
        self._claims.claim(target, result.source)
        data = self.content(result, target)
        with output_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, data)

    def flush(self) -> None:
        """Nothing waits: every sidecar is written at once."""

    def close(self) -> None:
        """Nothing waits: every sidecar is written at once."""

    def abort(self) -> None:
        """Sidecars written stay."""


class TextSidecarSink(SidecarSink):
    """The caption alone, as trainers read it: ``a.txt`` beside ``a.jpg``.

    Args:
        folder: where sidecars go; None: beside the images.
        pattern: the naming rule, see :class:`visionpipe.sinks.sidecar.SidecarNaming`.
        root, locate: as there.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str = "{stem}.txt",
        root: Path | None = None,
        locate: Locate | None = None,
    ) -> None:
        super().__init__(SidecarNaming(pattern, Path(folder) if folder else None, root, locate))

    def content(self, result: ItemResult, target: Path) -> bytes:
        return f"{encodable(result.caption or '').strip()}\n".encode()


class JsonSidecarSink(SidecarSink):
    """The whole result, as in a JSONL line: ``a.json`` beside ``a.jpg``.

    Args:
        folder, pattern, root, locate: as for :class:`TextSidecarSink`.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str = "{stem}.json",
        root: Path | None = None,
        locate: Locate | None = None,
    ) -> None:
        super().__init__(SidecarNaming(pattern, Path(folder) if folder else None, root, locate))

    def content(self, result: ItemResult, target: Path) -> bytes:
        return dump(result.to_json(), indent=True) + b"\n"
