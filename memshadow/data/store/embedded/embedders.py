"""The embedders that a store knows, and their vectors as a whole: declared, switched, retired."""

from __future__ import annotations

from dataclasses import replace

from memshadow.data.store.base import Embedding
from memshadow.data.store.embedded.mark import Ledger
from memshadow.data.store.embedded.plan import Embedder
from memshadow.data.store.embedded.table import Tables
from memshadow.errors import StoreError

_NONE = -1


class Embedders:
    """Read by all threads, changed by the writer's alone: ``by_name`` is replaced, never changed."""

    def __init__(self, by_name: dict[str, Embedder]) -> None:
        self.by_name = by_name

    def number(self, fingerprint: str) -> int:
        """Return the number that stands for an embedder; one that no row has where it is unknown."""
        known = self.by_name.get(fingerprint)
        return _NONE if known is None else known.number

    def listed(self) -> list[Embedding]:
        """Return every embedder, the active one first."""
        return sorted((known.embedding for known in self.by_name.values()), key=lambda embedding: not embedding.active)

    def declare(self, tables: Tables, embedding: Embedding, ledger: Ledger) -> Ledger:
        """Make an embedder known, or let it take over, in one transaction.

        Raises:
            StoreError: it is known with another width, or versions lack its vector.
        """
        known = self.by_name.get(embedding.fingerprint)
        if known and known.embedding.dim != embedding.dim:
            raise StoreError(
                f"embedder {embedding.fingerprint!r} has width {known.embedding.dim}, not {embedding.dim}."
            )
        number = known.number if known else max((e.number for e in self.by_name.values()), default=0) + 1
        if known and known.embedding.active:
            embedding = replace(embedding, active=True)
        after = self.by_name | {embedding.fingerprint: Embedder(number, embedding)}
        if embedding.active:
            lacking = ledger.versions - tables.count_vectors(number)
            if lacking:
                raise StoreError(
                    f"{lacking} versions lack a vector of embedder {embedding.fingerprint!r}; embed them, then switch."
                )
            after = {
                name: Embedder(e.number, replace(e.embedding, active=e.number == number)) for name, e in after.items()
            }
        return self._replace(tables, after, ledger)

    def retire(self, tables: Tables, fingerprint: str, ledger: Ledger) -> Ledger:
        """Remove an inactive embedder and all its vectors in one transaction.

        Raises:
            StoreError: it is the active one.
        """
        known = self.by_name.get(fingerprint)
        if known is None:
            return ledger
        if known.embedding.active:
            raise StoreError(f"embedder {fingerprint!r} is in use; let another one take over, then retire it.")
        after = {name: embedder for name, embedder in self.by_name.items() if name != fingerprint}
        return self._replace(tables, after, ledger, retired=known.number)

    def _replace(
        self, tables: Tables, after: dict[str, Embedder], ledger: Ledger, *, retired: int | None = None
    ) -> Ledger:
        if after == self.by_name:
            return ledger
        written = tables.replace_embedders(self.by_name, after, ledger, retired=retired)
        self.by_name = after
        return written
