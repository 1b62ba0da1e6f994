"""What a capture gave, readable as a snapshot before it is stored, or without ever being. Floor F7, below the verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cronos_git.disk import contents
from cronos_git.errors import ObjectMissingError
from cronos_git.git.pack import ObjectSink, PackWriter, object_id
from cronos_git.git.store import Store
from cronos_git.git.trees import MODE_DIRECTORY, MODE_FILE, TreeEntry, format_tree
from cronos_git.ops.capture import Captured
from cronos_git.rules import record


class CapturedView:
    """The state of a project now, readable like the objects of a store.

    Trees and attribute records come from the capture, everything else from the store, and the contents of files that were
    only hashed from the project itself.
    """

    def __init__(self, store: Store | None, root: str, kept: Mapping[str, tuple[str, bytes]], sources: Mapping[str, str]) -> None:
        self._store = store
        self._root = root
        self._kept = kept
        self._sources = sources

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object.

        Raises:
            ObjectMissingError: The file that had this content has changed since it was looked at.
        """
        if oid in self._kept:
            return self._kept[oid]
        if oid in self._sources:
            return "blob", self._read_source(oid)
        if self._store is None:
            raise ObjectMissingError(f"Object {oid} is not stored.", oid=oid)
        return self._store.read(oid)

    def _read_source(self, oid: str) -> bytes:
        path = self._sources[oid]
        try:
            body = contents.read_now(self._root, path)
        except OSError as error:
            raise ObjectMissingError(f"{path} can no longer be read: {error}.", path=path) from error
        if object_id("blob", body).hex() != oid:
            raise ObjectMissingError(f"{path} changed while it was compared.", hint="Run it again.", path=path)
        return body


class UnfinishedView:
    """A backup in the making, readable like the objects of a store: just what it will hold, whatever becomes of the project."""

    def __init__(self, store: Store, writer: PackWriter, kept: Mapping[str, tuple[str, bytes]]) -> None:
        self._store = store
        self._writer = writer
        self._kept = kept

    def read(self, oid: str, /) -> tuple[str, bytes]:
        """Kind and body of an object; errors as the store and the pack raise them."""
        return self._kept.get(oid) or self._writer.read(bytes.fromhex(oid)) or self._store.read(oid)


class KeepingSink:
    """Passes objects on and keeps trees, commits and records, which are small, to be read back before they are in the store."""

    def __init__(self, sink: ObjectSink, kept: dict[str, tuple[str, bytes]] | None = None) -> None:
        self._sink = sink
        self.stores = sink.stores
        self.kept = {} if kept is None else kept

    def add(self, kind: str, body: bytes) -> bytes:
        """Pass an object on and keep it."""
        oid = self._sink.add(kind, body)
        self.kept[oid.hex()] = (kind, body)
        return oid

    def add_content(self, body: bytes) -> bytes:
        """Pass the content of a file on, which is not kept."""
        return self._sink.add_content(body)

    def add_packed(self, objects: Iterable[tuple[bytes, bytes]]) -> None:
        """Pass on what is deflated already, which is not kept."""
        self._sink.add_packed(objects)


def add_commit(sink: ObjectSink, captured: Captured, snapshot: bytes, who: bytes, message: str) -> bytes:
    """Add the snapshot commit of what was captured, with the trees that lead to it; its id.

    Args:
        snapshot: The content of `meta/snapshot.json`.
        who: Author and committer, with the time.
    """

    def tree(**entries: bytes) -> bytes:
        return sink.add("tree", format_tree(TreeEntry(MODE_DIRECTORY, name.encode(), oid) for name, oid in entries.items()))

    described = TreeEntry(MODE_FILE, b"snapshot.json", sink.add("blob", snapshot))
    meta = sink.add("tree", format_tree([described, TreeEntry(MODE_DIRECTORY, b"attributes", captured.attributes)]))
    root = tree(data=captured.data, meta=meta)
    return sink.add("commit", record.format_commit(tree=root.hex(), parents=(), identity_line=who, message=message))
