"""Whatever is dropped for a slow client, what it sees was sent: whole, in order, never an older one later."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery.backlog import Backlog, Policy
from eventbus.delivery.flusher import Flusher
from eventbus.delivery.outbox import Outbox
from eventbus.protocol.deflate import TAIL, Compression, Deflate
from eventbus.protocol.frames import COMPRESSED, Message, encode

OPTIONS = Compression(min_size=8, context_takeover=True)
NOTICE = "missed "


class Client:
    """Reads with the inflater of the client's side, as long as it reads."""

    def __init__(self, takeover: bool) -> None:
        self.lost = False
        self.takeover = takeover
        self.inflater = zlib.decompressobj(-15)
        self.received: list[str] = []

    def write(self, data: bytes) -> None:
        while data:
            length, start = data[1], 2
            if length == 126:
                (length,), start = struct.unpack_from("!H", data, 2), 4
            payload = data[start : start + length]
            if data[0] & COMPRESSED:
                inflater = self.inflater if self.takeover else zlib.decompressobj(-15)
                payload = inflater.decompress(payload + TAIL)
            self.received.append(payload.decode())
            data = data[start + length :]

    def waiting(self) -> int:
        return 0

    def take_no_more(self) -> None: ...

    def close(self, code: int, reason: str, seconds: float) -> None: ...

    def abort(self) -> None: ...


class Owner:
    """Counts what is dropped."""

    def __init__(self, policy: Policy, limit: int, told: bool, latest: bool) -> None:
        self.options = policy, limit, told, latest
        self.dropped: Counter[str] = Counter()
        self.closed = False

    def backlog(self) -> Backlog:
        policy, limit, told, latest = self.options
        return Backlog(
            policy,
            limit,
            self.note,
            (lambda number: encode(f"{NOTICE}{number}")) if told else None,
            (lambda channel: channel == "prices") if latest else None,
        )

    def note(self, reason: str, channels: list[str | None]) -> None:
        self.dropped[reason] += len(channels)

    def overflow(self, reason: str) -> None:
        self.closed = True


class Turns(Flusher):
    """A flusher whose turns come when the test says so."""

    def touch(self, outbox: Outbox, published: bool = False) -> None:
        return None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["prices", "news"]), st.sampled_from("abc"), st.integers(1, 60)),
        st.sampled_from(["pause", "resume", "turn"]),
    ),
    max_size=60,
)


@given(
    st.sampled_from(["close", "drop-oldest", "drop-newest"]),
    st.integers(20, 250),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, False, True]),
    STEPS,
)
def test_a_view_is_made_of_what_was_sent(
    policy: Policy,
    limit: int,
    told: bool,
    latest: bool,
    takeover: bool | None,
    steps: list[tuple[str, str, int] | str],
) -> None:
    """`takeover` is None without compression."""
    owner = Owner(policy, limit, told, latest)
    outbox = Outbox(owner, Turns(1_000_000))
    outbox.deflate = None if takeover is None else Deflate(OPTIONS, 15, takeover)
    client = Client(bool(takeover))
    outbox.open(client)
    sent: list[str] = []
    accepted: dict[tuple[str, str], str] = {}
    """The newest of each channel and key that was not dropped as it was sent."""
    for step in steps:
        if step == "pause":
            outbox.pause()
        elif step == "resume":
            outbox.resume()
        elif step == "turn":
            outbox.flush()
        elif not isinstance(step, str):
            channel, key, size = step
            text = f"{len(sent)} {channel} {key} " + "x" * size
            message = Message(text)
            before = owner.dropped["drop-newest"]
            if not outbox.push(
                message.plain if outbox.deflate is None else message.compressed(outbox.deflate),
                (channel, key),
            ):
                break
            sent.append(text)
            if owner.dropped["drop-newest"] == before:
                accepted[channel, key] = text
    outbox.resume()

    notices = [text for text in client.received if text.startswith(NOTICE)]
    received = [text for text in client.received if not text.startswith(NOTICE)]
    places = [sent.index(text) for text in received]
    assert places == sorted(set(places)), "each once, and in order"
    if not owner.closed:
        assert len(sent) == len(received) + owner.dropped.total()
        if told:
            missed = sum(int(text.removeprefix(NOTICE)) for text in notices)
            assert missed == owner.dropped[policy]
        if policy != "drop-oldest":
            view = {(text.split()[1], text.split()[2]): text for text in received}
            assert view == accepted, "a newer one that was dropped doesn't take the older one with it"
