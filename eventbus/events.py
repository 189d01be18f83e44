"""The three events of a connection, its states, and the close codes that the bus itself uses."""

from enum import IntEnum, StrEnum


class EventType(StrEnum):
    """What can happen to a connection: exactly these three."""

    CONNECT = "connect"
    MESSAGE = "message"
    DISCONNECT = "disconnect"


class ConnectionState(StrEnum):
    """Where a connection stands in its life; it only ever moves down this list."""

    CONNECTING = "connecting"
    """The connect chain runs; what is sent is kept until the handshake is done."""
    OPEN = "open"
    CLOSING = "closing"
    """A close frame is on its way; nothing more can be sent."""
    CLOSED = "closed"


class CloseCode(IntEnum):
    """WebSocket close codes (RFC 6455 section 7.4.1, and the IANA registry for 1012 and 1013)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    """Never sent: the close frame had no code."""
    ABNORMAL = 1006
    """Never sent: the connection ended without a close frame."""
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
