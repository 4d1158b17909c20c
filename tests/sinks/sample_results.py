"""Results of every outcome, with texts that formats trip over, and the images they speak of."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.values import Adjustment, Money, Note, Usage

CAT = ItemResult(
    source="photos/cat.jpg",
    outcome=Outcome.DONE,
    caption='A cat, "asleep" on a <b>mat</b> & a rug.\u2028It purrs.',
    model="glm-4v-flash",
    usage=Usage(1037, 37, 5, 2),
    cost=Money(Decimal("0.00000107"), "CNY"),
    finish_reason="stop",
    adjustments=(Adjustment("resized", "cat.jpg", "4032x3024 -> 2016x1512"),),
    request_id="vp-1",
    attempts=2,
    sha256="ab" * 32,
    seconds=1.25,
)
SEA = ItemResult(
    source="photos/夏天/海.png",
    outcome=Outcome.DONE,
    caption="蓝色的海，海面上有一艘船。\n第二行",
    data={"tags": ["海", "船", "sky & sea"]},
    model="glm-4.6v",
    usage=Usage(900, 20),
    cost=Money(Decimal("0.5"), "USD"),
    finish_reason="length",
    notes=(Note("truncated", "the answer ends at max_tokens"), Note("too_long", "900 characters")),
    request_id="vp-2",
    attempts=1,
    seconds=0.5,
)
COPY = ItemResult(
    source="photos/copy of cat.jpg",
    outcome=Outcome.DONE,
    caption="=1+1 is chalked on a board",
    model="local",
    local=True,
    duplicate_of="photos/cat.jpg",
)
BROKEN = ItemResult(
    source="photos/broken.jpg",
    outcome=Outcome.FAILED,
    attempts=3,
    failure=Failure(
        "ServerError", "1234", "the service failed </script>", "Try again in a moment.", True, "item", "vp-9"
    ),
    seconds=12.0,
)
DONE_BEFORE = ItemResult(
    source="https://example.org/a.jpg?size=2", outcome=Outcome.SKIPPED, reason="sidecar present"
)
RESULTS = (CAT, SEA, COPY, BROKEN, DONE_BEFORE)


def photos(folder: Path) -> Path:
    """A folder with a file for each of the results that are done; the bytes only look like images."""
    for source, content in (
        (CAT.source, b"\xff\xd8cat" + bytes(600)),
        (SEA.source, b"\x89PNGsea"),
        (COPY.source, b"\xff\xd8cat" + bytes(600)),
    ):
        path = folder / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
