"""What it costs to keep who listens to what: `uv run python tests/benchmarks/audiences.py`.

10,000 members subscribe to 100 of 100,000 channels each, in random order, always with a str of their own, as
it comes from a client; then 10,000 patterns get a member each. Prints bytes of memory a subscription and, in
nanoseconds of CPU time, what subscribing, unsubscribing and matching cost, beside one look into a dict that
is as large. No test times anything.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable

from eventbus.channels.audiences import Audiences

CHANNELS, MEMBERS, EACH, PATTERNS = 100_000, 10_000, 100, 10_000
MATCHES, ROUNDS = 100_000, 9


class Member:
    """Stands for a connection: compared and hashed by identity."""


Drawn = list[tuple[int, Member]]


def channel(number: int) -> str:
    """A name as an application would choose it; a new str every time."""
    return f"orders.{number % 1000}.{number}"


def pattern(number: int) -> str:
    """Every tenth fits a hundred channels, the others begin like channels and fit none."""
    return f"orders.{number // 10}.{'*' if number % 10 == 0 else f'new{number}.>'}"


def nanoseconds(call: Callable[[], object], times: int) -> float:
    """CPU time of one of so many."""
    gc.collect()
    started = time.process_time_ns()
    call()
    return (time.process_time_ns() - started) / times


def draw(random_: random.Random) -> Drawn:
    """Who subscribes to which channel, in the order in which they do."""
    members = [Member() for _ in range(MEMBERS)]
    drawn = [(number, member) for member in members for number in random_.sample(range(CHANNELS), EACH)]
    random_.shuffle(drawn)
    return drawn


def fill(audiences: Audiences[Member], drawn: Drawn) -> None:
    """Subscribe them all."""
    for number, member in drawn:
        audiences.subscribe(channel(number), member)


def leave(audiences: Audiences[Member], drawn: Drawn) -> None:
    """Unsubscribe them all."""
    for number, member in drawn:
        audiences.unsubscribe(channel(number), member)


def add_patterns(audiences: Audiences[Member], drawn: Drawn, count: int) -> None:
    """Give so many patterns a member each."""
    for number in range(count):
        audiences.subscribe(pattern(number), drawn[number][1])


def name(drawn: Drawn) -> None:
    """The part of `fill` and `leave` that makes the names, to be taken off."""
    for number, _ in drawn:
        channel(number)


def each(look: Callable[[str], object], names: Iterable[str]) -> float:
    """Nanoseconds for one name, the median over rounds."""

    def all_names() -> None:
        for one in names:
            look(one)

    return statistics.median(nanoseconds(all_names, MATCHES) for _ in range(ROUNDS))


def memory(drawn: Drawn) -> None:
    """Print what the audiences hold, in bytes. The members themselves don't count."""
    tracemalloc.start()
    audiences: Audiences[Member] = Audiences()
    fill(audiences, drawn)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    add_patterns(audiences, drawn, PATTERNS)
    gc.collect()
    more = tracemalloc.get_traced_memory()[0] - size
    tracemalloc.stop()
    print(f"{audiences.names:,} names, {len(drawn):,} subscriptions, {audiences.patterns:,} patterns")
    print(f"{size / len(drawn):8.1f} bytes a subscription, {size / 1e6:.1f} MB in all")
    print(f"{more / PATTERNS:8.1f} bytes a pattern with one member, {more / 1e6:.1f} MB in all")


def main() -> None:
    """Measure, and print as it goes."""
    random_ = random.Random(1)
    drawn = draw(random_)
    memory(drawn)
    audiences: Audiences[Member] = Audiences()
    naming = nanoseconds(lambda: name(drawn), len(drawn))
    print(f"{nanoseconds(lambda: fill(audiences, drawn), len(drawn)) - naming:8.0f} ns to subscribe")
    names = [channel(random_.randrange(CHANNELS)) for _ in range(MATCHES)]
    print(f"{each({channel(n): None for n in range(CHANNELS)}.get, names):8.0f} ns to look into a dict")
    for count in (0, 10, PATTERNS):
        add_patterns(audiences, drawn, count)
        print(
            f"{each(audiences.matching, names):8.0f} ns to match with {audiences.patterns:,} patterns, "
            f"{each(audiences.recipients, names):.0f} ns to find each member once"
        )
    print(f"{nanoseconds(lambda: leave(audiences, drawn), len(drawn)) - naming:8.0f} ns to unsubscribe")


if __name__ == "__main__":
    main()
