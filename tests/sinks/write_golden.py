"""The golden files: what each sink makes of the sample results, and what tables make of structured data.
``python -m tests.sinks.write_golden`` makes them anew; read the difference before it is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.sinks.sample_results import RESULTS, photos
from tests.sinks.structured_results import SCHEMA, STRUCTURED
from visionpipe.sinks.csv import CsvSink
from visionpipe.sinks.html import HtmlSink
from visionpipe.sinks.jsonl import JsonlSink
from visionpipe.sinks.parquet import ParquetSink
from visionpipe.sinks.sidecar import JsonSidecarSink, TextSidecarSink
from visionpipe.sinks.sink import Sink, export
from visionpipe.sinks.sqlite import SqliteSink
from visionpipe.sinks.webdataset import WebDatasetSink
from visionpipe.sinks.xmp import XmpSidecarSink

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_TABLES = Path(__file__).parent / "golden_tables"


def fixed_thumbnail(path: Path, pixels: int) -> bytes:
    """Not an image: what an encoder makes differs from release to release."""
    return f"{path.name} {pixels}".encode()


MAKERS: dict[str, Callable[[Path, Path], Sink]] = {
    "jsonl": lambda out, _: JsonlSink(out / "out.jsonl"),
    "csv": lambda out, _: CsvSink(out / "out.csv", spreadsheet=False),
    "parquet": lambda out, _: ParquetSink(out / "out.parquet"),
    "sqlite": lambda out, _: SqliteSink(out / "out.sqlite"),
    "html": lambda out, photos: HtmlSink(
        out / "out.html", locate=lambda source: photos / source, thumbnailer=fixed_thumbnail
    ),
    "webdataset": lambda out, photos: WebDatasetSink(out / "out.tar", locate=lambda source: photos / source),
    "txt": lambda out, _: TextSidecarSink(out / "txt"),
    "json": lambda out, _: JsonSidecarSink(out / "json"),
    "xmp": lambda out, _: XmpSidecarSink(out / "xmp"),
}
TABLES: dict[str, Callable[[Path], Sink]] = {
    "csv": lambda out: CsvSink(out / "out.csv", spreadsheet=False, schema=SCHEMA),
    "parquet": lambda out: ParquetSink(out / "out.parquet", schema=SCHEMA),
    "sqlite": lambda out: SqliteSink(out / "out.sqlite", schema=SCHEMA),
}


def make(kind: str, folder: Path) -> Path:
    """Write the sample results with one sink, as if from inside ``folder``; returns where its output is."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    written, refused = export(RESULTS, MAKERS[kind](out, photos(folder)))
    assert (written, refused) == (len(RESULTS), ())
    return out


def make_table(kind: str, out: Path) -> Path:
    """Write the structured results with one sink into ``out``; returns the file."""
    out.mkdir(exist_ok=True)
    written, refused = export(STRUCTURED, TABLES[kind](out))
    assert (written, refused) == (len(STRUCTURED), ())
    return out / f"out.{kind}"


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in MAKERS:
            out = make(kind, Path(folder))
        shutil.copytree(out, GOLDEN)
    shutil.rmtree(GOLDEN_TABLES, ignore_errors=True)
    for kind in TABLES:
        make_table(kind, GOLDEN_TABLES)


if __name__ == "__main__":
    main()
