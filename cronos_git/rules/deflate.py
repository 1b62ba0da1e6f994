"""The one choice of a deflate implementation: isal where it has wheels, else zlib (same streams, several times slower).

Floor F4.
"""

from __future__ import annotations

from typing import Any

_module: Any
try:
    from isal import isal_zlib as _module
except ImportError:
    import zlib as _module

NAME: str = _module.__name__
compress = _module.compress
crc32 = _module.crc32
decompress = _module.decompress
decompressobj = _module.decompressobj
error: type[Exception] = _module.error

LEVEL = 2
"""isal's level 2 is as fast as its level 1 and packs about 1 % tighter (docs/benchmarks.md)."""
