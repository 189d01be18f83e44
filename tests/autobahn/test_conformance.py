"""RFC 6455 and RFC 7692 to the letter: the cases of the Autobahn test suite against a server process.

`kosoku` runs them, with Autobahn's case files in its wheel. Every run of the tests takes the groups 1 to 7, 9
and 10, and three of the 216 cases with compressed messages, groups 12 and 13: each exchanges a thousand. All
of them, which takes minutes, on demand:

    EVENTBUS_AUTOBAHN=all uv run pytest tests/autobahn
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

import kosoku
import pytest

from tests.conftest import Project

PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}

# kosoku 0.1.0 can't take an uncompressed message on a connection that compresses, although RFC 7692 section 6
# allows it: it hands the case a str where bytes are needed. So the shortest are compressed, too.
CONFIG = """
    [server]
    page = false

    [sockets.plain]
    connect          = []
    message          = ["echo"]
    disconnect       = []
    max_message_size = 16_777_216

    [sockets.compressed]
    connect          = []
    message          = ["echo"]
    disconnect       = []
    max_message_size = 16_777_216
    compression      = { min_size = 0 }

    [sockets.takeover]
    connect          = []
    message          = ["echo"]
    disconnect       = []
    max_message_size = 16_777_216
    compression      = { context_takeover = true, min_size = 0 }
"""

BASIC = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
LIMITS = ("9.*",)
DEFLATE = ("12.*", "13.*") if os.environ.get("EVENTBUS_AUTOBAHN") == "all" else ("12.1.3", "13.3.3", "13.7.3")


# Autobahn's own code leaves the files with its test data to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize(
    ("socket", "cases"),
    [
        ("plain", BASIC + LIMITS),
        ("compressed", BASIC + DEFLATE),
        ("takeover", DEFLATE),
    ],
)
async def test_every_case_passes(
    project: Project, record_property: Callable[[str, object], None], socket: str, cases: Sequence[str]
) -> None:
    project.config(CONFIG)
    server = project.serve()
    url = server.url.replace("http", "ws", 1)
    try:
        results = await kosoku.run_fuzzingclient(f"{url}/{socket}", cases, concurrency=4)
    except kosoku.FailureError as failure:
        results = failure.results
    groups: Counter[int] = Counter()
    failed = []
    for result in results:
        verdicts = {result.behavior.value, result.behavior_close.value}
        if verdicts <= PASSED:
            groups[int(result.case_id.partition(".")[0])] += 1
        else:
            failed.append(
                f"{result.case_id}: {sorted(verdicts)} {result.result} {result.result_close} "
                f"sent {result.local_close_code} {result.local_close_reason}, "
                f"got {result.remote_close_code} {result.remote_close_reason}, "
                f"{result.was_not_clean_reason}, {result.duration} ms"
            )
    assert not failed, "\n".join([*failed, server.text()])
    assert groups.keys() == {int(case.partition(".")[0]) for case in cases}
    record_property("cases passed by group", dict(sorted(groups.items())))
