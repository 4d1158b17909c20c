"""Threads pass in the order of their numbers, whoever comes first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.pipeline.matching import InOrder


@settings(deadline=None, max_examples=50)
@given(order=st.permutations(range(1, 9)), absent=st.sets(st.integers(1, 8)))
def test_the_order_is_that_of_the_numbers(order: list[int], absent: set[int]) -> None:
    in_order, passed = InOrder(), list[int]()

    def go(number: int) -> None:
        if number not in absent:
            in_order.wait(number)
            passed.append(number)
        in_order.leave(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(go, order))
    assert passed == sorted(set(order) - absent)


def test_leaving_twice_is_leaving_once() -> None:
    in_order = InOrder()
    for number in (2, 1, 1, 2):
        in_order.leave(number)
    in_order.wait(3)
    waiting = threading.Thread(target=in_order.wait, args=(4,))
    waiting.start()
    assert waiting.is_alive()
    in_order.leave(3)
    waiting.join(10)
    assert not waiting.is_alive()
