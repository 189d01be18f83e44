"""Benchmarks: what the bus costs beside servers that do the same without it.

    uv run --group bench python -m tests.benchmarks                  # everything; takes an hour
    uv run --group bench python -m tests.benchmarks echo 'fanout/1000/*' --rounds 3 --peers websockets,bus

A server and the load generator run in processes of their own, each on its own core. In every round each
server is started anew and measured once, so that whatever else the machine does hits all of them alike; the
tables show medians over the rounds, and ratios to raw aiohttp on uvloop within the same round.

The server sets the rate where "server busy" is near 100 %. "waited" is the time in which it could have run
and something else had its core: such a sample is taken again, up to three times, and where that does not
help, its rate is shown but gives no ratio. CPU time for a message hardly depends on who else runs. The
generator is the bottleneck only where it is busy and the server is not.

`journal` compares the bus with itself: its ratios are to the bus that does not write connections down. The
server works in two threads there, which share a core and wait for each other, so that "waited" is the time in
which the core was neither idle nor the server's; what the kernel does for the disk is in it.

`servers/` has the servers, `load/` the generator, `chain.py` and `audiences.py` measure within a process. No
test times anything, and pytest collects nothing here.

python-socketio is not among the peers: it speaks Engine.IO, whose own handshake and packets lie over the
WebSocket, so that the generator would have to speak another protocol and the figures would compare two.
"""
