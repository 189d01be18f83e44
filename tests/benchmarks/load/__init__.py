"""The load generator: `select.epoll`, non-blocking sockets and prepared bytes, to cost less than any server.

It runs as `python -m tests.benchmarks.load` in a process of its own, takes one job as JSON on standard input
and writes what it measured as JSON to standard output. It reads frames without parsing them: what comes back
is known, so it counts bytes. Before and after the measured time, one exchange with every connection is
compared in full, and at the end the bytes that came must be those that are due, to the byte.
"""
