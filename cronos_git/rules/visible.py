"""The gate for every name and message that others chose: control characters never reach a terminal or a drawing. Floor F4."""

from __future__ import annotations

import re

# C0, DEL, C1, bidirectional marks and overrides, line separators, lone surrogates.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible(text: str) -> str:
    r"""*text* with everything that could steer a terminal written as `\x1b`, `\n`, `\u202e`; undecodable bytes as `\xff`.

    A backslash is doubled only in a text that needed another escape, so ordinary names stay as they are.
    """
    if text.isprintable() or not re.search(f"[{_UNSAFE}]", text):
        return text
    return re.sub(rf"[\\{_UNSAFE}]", _escaped, text)
