"""Records that were read of late, checked then, so that the next search need not read them again. Knows no SQL."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock

from memshadow.types import Record

_LONGEST_TEXT = 4_000
"""Characters: longer ones are read each time, so that what is kept stays small."""


class Remembered:
    """At most ``most`` records by number. A record that ends or goes is dropped before anyone is told that it did.

    ``stamp`` changes with every drop: what was read before a drop is not kept after it.
    """

    def __init__(self, most: int) -> None:
        self._most, self._records, self._lock = most, OrderedDict[int, tuple[int, Record]](), Lock()
        self.stamp = 0

    def found(self, owner: int, seqs: Sequence[int]) -> dict[int, Record]:
        """Return those of the records that are kept and are the owner's."""
        with self._lock:
            kept = {seq: self._records[seq] for seq in seqs if seq in self._records}
            for seq in kept:
                self._records.move_to_end(seq)
        return {seq: record for seq, (number, record) in kept.items() if number == owner}

    def keep(self, owner: int, records: Mapping[int, Record], *, stamp: int) -> None:
        """Keep what was read when the stamp was ``stamp``."""
        with self._lock:
            if stamp != self.stamp:
                return
            for seq, record in records.items():
                if len(record.draft.text) <= _LONGEST_TEXT:
                    self._records[seq] = (owner, record)
            while len(self._records) > self._most:
                self._records.popitem(last=False)

    def drop(self, seqs: Iterable[int]) -> None:
        """Forget records."""
        with self._lock:
            for seq in seqs:
                self._records.pop(seq, None)
            self.stamp += 1
