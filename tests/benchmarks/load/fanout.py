"""A publisher that keeps broadcasts under way. One is done when every subscriber, itself too, has it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence

from . import wire
from .exchange import expect, send, silent
from .handshakes import TIMEOUT, connect
from .job import Job, Sample, Wrong
from .meter import Meter

BUFFER = bytearray(1 << 20)


class Fanout:
    """The subscribers, the first of which publishes, and what each of them has got."""

    def __init__(self, job: Job, sockets: Sequence[socket.socket]) -> None:
        payload = wire.text(job.size)
        self.job = job
        self.sockets = sockets
        self.frame = wire.frame(payload)
        self.request = wire.masked(payload)
        self.poll = select.epoll()
        top = max(sock.fileno() for sock in sockets) + 1
        self.by_number: list[socket.socket] = [sockets[0]] * top
        self.got = [0] * top
        """Bytes that each has got, by file number."""
        for sock in sockets:
            self.by_number[sock.fileno()] = sock
            self.poll.register(sock, select.EPOLLIN)
        self.publisher = sockets[0]
        self.unsent = memoryview(b"")
        self.published = self.done = self.delivered = 0
        self.missing = [0] * job.in_flight
        """How many have yet to get a broadcast, by its number modulo those under way."""

    def compare(self) -> None:
        """One broadcast, compared in full."""
        send(self.publisher, self.request)
        for sock in self.sockets:
            expect(sock, self.frame)
        silent(self.sockets)

    def publish(self, count: int) -> None:
        """So many more broadcasts."""
        for number in range(self.published, self.published + count):
            self.missing[number % self.job.in_flight] = len(self.sockets)
        self.published += count
        idle = not self.unsent
        self.unsent = memoryview(bytes(self.unsent) + self.request * count)
        if idle:
            self.send()
            if self.unsent:
                self.poll.modify(self.publisher, select.EPOLLIN | select.EPOLLOUT)

    def send(self) -> None:
        """As much of what waits as the socket takes."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.publisher.send(self.unsent) :]
        except BlockingIOError:
            pass

    def turn(self, timeout: float = TIMEOUT) -> int:
        """Read what has come. Returns how many broadcasts are done by it."""
        ready = self.poll.poll(timeout)
        if not ready:
            raise Wrong(f"nothing came for {timeout:g} s, after {self.done} broadcasts")
        length, got, missing, by_number = len(self.frame), self.got, self.missing, self.by_number
        window, buffer, delivered, done = self.job.in_flight, BUFFER, 0, self.done
        for number, event in ready:
            if event & select.EPOLLOUT:
                self.send()
                if not self.unsent:
                    self.poll.modify(self.publisher, select.EPOLLIN)
                if event == select.EPOLLOUT:
                    continue
            before = got[number]
            count = by_number[number].recv_into(buffer)
            if not count:
                raise Wrong(
                    f"the server closed the connection of a client that reads, after {self.done} broadcasts"
                )
            got[number] = after = before + count
            for broadcast in range(before // length, after // length):
                missing[broadcast % window] -= 1
                delivered += 1
        self.delivered += delivered
        while done < self.published and not missing[done % window]:
            done += 1
        finished, self.done = done - self.done, done
        return finished

    def run(self, seconds: float) -> int:
        """Deliveries within so many seconds, and until all that was published has arrived."""
        before = self.delivered
        self.publish(self.job.in_flight)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            finished = self.turn()
            if finished:
                self.publish(finished)
        while self.done < self.published:
            self.turn()
        self.check()
        return self.delivered - before

    def check(self) -> None:
        """Raises Wrong unless everyone has got all, to the byte."""
        due = self.published * len(self.frame)
        wrong = [self.got[sock.fileno()] for sock in self.sockets if self.got[sock.fileno()] != due]
        if wrong:
            raise Wrong(f"{due} bytes were due; {len(wrong)} clients got others, such as {wrong[0]}")


def run(job: Job) -> Sample:
    """Deliveries a second."""
    fanout = Fanout(job, connect(job, job.clients))
    fanout.compare()
    fanout.compare()
    fanout.run(job.warmup)
    meter = Meter(job.pid)
    figures = meter.figures(fanout.run(job.seconds))
    fanout.compare()
    return Sample(figures=figures)
