"""Losses by socket, channel and reason, in bounded memory."""

from __future__ import annotations

from eventbus.delivery import losses as losses
from eventbus.delivery.losses import OTHER, Losses


def test_losses_are_counted_and_the_last_are_kept_one_by_one() -> None:
    book = Losses()
    book.note("public", "a", "drop-oldest", ["news", None, "news"])
    book.note("public", "b", "gone", [None])
    assert book.totals == {("public", "drop-oldest"): 3, ("public", "gone"): 1}
    assert book.channels == {("public", "news", "drop-oldest"): 2}
    assert [loss[1:] for loss in book.last] == [
        ("public", "a", "news", "drop-oldest", 2),
        ("public", "a", None, "drop-oldest", 1),
        ("public", "b", None, "gone", 1),
    ]


def test_clients_that_make_up_channels_fill_no_memory() -> None:
    book = Losses()
    for number in range(losses.CHANNELS + 50):
        book.note("public", "a", "gone", [f"channel {number}"])
    assert len(book.channels) == losses.CHANNELS + 1
    assert book.channels["public", OTHER, "gone"] == 50
    assert book.totals["public", "gone"] == losses.CHANNELS + 50
    assert len(book.last) == losses.LAST
