"""Which files outputs are made of, so that a job's listing can leave them out.

The rule: named before anything is opened, and all of them: the outputs themselves, their drafts, and what a
killed run may have left beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from visionpipe.loaders.own_files import OwnFiles, OwnSidecars
from visionpipe.sinks.files import draft_path, partial_path
from visionpipe.sinks.naming import file_name
from visionpipe.sinks.opening import SIDECARS, SinkOptions, sidecar_pattern, sink_kind


def written_files(specs: Iterable[str], sources: Iterable[str], options: SinkOptions) -> OwnFiles:
    """What the outputs of a job write.

    Args:
        specs: the outputs, as for :func:`visionpipe.sinks.opening.open_sink`.
        sources: what the job reads; sidecars in a folder of their own belong to the images in these.
        options: as for the sinks.

    Raises:
        ParameterError: an output's kind cannot be told.
    """
    roots = tuple(sources)
    own = OwnFiles()
    for spec in specs:
        kind, place = sink_kind(spec)
        path = Path(place)
        if kind in SIDECARS:
            names = partial(_sidecar_names, sidecar_pattern(kind, options))
            own |= OwnFiles(sidecars=[OwnSidecars(names, place or None, roots)])
        elif kind == "webdataset":
            shard = re.compile(rf"\.?{re.escape(path.stem)}-\d{{6,}}\.tar(\.part)?")
            own |= OwnFiles(numbered=[(path.parent, shard)])
        else:
            own |= OwnFiles(file for one in {path, path.resolve()} for file in _with_drafts(kind, one))
    return own


def _with_drafts(kind: str, path: Path) -> Iterator[Path]:
    yield from (path, partial_path(path), draft_path(path))
    if kind == "sqlite":
        yield from (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))


def _sidecar_names(pattern: str, image: str) -> tuple[str, str]:
    name = file_name(pattern, PurePosixPath(image))
    return name, partial_path(Path(name)).name
