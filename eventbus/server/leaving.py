"""How much of what was written has not arrived yet, as far as the operating system tells."""

from __future__ import annotations

import asyncio
import socket
import sys
from array import array


def unsent(transport: asyncio.Transport) -> int:
    """Bytes in the transport's buffer, and on Linux those that the other side's system has not taken either.

    Of a Unix socket the system tells what the memory comes to that they need, which is more.
    """
    return transport.get_write_buffer_size() + in_kernel(transport.get_extra_info("socket"))


if sys.platform == "linux":
    import fcntl
    import termios

    def in_kernel(sock: socket.socket | None) -> int:
        """Bytes in the send queue (SIOCOUTQ in tcp(7), the same number as TIOCOUTQ); 0 if unknown."""
        count = array("i", [0])
        try:
            if sock is not None:
                fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
        except (OSError, ValueError):
            return 0
        return count[0]

else:

    def in_kernel(sock: socket.socket | None) -> int:
        """Nothing that is known."""
        return 0
