"""The store for one process: DuckDB rows in one folder, one writer, durable the moment a write returns.

Joins its parts: a plan says what a group of calls does, the tables take it in one transaction, the mark says that it is
durable; only then do callers hear of it.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

import duckdb

from memshadow.data.store.admission import admitted_embedding
from memshadow.data.store.base import Change, Embedding, Filter, Owner, Stored
from memshadow.data.store.embedded.checkpoint import checkpoint
from memshadow.data.store.embedded.compaction import compact
from memshadow.data.store.embedded.directory import Directory
from memshadow.data.store.embedded.embedders import Embedders
from memshadow.data.store.embedded.files import restrict
from memshadow.data.store.embedded.mark import Ledger
from memshadow.data.store.embedded.opening import Means, open_folder
from memshadow.data.store.embedded.plan import Plan
from memshadow.data.store.embedded.reading import Reading
from memshadow.data.store.embedded.remembered import Remembered
from memshadow.data.store.embedded.row import DTYPES, vector_of
from memshadow.data.store.embedded.table import Tables, use
from memshadow.data.store.embedded.writer import Call, Job, Writer
from memshadow.data.store.gate import Gate
from memshadow.errors import MemshadowError, StoreError
from memshadow.types import Record, Scope

_CLOSED = "this store is closed; open it again."


class EmbeddedStore:
    """Keeps the promises of ``MemoryStore`` in ``folder``; vectors are kept, and come back, as ``precision``.

    ``memory_mb`` bounds what the database keeps in memory, ``threads`` how many work on one reading, ``log_mb`` what
    may lie in the log before it goes into the database, ``known_versions`` of how many versions the ids are kept in
    memory, ``known_records`` how many records read of late are. What is forgotten is never read again, but its bytes
    stay in the files until ``compact``.

    Raises:
        StoreError: another process holds the folder, or what lies there is not whole.
    """

    def __init__(
        self,
        *,
        folder: str,
        precision: Literal["fp16", "fp32"],
        memory_mb: int,
        threads: int,
        log_mb: int,
        known_versions: int,
        known_records: int,
    ) -> None:
        if precision not in DTYPES:
            raise StoreError(f"vectors cannot be kept as {precision!r}; choose one of {', '.join(DTYPES)}.")
        self._dtype = DTYPES[precision]
        self._closing = threading.Lock()
        self._closed = False
        self._failed: str | None = None
        self._means = Means(precision, memory_mb, threads, log_mb)
        self._opened = open_folder(Path(folder).expanduser().absolute(), self._means)
        self._ledger = self._opened.ledger
        self._tables = Tables(self._opened.connection)
        self._embedders = Embedders(self._opened.embedders)
        self._owners = self._opened.owners
        self._cursors: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        self._gate = Gate()
        self._remembered = Remembered(known_records)
        self._directory = Directory(self._load, most=known_versions)
        self._writer = Writer(self._write_group)
        atexit.register(self.close)

    @property
    def report(self) -> tuple[str, ...]:
        """Return what was found wrong and mended at opening, one sentence each; empty: nothing."""
        return tuple(self._opened.report)

    @property
    def last_seq(self) -> int:
        """Return the number of the last durable write."""
        self._check_open()
        return self._ledger.last_seq

    def write(self, changes: Sequence[Change]) -> int:
        """Write all changes, or raise and write none."""
        return self.submit(changes).result()

    def submit(self, changes: Sequence[Change]) -> Future[int]:
        """Queue the changes of one call."""
        call = Call(tuple(changes))
        with self._closing:
            self._check_open()
            self._writer.put(call)
        return call.done

    def versions(self, owner: Owner, seqs: Sequence[int]) -> list[Record]:
        """Return the versions with these numbers, in the order asked for."""
        self._check_open()
        number = self._owners.numbers.get(owner)
        if number is None:
            return []
        found, stamp = self._remembered.found(number, seqs), self._remembered.stamp
        lacking = [seq for seq in seqs if seq not in found]
        if lacking:
            with self._reading() as reading:
                read = {record.seq: record for record in reading.versions(number, lacking)}
            self._remembered.keep(number, read, stamp=stamp)
            found |= read
        return [found[seq] for seq in seqs if seq in found]

    def history(self, owner: Owner, memory_id: str) -> list[Record]:
        """Return all versions of a memory, oldest first."""
        return self._histories(owner, [memory_id]).get(memory_id, [])

    def current(self, owner: Owner, memory_ids: Sequence[str]) -> list[Record]:
        """Return the newest version of each memory that is there, in the order asked for."""
        histories = self._histories(owner, memory_ids)
        return [histories[name][-1] for name in memory_ids if name in histories]

    def matching(self, scope: Scope, given: Filter) -> list[int]:
        """Return the numbers of all versions in a scope that pass the filter, ascending."""
        with self._reading() as reading:
            number = self._owners.numbers.get(scope.owner)
            return [] if number is None else reading.matching(number, scope, given)

    def page(self, scope: Scope, given: Filter, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions in a scope that pass the filter and have ``seq > after``, ascending."""
        with self._reading() as reading:
            number = self._owners.numbers.get(scope.owner)
            return [] if number is None else reading.page(number, scope, given, after=after, limit=limit)

    def tail(self, scope: Scope, *, last: int) -> list[Record]:
        """Return the last ``last`` current versions in a scope, in the order of saying."""
        with self._reading() as reading:
            number = self._owners.numbers.get(scope.owner)
            return [] if number is None else reading.tail(number, scope, last=last)

    def stored(self, owner: Owner, fingerprint: str) -> list[Stored]:
        """Return all versions of an owner that have a vector of this fingerprint, by seq."""
        with self._reading() as reading:
            number, known = self._owners.numbers.get(owner), self._embedders.by_name.get(fingerprint)
            if number is None or known is None:
                return []
            return [
                Stored(
                    record=record,
                    vector=vector_of(row, self._dtype, known.embedding.dim),
                    written_seq=max(record.seq, record.ended_seq or 0, row.written_seq),
                )
                for record, row in reading.stored(number, known.number)
            ]

    def changed(self, fingerprint: str, *, after: int) -> Iterator[tuple[Owner, int]]:
        """Yield (owner, number of the newest such write) of each owner with a write after ``after``."""
        with self._reading() as reading:
            found = reading.changed(self._embedders.number(fingerprint), after=after)
        return iter(sorted((self._owners.names[number], seq) for number, seq in found))

    def owners(self, *, tenant: str | None = None) -> Iterator[tuple[Owner, int]]:
        """Yield each owner and the number of its versions, sorted."""
        with self._reading() as reading:
            found = [(self._owners.names[number], count) for number, count in reading.counts()]
        return iter(sorted((owner, count) for owner, count in found if tenant in (None, owner[0])))

    def embeddings(self) -> list[Embedding]:
        """Return every embedder declared, the active one first."""
        self._check_open()
        return self._embedders.listed()

    def declare(self, embedding: Embedding) -> None:
        """Make a fingerprint known, or let it take over from the active one."""
        admitted_embedding(embedding)
        self._alone(lambda: self._commit(lambda: self._embedders.declare(self._tables, embedding, self._ledger)))

    def retire(self, fingerprint: str) -> None:
        """Remove an inactive embedder and all its vectors; an unknown one is no error."""
        self._alone(lambda: self._commit(lambda: self._embedders.retire(self._tables, fingerprint, self._ledger)))

    def unembedded(self, fingerprint: str, *, after: int, limit: int) -> list[Record]:
        """Return up to ``limit`` versions with ``seq > after`` that lack a vector of this fingerprint, ascending."""
        with self._reading() as reading:
            return reading.unembedded(self._embedders.number(fingerprint), after=after, limit=limit)

    def compact(self) -> None:
        """Write the database anew: what was forgotten leaves the files, and each owner's rows lie together.

        Takes as long as reading everything; readers and writers wait. A kill leaves the old file or the new one.
        """
        self._alone(self._compact)

    def close(self) -> None:
        """Finish what is queued, then let go of everything."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        self._writer.stop()
        with self._gate.alone():
            self._drop_cursors()
            self._opened.close()

    def _compact(self) -> None:
        self._check_failed()
        opened, means = self._opened, self._means
        with self._gate.alone():
            self._drop_cursors()
            try:
                if opened.files.logged:
                    checkpoint(opened.connection, opened.files)
                opened.connection.close()
                try:
                    compact(opened.files, self._ledger, precision=means.precision, memory_mb=means.memory_mb)
                finally:
                    opened.connection = means.connect(opened.files)
                    self._tables = Tables(opened.connection)
            except (duckdb.Error, OSError) as error:
                raise self._fail(error) from error

    def _drop_cursors(self) -> None:
        while not self._cursors.empty():
            self._cursors.get().close()

    def _histories(self, owner: Owner, memory_ids: Sequence[str]) -> dict[str, list[Record]]:
        self._check_open()
        with self._directory.lock:  # over both: an owner whose first write is refused loses its number
            number = self._owners.numbers.get(owner)
            if number is None:
                return {}
            memories = self._directory.of(number).memories
            seqs = [known.seq for name in dict.fromkeys(memory_ids) for known in memories.get(name, ())]
        histories: dict[str, list[Record]] = {}
        with self._reading() as reading:
            for record in reading.versions(number, seqs):
                histories.setdefault(record.id, []).append(record)
        return histories

    def _load(self, number: int) -> list[tuple[int, str, int, bool]]:
        with self._reading(writing=True) as reading:
            return [(seq, name, version, current) for seq, name, version, current in reading.known(number)]

    @contextmanager
    def _reading(self, *, writing: bool = False) -> Iterator[Reading]:
        """Lend a cursor; what the database cannot do becomes an error that a user can act on."""
        if not writing:
            self._check_open()
        try:
            with self._gate.together():
                try:
                    cursor = self._cursors.get_nowait()
                except Empty:
                    if self._closed and not writing:
                        raise StoreError(_CLOSED) from None
                    cursor = use(self._opened.connection.cursor())
                yield Reading(cursor, self._owners)
                self._cursors.put(cursor)
        except duckdb.Error as error:
            raise StoreError(f"the database in {self._opened.files.folder} could not be read: {error}") from error

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(_CLOSED)
        if self._failed:
            raise StoreError(self._failed)

    def _alone(self, run: Callable[[], None]) -> None:
        job = Job(run)
        with self._closing:
            self._check_open()
            self._writer.put(job)
        job.done.result()

    def _write_group(self, group: list[Call]) -> None:
        """Check each call, write those that may be, and settle all; runs in the writer's thread."""
        plan = Plan(self._ledger.last_seq, self._owners, self._directory, self._embedders.by_name, self._dtype)
        taken: list[tuple[Future[int], int]] = []
        for call in group:
            try:
                self._check_failed()
                taken.append((call.done, plan.take(call.changes)))
            except Exception as error:
                call.done.set_exception(error)
        try:
            if not plan.empty:
                self._commit(lambda: self._tables.apply(plan, self._ledger))
        except StoreError as error:
            for done, _ in taken:
                done.set_exception(StoreError(str(error)))
            return
        if plan.endings or plan.erased:
            self._remembered.drop([*plan.endings, *plan.erased])
        for done, seq in taken:
            done.set_result(seq)
        self._directory.trim(added=len(plan.versions))
        self._empty_log()

    def _empty_log(self) -> None:
        """Move the log into the database where it has grown; those who wrote were told already."""
        files = self._opened.files
        if files.logged and files.log.stat().st_size > self._means.log_mb * 2**20:
            try:
                checkpoint(self._opened.connection, files)
            except (duckdb.Error, OSError, MemshadowError) as error:
                self._fail(error)

    def _commit(self, write: Callable[[], Ledger]) -> None:
        """Run one transaction and let the mark follow; after a failure nothing is acknowledged any more."""
        self._check_failed()
        try:
            ledger = write()
            if ledger != self._ledger:
                self._opened.mark.write(ledger)
                self._ledger = ledger
                restrict(self._opened.files.log)  # the database makes it anew, readable for all, now and then
        except StoreError:
            raise
        except Exception as error:
            raise self._fail(error) from error

    def _fail(self, error: Exception) -> StoreError:
        """Take nothing more: what is durable is known again only after the store was opened again."""
        self._failed = (
            f"a write to {self._opened.files.folder} failed: {error}. Nothing more is taken until the store is opened "
            "again, which checks that all acknowledged writes are there; make room on the disk first if it is full."
        )
        return StoreError(self._failed)

    def _check_failed(self) -> None:
        if self._failed:
            raise StoreError(self._failed)
