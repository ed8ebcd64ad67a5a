"""Records that were read of late, checked then, so that the next search need not read them again. Knows no SQL."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock

from memshadow.types import Record

_LONGEST_TEXT = 4_000
"""Characters: longer ones are read each time, so that what is kept stays small."""


class Remembered:
    """At most ``most`` records by number. A record that ends or goes is dropped before anyone is told that it did.

    Metadata are kept as text and made anew each time: they are all of a record that a caller could change. ``stamp``
    changes with every drop: what was read before a drop is not kept after it.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._records: OrderedDict[int, tuple[int, Record, str]] = OrderedDict()
        self.stamp = 0

    def found(self, owner: int, seqs: Sequence[int]) -> dict[int, Record]:
        """Return those of the records that are kept and are the owner's."""
        with self._lock:
            kept = {seq: self._records[seq] for seq in seqs if seq in self._records}
            for seq in kept:
                self._records.move_to_end(seq)
        return {seq: _with(record, told) for seq, (number, record, told) in kept.items() if number == owner}

    def keep(self, owner: int, records: Mapping[int, Record], *, stamp: int) -> None:
        """Keep what was read when the stamp was ``stamp``."""
        with self._lock:
            if stamp != self.stamp:
                return
            for seq, record in records.items():
                if len(record.draft.text) <= _LONGEST_TEXT:
                    metadata = record.draft.metadata
                    self._records[seq] = owner, record, json.dumps(metadata) if metadata else ""
            while len(self._records) > self._most:
                self._records.popitem(last=False)

    def drop(self, seqs: Iterable[int]) -> None:
        """Forget records."""
        with self._lock:
            for seq in seqs:
                self._records.pop(seq, None)
            self.stamp += 1


def _with(record: Record, metadata: str) -> Record:
    """Return a record with metadata of its own; most have none."""
    return replace(record, draft=replace(record.draft, metadata=json.loads(metadata))) if metadata else record
