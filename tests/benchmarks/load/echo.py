"""Clients that each keep so many messages under way and get every one back."""

from __future__ import annotations

import select
import socket
import time

from . import wire
from .exchange import expect, send, silent
from .handshakes import TIMEOUT, connect
from .job import Job, Sample, Wrong
from .meter import Meter


class Echo:
    """The clients and what they have got."""

    def __init__(self, job: Job) -> None:
        payload = wire.text(job.size)
        self.job = job
        self.answer = wire.frame(payload)
        self.sockets = connect(job, job.clients)
        request = wire.masked(payload)
        self.requests = [request * count for count in range(job.in_flight + 1)]
        self.poll = select.epoll()
        top = max(sock.fileno() for sock in self.sockets) + 1
        self.by_number: list[socket.socket] = [self.sockets[0]] * top
        self.rest = [0] * top
        """Bytes that came of an answer that isn't whole yet."""
        for sock in self.sockets:
            self.by_number[sock.fileno()] = sock
            self.poll.register(sock, select.EPOLLIN)

    def compare(self) -> None:
        """One exchange with every client, compared in full."""
        for sock in self.sockets:
            send(sock, self.requests[-1])
        for sock in self.sockets:
            expect(sock, self.answer * self.job.in_flight)
        silent(self.sockets)

    def run(self, seconds: float) -> int:
        """Answers that came within so many seconds. Everything that was asked has been answered after it."""
        answered = 0
        for sock in self.sockets:
            send(sock, self.requests[-1])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            answered += self.turn(self.requests)
        nothing = [b""] * len(self.requests)
        due = self.job.in_flight * len(self.sockets)
        while due:
            due -= self.turn(nothing)
        if any(self.rest):
            raise Wrong("an answer is longer or shorter than it should be")
        return answered

    def turn(self, requests: list[bytes]) -> int:
        """Read what has come, and send as many requests as answers are whole. Returns how many those are."""
        answered = 0
        length, rest, by_number, buffer = len(self.answer), self.rest, self.by_number, BUFFER
        ready = self.poll.poll(TIMEOUT)
        if not ready:
            raise Wrong(f"no answer came for {TIMEOUT:g} s")
        for number, _ in ready:
            sock = by_number[number]
            got = sock.recv_into(buffer)
            if not got:
                raise Wrong("the server closed")
            whole, rest[number] = divmod(rest[number] + got, length)
            if whole:
                answered += whole
                try:
                    data = requests[whole]
                except IndexError:
                    raise Wrong("more answers came than questions were asked") from None
                if data and sock.send(data) != len(data):
                    raise Wrong("a request did not fit into a socket with nothing in it")
        return answered


BUFFER = bytearray(1 << 18)


def run(job: Job) -> Sample:
    """Messages a second."""
    echo = Echo(job)
    echo.compare()
    echo.run(job.warmup)
    meter = Meter(job.pid)
    # What is under way at the end of the time is counted as well, and so is the time that it takes.
    answered = echo.run(job.seconds) + job.in_flight * len(echo.sockets)
    figures = meter.figures(answered)
    echo.compare()
    return Sample(figures=figures)
