"""The queue between threads: bounded, closable, and heard from."""

from __future__ import annotations

import threading

import pytest

from visionpipe.pipeline.channel import Channel, Closed


def test_values_come_in_order_and_in_front() -> None:
    channel: Channel[int] = Channel(5)
    channel.put(1)
    channel.put(2)
    channel.force(0, first=True)
    channel.force(3)
    assert channel.take_all() == [0, 1, 2, 3]
    assert channel.take_now() is None


def test_a_full_channel_waits_for_room() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    waiter = threading.Thread(target=channel.put, args=(2,))
    waiter.start()
    assert channel.take_now() == 1
    waiter.join(10)
    assert channel.take_now() == 2


def test_what_is_in_can_be_taken_after_the_close() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.close()
    assert channel.take_now() == 1
    for attempt in (channel.take_all, channel.take_now):
        with pytest.raises(Closed):
            attempt()
    for put in (channel.put, channel.force, channel.offer):
        with pytest.raises(Closed):
            put(2)


@pytest.mark.parametrize("way", ["put", "take_all"])
def test_a_close_wakes_whoever_waits(way: str) -> None:
    channel: Channel[int] = Channel(1)
    if way == "put":
        channel.put(1)
    woken: list[str] = []

    def work() -> None:
        try:
            if way == "put":
                channel.put(2)
            else:
                getattr(channel, way)()
        except Closed:
            woken.append(way)

    waiter = threading.Thread(target=work)
    waiter.start()
    channel.close()
    waiter.join(10)
    assert woken == [way]


def test_a_drain_takes_everything_out() -> None:
    channel: Channel[int] = Channel(3)
    channel.put(1)
    channel.put(2)
    assert channel.drain() == [1, 2]
    assert channel.take_now() is None


def test_an_offer_is_taken_only_where_there_is_room() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.offer(1)
    assert not channel.offer(2)
    assert channel.take_all() == [1]


def test_changes_are_told() -> None:
    told: list[int] = []
    channel: Channel[int] = Channel(3, on_change=lambda: told.append(1))
    channel.put(1)
    channel.force(2)
    channel.close()
    assert len(told) == 3
