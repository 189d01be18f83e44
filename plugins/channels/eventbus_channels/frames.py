"""The frames of the protocol: what a client sends, and what it gets."""

from __future__ import annotations

import msgspec

from eventbus import Request

ABSENT = msgspec.Raw()
MAX_ID_BYTES = 128
MAX_NAME_BYTES = 2048
"""Bytes of a type or channel, as it came, that are decoded: each byte of a name can be written with six."""


class Frame(msgspec.Struct):
    """A frame as it came. Fields that nobody knows are ignored.

    All of it is kept as the bytes it came in, so that nothing costs more than to find its end: `id` goes back
    and `data` goes on exactly as they were sent. `type` and `channel` may be anything at this point, so that
    an answer that complains of them can still carry the id; `name_of` decodes what can be one.
    """

    type: msgspec.Raw = ABSENT
    id: msgspec.Raw = ABSENT
    channel: msgspec.Raw = ABSENT
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
decode_name = msgspec.json.Decoder(str).decode
encode = msgspec.json.Encoder().encode


def parse(request: Request) -> tuple[str, Frame]:
    """The frame in a message, behind its type. Raises BadFrame."""
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
    kind = name_of(frame.type, frame)
    if kind is None:
        raise BadFrame("bad_frame", "a frame needs a type, which is a string", frame.id)
    return kind, frame


def name_of(field: msgspec.Raw, frame: Frame) -> str | None:
    """The string in a field, empty if it is longer than any name; None for anything else. Raises BadFrame."""
    raw = bytes(field)
    if raw[:1] != b'"':
        return None
    if len(raw) > MAX_NAME_BYTES:
        return ""
    try:
        return decode_name(raw)
    except msgspec.DecodeError:
        raise BadFrame("bad_json", "this is not JSON", frame.id) from None


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
