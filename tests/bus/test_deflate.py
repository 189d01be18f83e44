"""permessage-deflate: the negotiation of RFC 7692 section 7, and frames that any inflater reads."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from eventbus.protocol.deflate import TAIL, Compression, Deflate, Offer, negotiate, read
from eventbus.protocol.frames import COMPRESSED, TEXT, Message
from eventbus.server.fields import extensions

PLAIN = Compression(min_size=0)


def offered(*lines: str) -> list[Offer]:
    """What the lines of the header offer."""
    found = extensions(CIMultiDict(("Sec-WebSocket-Extensions", line) for line in lines))
    assert found is not None
    return list(found)


def inflate(frame: bytes, inflater: zlib._Decompress | None = None) -> bytes:
    """The payload of a short or long frame, inflated."""
    assert frame[0] & COMPRESSED
    start = {126: 4, 127: 10}.get(frame[1], 2)
    return (inflater or zlib.decompressobj(-15)).decompress(frame[start:] + TAIL)


@pytest.mark.parametrize(
    ("offer", "parameters"),
    [
        ("permessage-deflate", {}),
        ("Permessage-Deflate ; client_max_window_bits", {"client_max_window_bits": ""}),
        ('permessage-deflate; server_max_window_bits="10"', {"server_max_window_bits": "10"}),
        ("permessage-deflate; client_max_window_bits=9", {"client_max_window_bits": "9"}),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; colour=red", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate; server_max_window_bits=010", {"server_max_window_bits": "010"}),
    ],
)
def test_offers_are_read_to_the_letter(offer: str, parameters: dict[str, str] | None) -> None:
    (only,) = offered(offer)
    assert read(only) == parameters


@pytest.mark.parametrize(
    ("offers", "options", "answer", "bits", "takeover"),
    [
        (
            "permessage-deflate; client_max_window_bits",
            Compression(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            15,
            False,
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            Compression(window_bits=12),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=10",
            10,
            False,
        ),
        ("permessage-deflate", Compression(context_takeover=True), "permessage-deflate", 15, True),
        (
            "permessage-deflate; server_no_context_takeover",
            Compression(context_takeover=True),
            "permessage-deflate; server_no_context_takeover",
            15,
            False,
        ),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            Compression(context_takeover=True),
            "permessage-deflate",
            15,
            True,
        ),
    ],
)
def test_the_first_offer_that_can_be_met_is_accepted(
    offers: str, options: Compression, answer: str, bits: int, takeover: bool
) -> None:
    agreed = negotiate(offered(offers), options)
    assert agreed is not None
    assert agreed[0] == answer
    assert (agreed[1].bits, agreed[1].takeover) == (bits, takeover)


@pytest.mark.parametrize(
    "offers",
    [
        "",
        "foo",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=09",
    ],
)
def test_what_cannot_be_met_leaves_the_messages_as_they_are(offers: str) -> None:
    assert negotiate(offered(offers), Compression()) is None


def test_short_and_long_messages_are_sent_as_they_are() -> None:
    deflate = Deflate(Compression(min_size=3, max_size=5), 15, False)
    assert deflate.encode(TEXT, b"aa") == b"\x81\x02aa"
    assert deflate.encode(TEXT, b"aaaaaa") == b"\x81\x06aaaaaa"
    assert inflate(deflate.encode(TEXT, b"aaa")) == b"aaa"


def test_a_message_is_compressed_once_for_equal_parameters() -> None:
    message = Message("x" * 1000)
    first, second = Deflate(Compression(), 15, False), Deflate(Compression(), 15, False)
    assert message.compressed(first) is message.compressed(second)
    other = message.compressed(Deflate(Compression(), 9, False))
    assert other is not message.compressed(first)
    assert inflate(other) == inflate(message.compressed(first)) == b"x" * 1000


@given(st.lists(st.binary(max_size=2000), max_size=6), st.integers(9, 15), st.booleans())
def test_an_inflater_reads_every_message(payloads: list[bytes], bits: int, takeover: bool) -> None:
    deflate = Deflate(PLAIN, bits, takeover)
    inflater = zlib.decompressobj(-bits)
    for payload in payloads:
        kept = inflater if takeover else zlib.decompressobj(-bits)
        assert inflate(deflate.encode(TEXT, payload), kept) == payload
