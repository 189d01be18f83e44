"""A soak: one server process under every kind of client for an hour, and nothing of them may stay behind.

    uv run python -m tests.soak --minutes 60 --json soak.json

Every `--every` seconds the clients leave, and once the server has no connection its memory, file handles,
tasks, threads, journal and so on are looked at: a row of the table. `server.py` has the process,
`application.py` and `plugin.py` what it runs, `configuration.py` what it is reloaded with, `polite.py` and
`rude.py` the clients, `verdict.py` what counts as a failure.
"""
