"""The scalars in TensorBoard's event files, read without TensorFlow and without tensorboard.

A file is a row of records: the length of one (uint64), a checksum of that, its bytes, a checksum
of these (each a CRC-32C, rotated and shifted, uint32). The bytes are an `Event` in Protocol
Buffers' wire format, of which the fields named below are read; TensorFlow's event.proto,
summary.proto and tensor.proto number them. A scalar is a `simple_value`, or, as TensorFlow 2
writes it, a tensor of one element.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optrun.runner.untrusted import DamageError, regular_file

_LARGEST_RECORD = 2**24  # bytes; what is larger holds images or a graph
_LARGEST_CHECKED = 2**16  # bytes; a checksum takes longer than all else, and scalars are small
_WALL_TIME, _STEP, _SUMMARY = 1, 2, 5  # of an Event
_VALUE = 1  # of a Summary
_TAG, _SIMPLE_VALUE, _TENSOR = 1, 2, 8  # of a Summary's value
_KIND, _SHAPE, _CONTENT = 1, 2, 4  # of a TensorProto
# By the kind of tensor, float or double: the layout of a number, and the field of single ones.
_NUMBERS: Mapping[object, tuple[str, int]] = {1: ("<f", 5), 2: ("<d", 6)}

Message = bytes | memoryview
Number = float | np.float32


@dataclass(frozen=True)
class LastScalar:
    """What was recorded of a scalar at its last step."""

    step: int
    value: float  # the one written last, where a step was written again
    newest_step: int  # of what was written last: smaller where another run began after it


def last_scalars(files: Iterable[Path]) -> dict[str, LastScalar]:
    """The last value of every scalar in the event files of one folder, by its tag.

    A record that was cut off while it was written is none.

    Raises:
        DamageError: A file is no event file, or is damaged.
    """
    last: dict[str, tuple[int, float, Number]] = {}
    newest: dict[str, tuple[float, int]] = {}
    for path in files:
        for record in _records(path):
            try:
                step, written, scalars = _scalars(record)
            except (ValueError, struct.error) as error:
                raise DamageError(f"{path.name} is damaged") from error
            for tag, value in scalars.items():
                if tag not in last or (step, written) >= last[tag][:2]:
                    last[tag] = step, written, value
                newest[tag] = max(newest.get(tag, (-math.inf, 0)), (written, step))
    # Of single precision the shortest decimal that is the same number: 0.7, not 0.699999988.
    return {
        tag: LastScalar(step, float(str(value)), newest[tag][1])
        for tag, (step, _, value) in last.items()
    }


def _records(path: Path) -> Iterator[memoryview]:
    with regular_file(path) as file:
        while len(head := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", head)
            if _checksum(head[:8]) != checksum:
                raise DamageError(f"{path.name} is no event file, or is damaged")
            if length > _LARGEST_RECORD:
                file.seek(length + 4, 1)
                continue
            record, checksum_read = file.read(length), file.read(4)
            if len(checksum_read) < 4:
                return
            checksum = int.from_bytes(checksum_read, "little")
            if length <= _LARGEST_CHECKED and _checksum(record) != checksum:
                raise DamageError(f"{path.name} is damaged")
            yield memoryview(record)


def _scalars(event: memoryview) -> tuple[int, float, dict[str, Number]]:
    """An event's step, when it was written (seconds), and its scalars by tag."""
    step, written, scalars = 0, 0.0, dict[str, Number]()
    for name, content in _fields(event):
        if name == _STEP and isinstance(content, int):
            step = content - 2**64 * (content >= 2**63)
        elif name == _WALL_TIME:
            written = float(_number("<d", content))
        elif name == _SUMMARY:
            for _, value in (one for one in _fields(content) if one[0] == _VALUE):
                parts = dict(_fields(value))
                number = None
                if _SIMPLE_VALUE in parts:
                    number = _number("<f", parts[_SIMPLE_VALUE])
                elif _TENSOR in parts:
                    number = _of_tensor(parts[_TENSOR])
                if number is not None:
                    scalars[bytes(_message(parts.get(_TAG, b""))).decode()] = number
    return step, written, scalars


def _of_tensor(tensor: int | Message) -> Number | None:
    """The number in a tensor of one; None of any other, and of text."""
    parts = dict(_fields(tensor))
    shape = [dict(_fields(size)).get(1) for _, size in _fields(parts.get(_SHAPE, b""))]
    layout, place = _NUMBERS.get(parts.get(_KIND), ("", 0))
    found = parts.get(_CONTENT, parts.get(place))
    if not layout or found is None or any(size != 1 for size in shape):
        return None
    return _number(layout, found)


def _fields(message: int | Message) -> Iterator[tuple[int, int | Message]]:
    """The numbers of a message's fields, with what they hold: a whole number, or bytes."""
    content, at = _message(message), 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(content, at)
            yield key >> 3, number
            continue
        length = {1: 8, 5: 4}.get(kind)
        if length is None:
            if kind != 2:
                raise ValueError("no field that there is")
            length, at = _varint(content, at)
        if at + length > len(content):
            raise ValueError("a field longer than its message")
        yield key >> 3, content[at : at + length]
        at += length


def _varint(content: Message, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, the lowest first, and where the next field begins.

    >>> _varint(bytes([0b10010110, 0b1]), 0)
    (150, 2)
    """
    number = 0
    for place in range(10):
        if at + place >= len(content):
            break
        byte = content[at + place]
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            return number, at + place + 1
    raise ValueError("a number without an end")


def _message(content: int | Message) -> Message:
    if isinstance(content, int):
        raise ValueError("a number where a message must be")
    return content


def _number(layout: str, content: int | Message) -> Number:
    [value] = struct.unpack(layout, _message(content))
    return np.float32(value) if layout == "<f" else value


def _table() -> list[int]:
    """Of CRC-32C: the polynomial 0x1EDC6F41 (Castagnoli 1993), its bits reversed."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
        table.append(byte)
    return table


_TABLE = _table()


def _checksum(content: bytes) -> int:
    """The masked CRC-32C of a record.

    >>> f"{_checksum(b'123456789'):08x}"
    'c78ab0e5'
    """
    crc = 2**32 - 1
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 2**32 - 1
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
