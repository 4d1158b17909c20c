"""Portions are as few and as even as can be, and their replies become one."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from visionpipe.reply import Attempt, Reply, merge_replies
from visionpipe.stages.fit import portions
from visionpipe.values import Adjustment, Money, Note, Usage

SHRUNK = Adjustment("resized", "a.jpg", "80x60 -> 40x30")
ONE = Reply(
    "First.",
    "m",
    usage=Usage(10, 1, 2, 0),
    cost=Money(Decimal("0.1"), "CNY"),
    request_id="vp-1",
    reasoning="Hm.",
    adjustments=(SHRUNK,),
    notes=(Note("truncated", "cut"),),
    attempts=(Attempt("vp-0", 0.1, "1302"), Attempt("vp-1", 0.1)),
)
TWO = Reply(
    "Second.",
    "m",
    usage=Usage(20, 2),
    cost=Money(Decimal("0.2"), "CNY"),
    request_id="vp-2",
    finish_reason="stop",
    adjustments=(SHRUNK, Adjustment("sampled", "b.mp4", "8 frames")),
    attempts=(Attempt("vp-2", 0.1),),
)


@given(st.integers(1, 400), st.integers(1, 60))
def test_portions_are_few_even_and_in_order(count: int, most: int) -> None:
    runs = [range(count)[portion] for portion in portions(count, most)]
    assert [n for run in runs for n in run] == list(range(count))
    sizes = [len(run) for run in runs]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert (len(runs) - 1) * most < count


def test_one_reply_is_itself() -> None:
    assert merge_replies([ONE]) is ONE


def test_texts_are_joined_and_figures_summed() -> None:
    merged = merge_replies([ONE, TWO])
    assert (merged.text, merged.reasoning) == ("First.\n\nSecond.", "Hm.")
    assert merged.usage == Usage(30, 3, 2, 0)
    assert merged.cost == Money(Decimal("0.3"), "CNY")
    assert [a.kind for a in merged.adjustments] == ["resized", "sampled"]
    assert [n.kind for n in merged.notes] == ["truncated"]
    assert [a.request_id for a in merged.attempts] == ["vp-0", "vp-1", "vp-2"]
    assert (merged.request_id, merged.finish_reason) == ("vp-2", "stop")


def test_a_part_never_looks_like_the_whole() -> None:
    unknown = Reply("Third.", "m")
    for order in ([unknown, ONE, TWO], [ONE, unknown, TWO], [ONE, TWO, unknown]):
        merged = merge_replies(order)
        assert (merged.usage, merged.cost) == (None, None)
