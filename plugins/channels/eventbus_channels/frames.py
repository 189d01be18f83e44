"""The frames of the protocol: what a client sends, and what it gets."""

from __future__ import annotations

from typing import Any

import msgspec

from eventbus import Request

ABSENT = msgspec.Raw()
MAX_ID_BYTES = 128


class Frame(msgspec.Struct):
    """A frame as it came. Fields that nobody knows are ignored.

    `id` and `data` are kept as the bytes they came in: the one goes back and the other goes on exactly as
    they were sent, and neither costs any parsing. `type` and `channel` may be anything at this point, so that
    an answer that complains of them can still carry the id.
    """

    type: Any = None
    id: msgspec.Raw = ABSENT
    channel: Any = None
    data: msgspec.Raw = ABSENT


class Ack(msgspec.Struct, omit_defaults=True, tag="ack"):
    id: msgspec.Raw = ABSENT


class Error(msgspec.Struct, omit_defaults=True, tag="error"):
    code: str
    message: str
    id: msgspec.Raw = ABSENT


class Message(msgspec.Struct, tag="message"):
    channel: str
    data: msgspec.Raw


class BadFrame(Exception):
    """A frame that gets an `error` for an answer; the connection stays."""

    def __init__(self, code: str, message: str, id: msgspec.Raw = ABSENT) -> None:
        self.code = code
        self.message = message
        self.id = id
        super().__init__(code)


decode = msgspec.json.Decoder(Frame).decode
encode = msgspec.json.Encoder().encode


def parse(request: Request) -> Frame:
    """The frame in a message. Raises BadFrame."""
    if request.is_binary:
        raise BadFrame("bad_frame", "frames are JSON in text frames, not binary")
    try:
        # What is in `data` goes on unread, and whoever gets it must be able to read it.
        request.check_nesting()
    except ValueError:
        raise BadFrame("bad_json", "this is nested too deeply") from None
    try:
        frame = decode(request.data)
    except msgspec.ValidationError:
        raise BadFrame("bad_frame", "a frame is a JSON object") from None
    except msgspec.DecodeError:
        raise BadFrame("bad_json", "this is not JSON") from None
    except RecursionError:
        raise BadFrame("bad_json", "this is nested too deeply") from None
    check_id(bytes(frame.id))
    if not isinstance(frame.type, str):
        raise BadFrame("bad_frame", "a frame needs a type, which is a string", frame.id)
    return frame


def check_id(raw: bytes) -> None:
    """Raise BadFrame unless the id is absent, or a number or a string that is short enough to send back."""
    if raw and (raw[:1] not in b'"-0123456789' or len(raw) > MAX_ID_BYTES):
        raise BadFrame("bad_frame", f"an id is a number or a string of at most {MAX_ID_BYTES} bytes")


def ack(id: msgspec.Raw) -> str:
    """The answer to a frame that was carried out."""
    return encode(Ack(id=given(id))).decode()


def error(bad: BadFrame) -> str:
    """The answer to a frame that was not."""
    return encode(Error(code=bad.code, message=bad.message, id=given(bad.id))).decode()


def message(channel: str, data: msgspec.Raw) -> str:
    """What the subscribers of a channel get."""
    return encode(Message(channel=channel, data=data)).decode()


def given(id: msgspec.Raw) -> msgspec.Raw:
    """The id, or the one object that the encoder leaves out because it is the field's default."""
    return id if bytes(id) else ABSENT
