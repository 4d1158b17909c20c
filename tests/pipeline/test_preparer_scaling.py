"""More threads prepare where preparation takes long, and only there."""

from __future__ import annotations

import threading

from visionpipe.pipeline.engine import PreparerScaling


def test_quick_items_need_no_help() -> None:
    help_wanted = PreparerScaling()
    for _ in range(20):
        help_wanted.took(0.001)
    assert not help_wanted.wanted


def test_slow_items_want_help_at_once_and_quick_ones_end_it() -> None:
    help_wanted = PreparerScaling()
    help_wanted.took(0.05)
    assert help_wanted.wanted
    for _ in range(5):
        help_wanted.took(0.001)
    assert help_wanted.wanted
    for _ in range(20):
        help_wanted.took(0.001)
    assert not help_wanted.wanted


def test_one_slow_item_among_quick_ones_changes_nothing() -> None:
    help_wanted = PreparerScaling()
    for _ in range(20):
        help_wanted.took(0.001)
    help_wanted.took(0.02)
    assert not help_wanted.wanted


def test_whoever_waits_is_let_go_at_the_end() -> None:
    help_wanted = PreparerScaling()
    waiting = [threading.Thread(target=help_wanted.wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    help_wanted.release()
    for thread in waiting:
        thread.join(10)
        assert not thread.is_alive()
    help_wanted.took(0.0001)
    assert help_wanted.wanted
