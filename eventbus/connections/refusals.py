"""What was refused: counted by reason, and said in the log, but for a flood of it."""

from __future__ import annotations

import logging
import time
from collections import Counter

logger = logging.getLogger("eventbus")

RECORDS = 10
"""Records of one second; what is refused beyond them is told by its number."""

LENGTH = 200
"""Characters of a reason that are shown."""


class Refusals:
    """Counts every refusal of a connection, and logs the first of each second."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """How many, by reason."""
        self._second = 0.0
        self._records = 0
        self._left_out: Counter[str] = Counter()

    def note(
        self, reason: str, status: int, remote: str | None, said: str, socket: str = "", **extra: str
    ) -> None:
        """A connection is refused; `said` is for the reader. Status 0: it was closed without an answer."""
        self.counts[reason] += 1
        self.flush()
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._records = now, 0
        self._records += 1
        if self._records > RECORDS:
            self._left_out[reason] += 1
            return
        fields = {"reason": reason, "status": status, "remote": remote or ""} | extra
        if socket:
            fields["socket"] = socket
        logger.info(
            "refused %s%s%s: %s",
            remote or "a client",
            f" at socket {socket}" if socket else "",
            f" with {status}" if status else "",
            said if len(said) <= LENGTH else f"{said[:LENGTH]}…",
            extra=fields,
        )

    def flush(self) -> None:
        """Say how many were left out, once the second that they fell into is over."""
        if self._left_out and time.monotonic() - self._second >= 1:
            many = ", ".join(f"{reason}: {count}" for reason, count in self._left_out.most_common())
            logger.info("refused %d more that are not listed (%s)", self._left_out.total(), many)
            self._left_out.clear()
