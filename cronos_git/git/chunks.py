"""Cuts large files into content-defined chunks, so that a small change of a large file stores about one chunk.

The algorithm is FastCDC 2020 (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
Systems", IEEE TPDS 2020) as pyfastcdc implements it. The format does not depend on where the cuts lie: another algorithm would
only deduplicate less against older backups. Floor F6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cronos_git.git.pack import ObjectSink
from cronos_git.git.trees import MODE_FILE, TreeEntry, format_tree

MINIMUM_BYTES = 256 << 10
AVERAGE_BYTES = 1 << 20
MAXIMUM_BYTES = 4 << 20


def add_chunks(sink: ObjectSink, pieces: Iterable[bytes]) -> bytes:
    """Store the content that *pieces* make up, in chunks, and the tree that lists them.

    Returns:
        20-byte id of the tree. Names are decimal, equally long, eight digits or more, so `cat dir/*` rebuilds the content.

    Memory: one piece and one chunk.
    """
    oids = [sink.add_content(chunk) for chunk in iter_chunks(pieces)]
    width = max(8, len(str(len(oids) - 1)))
    return sink.add("tree", format_tree(TreeEntry(MODE_FILE, b"%0*d" % (width, n), oid) for n, oid in enumerate(oids)))


def iter_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream; where it is split into pieces has no influence on the cuts.

    A cut depends on the bytes since the cut before only, so every chunk is final once a whole maximum lies behind its start.
    """
    from pyfastcdc import FastCDC

    cutter = FastCDC(avg_size=AVERAGE_BYTES, min_size=MINIMUM_BYTES, max_size=MAXIMUM_BYTES)
    rest = b""
    for piece in pieces:
        rest += piece
        done = 0
        while len(rest) - done >= MAXIMUM_BYTES:
            length = next(iter(cutter.cut_buf(memoryview(rest)[done : done + MAXIMUM_BYTES]))).length
            yield rest[done : done + length]
            done += length
        rest = rest[done:]
    for chunk in cutter.cut_buf(rest) if rest else ():
        yield rest[chunk.offset : chunk.offset + chunk.length]
