"""Applies Git's deltas: a new object told as copies from a base and insertions. Floor F6.

Source: gitformat-pack(5), "Deltified representation".
"""

from __future__ import annotations


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """The object that *delta* makes of *base*.

    Raises:
        ValueError, IndexError: The delta is damaged, or made for another base.
    """
    base_size, position = _size(delta, 0)
    size, position = _size(delta, position)
    if base_size != len(base):
        raise ValueError("a delta for a base of another size")
    pieces = []
    while position < len(delta):
        code = delta[position]
        position += 1
        if code & 0x80:
            start, position = _number(delta, position, code, 4)
            length, position = _number(delta, position, code >> 4, 3)
            pieces.append(base[start : start + (length or 0x10000)])
        elif code:
            pieces.append(delta[position : position + code])
            position += code
        else:
            raise ValueError("a reserved instruction in a delta")
    result = b"".join(pieces)
    if len(result) != size:
        raise ValueError("a delta that makes an object of another size than it tells")
    return result


def result_size(delta: bytes) -> int:
    """Size in bytes of the object that a delta makes; its first 20 bytes are enough.

    Raises:
        IndexError: They are fewer than the sizes take.
    """
    _, position = _size(delta, 0)
    return _size(delta, position)[0]


def _size(delta: bytes, position: int) -> tuple[int, int]:
    """A size in groups of seven bits, the lowest first, and the position behind it."""
    size = shift = 0
    while True:
        byte = delta[position]
        position += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size, position


def _number(delta: bytes, position: int, present: int, most: int) -> tuple[int, int]:
    """A number of up to *most* bytes, the lowest first; a bit of *present* tells for each whether it is there."""
    number = 0
    for byte in range(most):
        if present >> byte & 1:
            number |= delta[position] << (8 * byte)
            position += 1
    return number, position
