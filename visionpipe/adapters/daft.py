"""A job over a Daft data frame: each process holds one worker.

    from visionpipe.adapters import daft
    daft.caption(frame, vp.Job(vp.presets.alt_text), image=frame["image"], key=frame["path"])

Daft's native runner has no actors, so a gate that its processes share is in Redis. Needs the extra ``daft``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from visionpipe.adapters.columns import results_column
from visionpipe.errors import missing_extra
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.job import Job
from visionpipe.pipeline.rows import RESULT_TYPE

try:
    import daft
except ImportError as error:
    raise missing_extra("this adapter needs Daft", "daft") from error

if TYPE_CHECKING:
    from visionpipe.pipeline.worker import Worker


class Captions:
    """One process's worker, made at its first batch."""

    def __init__(self, job: Job, opened: dict[str, Any], fields: Sequence[str]) -> None:
        self._worker: Worker = job.open(**opened)
        self._fields = fields

    @daft.method.batch(return_dtype=daft.DataType.from_arrow_type(RESULT_TYPE), batch_size=64)  # type: ignore[untyped-decorator]  # it is not there where types are checked
    def of(self, image: Any, key: Any, *fields: Any) -> Any:
        """A result for each row."""
        told = {name: column.to_pylist() for name, column in zip(self._fields, fields, strict=True)}
        return results_column(self._worker, key.to_pylist(), image.to_pylist(), told)


def caption(
    frame: Any,
    job: Job,
    *,
    image: str = "image",
    key: str = "path",
    output: str = "caption",
    fields: Sequence[str] = (),
    processes: int = 2,
    concurrency: int = 16,
    gate: str | None = None,
    budget: Caps | None = None,
    ledger: str | None = None,
) -> Any:
    """The frame with a column of results, of ``RESULT_TYPE``.

    Args:
        frame: a ``daft.DataFrame``.
        job: what is asked about each row; keys come from the processes' environment.
        image: the column of bytes, paths, URLs, or Hugging Face's ``{bytes, path}``.
        key: the column that names the items; stable between runs.
        output: what the new column is called.
        fields: columns for the prompt's template.
        processes: how many ask.
        concurrency: most requests at once in each.
        gate: the address of a shared gate (``redis://host``); None: each process has a limit of its own.
        budget: caps; without a gate each process has them.
        ledger: a directory of parts that remembers what was paid for (``s3://bucket/out/``); None: a batch
            that Daft repeats is asked again.

    Raises:
        ConfigurationError: Daft is not installed.
    """
    opened = {"gate": gate, "budget": budget, "ledger": ledger, "concurrency": concurrency}
    captions = daft.cls(Captions, use_process=True, max_concurrency=processes)(job, opened, tuple(fields))
    columns = [frame[name] for name in (image, key, *fields)]
    return frame.with_column(output, captions.of(*columns))
