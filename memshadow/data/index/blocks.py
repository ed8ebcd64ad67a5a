"""The exact index: one contiguous block an owner, in memory while it is used, in signed files for a fast start.

An owner's block is in memory (``_live``), or in a file (``_places``), or must be read from the store (``_unmade``); an
owner in none of these has nothing. What is in memory is newer than what is in a file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path

from memshadow.data.index.base import Applied, Reader
from memshadow.data.index.files import BlockFiles, DamageError, Directory, Place, Written, set_checksum
from memshadow.data.index.live import Content, Live
from memshadow.data.index.packing import packed, unpacked
from memshadow.data.index.snapshot import ExactBlock, FirstStage
from memshadow.data.store.base import MemoryStore, Owner
from memshadow.errors import ConfigError, MemshadowError

_MAPPED_SHARE = 8  # a block of more than 1/8 of the cache is mapped from its file, not copied
_KEPT = 0.8  # the share of the cache that is left when it had to be emptied
_PAUSE_S = 1.0  # between a reason to save and saving: reasons come in groups
_LOOKED_UP = 8  # versions looked up in the store at attach
_PRECISIONS = ("fp16", "fp32")


class ExactIndex:
    """Searches every row of an owner.

    ``folder`` keeps the files (``None``: no files, all is made from the store again at the next start). ``precision``
    of rows in files: fp32, or fp16 (half the disk; rows are rounded when they come, so that reopening changes nothing).
    ``cache_mb`` bounds the blocks in memory. After ``save_every`` rows the files are written, beside the work;
    ``rebuild`` says whether blocks that must be read from the store are, beside the work, before anyone asks for them.

    ``first_dims``: all rows are scored by so many of their first numbers alone, and wholly only the best of them,
    ``first_k`` times as many as are asked for; for embedders whose rows begin with what matters most. ``None``: all
    rows are scored wholly.
    """

    def __init__(
        self,
        *,
        folder: str | None,
        precision: str,
        cache_mb: float,
        save_every: int,
        rebuild: bool,
        first_dims: int | None = None,
        first_k: int = 30,
    ) -> None:
        if precision not in _PRECISIONS:
            raise ConfigError(f"precision={precision!r} is not known; needed: one of {', '.join(_PRECISIONS)}")
        if first_k < 1 or (first_dims is not None and first_dims < 1):
            raise ConfigError(f"{first_dims=}, {first_k=}; needed: at least 1 each, or first_dims=null")
        self._first = None if first_dims is None else FirstStage(first_dims, first_k)
        self._files = BlockFiles(Path(folder)) if folder is not None else None
        self._half, self._cache_bytes = precision == "fp16", cache_mb * 1e6
        self._save_every, self._rebuild = save_every, rebuild
        self._lock = threading.RLock()  # over _live, _places, _unmade
        self._saving = threading.Lock()
        self._live: dict[Owner, Live] = {}
        self._behind: dict[Owner, int] = {}  # owners of whom the store had a write that was not applied yet at a save
        self._tainted: set[int] = set()  # segments that hold what was erased, or may
        self._places: dict[Owner, Place] = {}
        self._unmade: set[Owner] = set()
        self._report: list[str] = []
        self._clock = count(1)
        self._held_bytes = self._waiting_rows = self._saved_seq = 0
        self._wake, self._closed = threading.Event(), threading.Event()
        self._worker: threading.Thread | None = None
        self._store: MemoryStore

    @property
    def report(self) -> tuple[str, ...]:
        """Return what was found wrong with the files at ``attach`` or since."""
        return tuple(self._report)

    def check(self, dim: int) -> None:
        """Refuse rows that are too narrow for a first look."""
        if self._first is not None and self._first.dims >= dim:
            raise ConfigError(
                f"first_dims={self._first.dims} leaves nothing for a second look at rows of {dim} numbers; give fewer, "
                "or null to score all rows wholly"
            )

    def attach(self, store: MemoryStore, *, fingerprint: str, dim: int, read: Reader) -> None:
        """Begin to serve the vectors that ``store`` has of ``fingerprint``; ConfigError: as ``check``."""
        self.check(dim)
        self._store, self._fingerprint, self._dim, self._read = store, fingerprint, dim, read
        rows = dict(store.owners())
        self._places = self._trusted(rows)
        self._unmade = rows.keys() - self._places.keys()
        self._worker = threading.Thread(target=self._work, name="memshadow-index", daemon=True)
        self._worker.start()

    def block(self, owner: Owner) -> ExactBlock:
        """Return the owner's block as it is now."""
        live = self._live.get(owner)
        if live is not None and live.block is not None:
            live.used = next(self._clock)
            return live.block
        with self._held(owner) as live:
            block = live.shown()
        self._keep_small(owner)
        return block

    def apply(self, owner: Owner, applied: Applied) -> None:
        """Take up a durable write."""
        with self._lock:
            if owner in self._unmade and owner not in self._live:
                return  # whoever asks for it first reads the store, which has this write
        with self._held(owner) as live:
            understood = live.apply(applied)
            self._count(live)
            if applied.erased:
                self._taint(owner)
        if not understood:
            self.drop(owner)
        self._note(applied)
        self._keep_small(owner)

    def drop(self, owner: Owner) -> None:
        """Forget an owner's block: the next ``block`` reads the store."""
        with self._lock:
            self._forget_file(owner)
            if live := self._live.get(owner):
                self._let_go(live)

    def save(self) -> None:
        """Write the files: new segments for the blocks that changed, then the directory."""
        if self._files is not None:
            with self._saving:
                self._write(self._files)
            self._keep_small(None)

    def close(self) -> None:
        """Stop what runs beside the work, save, and let go of everything."""
        if self._worker is None:
            return
        self._closed.set()
        self._wake.set()
        self._worker.join()
        self._worker = None
        self._try_to_save()
        if self._files is not None:
            self._files.close()

    def _try_to_save(self) -> None:
        """Save; what stands against it is reported: the files are a cache, the old ones are still there."""
        try:
            self.save()
        except (MemshadowError, OSError) as error:
            self._say(f"not saved: {error}")

    def _say(self, sentence: str) -> None:
        if sentence not in self._report:
            self._report.append(sentence)

    # What is in memory

    @contextmanager
    def _held(self, owner: Owner) -> Iterator[Live]:
        """Give the owner's block, taken up and locked for writing."""
        while True:
            with self._lock:
                live = self._live.setdefault(owner, Live(owner, half=self._half, first=self._first))
            with live.lock:
                if not live.gone:
                    live.used = next(self._clock)
                    if live.block is None:
                        self._begin(live)
                    yield live
                    return

    def _begin(self, live: Live) -> None:
        """Take up what there is of an owner: from its file, from the store, or nothing."""
        if not self._begin_from_file(live):
            with self._lock:
                unmade = live.owner in self._unmade
            if unmade:
                seq = self._store.last_seq  # before reading: what is read has everything up to here
                entries = self._read(self._store.stored(live.owner, self._fingerprint))
                live.begin(Content.of(entries, dim=self._dim, half=self._half), seq)
                live.changes += 1
                self._waiting_rows += len(entries)
            else:
                live.begin(Content.of((), dim=self._dim, half=self._half), 0)
            with self._lock:
                if not live.gone:
                    self._unmade.discard(live.owner)
        self._count(live)

    def _begin_from_file(self, live: Live) -> bool:
        with self._lock:
            place = self._places.get(live.owner)
        while place is not None and self._files is not None:
            try:
                mapped = place.size * _MAPPED_SHARE > self._cache_bytes
                content = self._files.block(place, mapped=mapped)
                live.begin(unpacked(content, dim=self._dim, half=self._half), place.seq)
            except DamageError as damage:
                with self._lock:
                    now = self._places.get(live.owner)
                    if now == place:  # else it was moved meanwhile: look there
                        self._blame(live.owner, damage)
                        return False
                place = now
            else:
                return True
        return False

    def _blame(self, owner: Owner, damage: DamageError) -> None:
        self._say(f"{damage}; that block is made again from the store")  # read by all owners: no names
        self._places.pop(owner)
        self._unmade.add(owner)

    def _count(self, live: Live) -> None:
        """Keep the sum of what is in memory."""
        with self._lock:
            if not live.gone:
                size = live.size_bytes
                self._held_bytes += size - live.counted
                live.counted = size

    def _let_go(self, live: Live) -> None:
        live.gone = True
        self._held_bytes -= live.counted
        self._live.pop(live.owner, None)

    def _keep_small(self, owner: Owner | None) -> None:
        """Let go of the blocks that were not used for longest, while there are more than the cache may hold.

        What no file holds yet goes only above twice that: it will have to be read from the store again.
        """
        if self._held_bytes <= self._cache_bytes:
            return
        self._wake.set()
        with self._lock:
            for live in sorted(self._live.values(), key=lambda live: live.used):
                if self._held_bytes <= _KEPT * self._cache_bytes:
                    return
                if live.owner != owner and live.lock.acquire(blocking=False):
                    try:
                        self._evict(live)
                    finally:
                        live.lock.release()

    def _evict(self, live: Live) -> None:
        if live.dirty:
            if self._files is not None and self._held_bytes <= 2 * self._cache_bytes:
                return
            self._forget_file(live.owner)
        self._let_go(live)

    def _forget_file(self, owner: Owner) -> None:
        """Leave an owner's block to the store: who asks next reads it there."""
        self._taint(owner)
        self._places.pop(owner, None)
        self._unmade.add(owner)

    def _taint(self, owner: Owner) -> None:
        """Note that a segment may hold what is to be forgotten: the next save leaves it behind."""
        with self._lock:
            if place := self._places.get(owner):
                self._tainted.add(place.segment)

    # What runs beside the work

    def _note(self, applied: Applied) -> None:
        self._waiting_rows += len(applied.inserted) + len(applied.ended) + len(applied.revectored)
        if applied.erased or self._waiting_rows >= self._save_every:
            self._wake.set()

    def _work(self) -> None:
        """Read from the store what must be, then save whenever there is enough to save."""
        if self._rebuild:
            try:
                self._make_all()
            except MemshadowError as error:
                self._say(f"blocks are made when they are asked for, not before: {error}")
        while not self._closed.is_set():
            self._wake.wait()
            self._closed.wait(_PAUSE_S)
            self._wake.clear()
            if not self._closed.is_set():
                self._try_to_save()

    def _make_all(self) -> None:
        with self._lock:
            owners = sorted(self._unmade)
        for owner in owners:
            full = self._files is None and self._held_bytes > _KEPT * self._cache_bytes
            if self._closed.is_set() or full:
                return
            with self._lock:
                needed = owner in self._unmade
            if needed:
                self.block(owner)
            if self._waiting_rows >= self._save_every:
                self._try_to_save()

    # Files

    def _trusted(self, rows: Mapping[Owner, int]) -> dict[Owner, Place]:
        """Return the blocks in the files that are what the store holds; ``rows`` are its versions of each owner."""
        if self._files is None:
            return {}
        try:
            directory = self._files.open()
            if directory is None:
                return {}  # new, or an older program's: nothing is wrong
            if not self._fits(directory):
                return {}  # nothing is wrong: the embedder or the precision was changed
            changed = dict(self._store.changed(self._fingerprint, after=directory.last_seq))
            kept = {o: p for o, p in directory.places.items() if o not in changed and rows.get(o) == p.rows}
            self._same_history(self._files, kept)
        except DamageError as damage:
            self._say(f"{damage}; every block is made again from the store")
            return {}
        self._saved_seq = directory.last_seq
        self._tainted = {p.segment for o, p in directory.places.items() if o not in kept}
        return kept

    def _fits(self, directory: Directory) -> bool:
        """Return whether the files hold such rows as are to be served."""
        made = (directory.fingerprint, directory.dim, directory.half)
        if made != (self._fingerprint, self._dim, self._half):
            return False
        if directory.last_seq > self._store.last_seq:
            raise DamageError(
                f"the files know of write {directory.last_seq}, the store ends at {self._store.last_seq}: "
                "it was put back to an earlier state"
            )
        return True

    def _same_history(self, files: BlockFiles, places: Mapping[Owner, Place]) -> None:
        """Look up the last versions that the files know: another store, or one put back and written to, has others."""
        newest = sorted(places.items(), key=lambda item: item[1].seq)[-_LOOKED_UP:]
        for owner, place in newest:  # their names are left out of the error: all owners read it
            with suppress(DamageError):  # noticed again, and made again, when it is used
                content = unpacked(files.block(place, mapped=True), dim=self._dim, half=self._half)
                seq, digest = int(content.columns.seqs[-1]), int(content.columns.digests[-1])
                found = self._store.versions(owner, [seq])
                if not found or found[0].digest % 2**64 != digest:
                    break
        else:
            return
        raise DamageError(f"the files were made from another history: they know another version {seq}")

    def _write(self, files: BlockFiles) -> None:
        last_seq = self._store.last_seq  # before anything is looked at: later writes are found again at the next start
        newest = self._behind | dict(self._store.changed(self._fingerprint, after=self._saved_seq))
        self._wake.clear()
        self._waiting_rows = 0
        with self._lock:
            dirty = [live for live in self._live.values() if live.dirty]
            old, tainted = dict(self._places), set(self._tainted)
        if not dirty and not tainted and last_seq == self._saved_seq:
            return
        taken: list[tuple[Live, int]] = []
        written = files.write_blocks(
            chain(self._changed(dirty, taken), self._moved(files, old, {live.owner for live in dirty}, tainted))
        )
        with self._lock:
            for live, changes in taken:
                if not live.gone:
                    live.saved = changes
            self._places |= {owner: place for owner, place in written.items() if owner not in self._unmade}
            for live, _ in taken:
                if not live.gone and live.owner not in written:
                    self._places.pop(live.owner, None)  # nothing of it is left
            self._tainted -= tainted
            self._tainted |= {p.segment for o, p in written.items() if self._places.get(o) != p}
            self._behind = {o: seq for o, seq in newest.items() if o in self._places and self._places[o].seq < seq}
            places = {owner: place for owner, place in self._places.items() if owner not in self._behind}
        files.write_directory(self._directory(last_seq, places), keep=self._places.values())
        self._saved_seq = last_seq

    def _directory(self, last_seq: int, places: dict[Owner, Place]) -> Directory:
        return Directory(
            fingerprint=self._fingerprint, dim=self._dim, half=self._half, last_seq=last_seq, places=places
        )

    def _changed(self, dirty: Sequence[Live], taken: list[tuple[Live, int]]) -> Iterator[Written]:
        """Yield the blocks that files lack; note in ``taken`` which state of each was taken."""
        for live in dirty:
            with live.lock:
                if live.gone or live.block is None:
                    continue
                block, changes, seq = live.fold(), live.changes, live.seq
            taken.append((live, changes))
            if block.size:
                checksum = set_checksum(block.seqs, block.digests)
                place = Place(0, block.size, 0, 0, seq, checksum, b"")
                yield live.owner, packed(block, half=self._half), place

    def _moved(
        self, files: BlockFiles, old: Mapping[Owner, Place], replaced: Set[Owner], tainted: Set[int]
    ) -> Iterator[Written]:
        """Yield the blocks that must leave their segment: it is mostly unused, or holds what was erased."""
        staying = {owner: place for owner, place in old.items() if owner not in replaced}
        leaving = files.wasteful(staying.values()) | tainted
        for owner, place in staying.items():
            if place.segment in leaving:
                try:
                    yield owner, [files.block(place, mapped=True).data], place
                except DamageError as damage:
                    with self._lock:
                        if self._places.get(owner) == place:
                            self._blame(owner, damage)
