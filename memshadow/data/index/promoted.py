"""The exact index, and inside owners that outgrow a plain scan a structure that finds the rows worth scoring.

Every score is still the exact dot product of the row in the block. Until a structure is ready, and for filters that
leave few rows, every row is looked at.
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from memshadow.data.index.base import Applied, Nearest, text_hash
from memshadow.data.index.blocks import ExactIndex
from memshadow.data.index.files import DamageError, opened, signed
from memshadow.data.index.neighbours import Neighbours, View
from memshadow.data.index.ranking import best_of
from memshadow.data.index.snapshot import ExactBlock
from memshadow.data.index.structures import Shape, searches_on_gpu
from memshadow.data.store.base import Owner
from memshadow.errors import MemshadowError
from memshadow.training.atomic import write_bytes

_ENOUGH = 64  # missing rows that are worth waking the builder for
_FEW = 0.3  # a filter that leaves less than this share: look at every row
_MANY = 0.02  # asking for more than this share of the rows: look at every row


class PromotedBlock(ExactBlock):
    """An exact block whose ``nearest`` looks at a shortlist only."""

    __slots__ = ("_neighbours", "_shortlist", "_view", "whole")

    def __init__(self, whole: ExactBlock, neighbours: Neighbours, shortlist: int) -> None:
        super().__init__(whole.owner, whole.columns, whole.matrix, whole.patches, whole.terms, whole.first)
        self.whole, self._neighbours, self._shortlist = whole, neighbours, shortlist
        self._view: View | None = None

    def uses(self, neighbours: Neighbours) -> bool:
        """Return whether its shortlists come from this structure."""
        return self._neighbours is neighbours

    def nearest(self, query: Float32[ndarray, " dim"], *, k: int, allowed: Bool[ndarray, " size"] | None) -> Nearest:
        """Return the ``k`` best allowed versions of those that the structure finds and those that it lacks."""
        if self.allows_all(allowed):
            allowed = None
        few = allowed is not None and np.count_nonzero(allowed) < _FEW * self.size
        if few or not 0 < k <= _MANY * self.size:
            return super().nearest(query, k=k, allowed=allowed)
        count = max(self._shortlist, k + k // 2)
        places, view = self._neighbours.search(query, count, allowed, self, self._view)
        self._view = view
        if len(missing := view.missing):
            places = np.union1d(places, missing if allowed is None else missing[allowed[missing]])
        else:
            places.sort()
        if len(places) < k:  # too few of those near by were allowed
            return super().nearest(query, k=k, allowed=allowed)
        return best_of(places, self.scores_at(query, places), k)


class PromotedIndex(ExactIndex):
    """An ``ExactIndex`` that builds a FAISS structure, beside the work, for each owner of ``promote_at`` rows or more.

    ``shortlist`` rows (at least one and a half times what is asked for) are scored exactly. For the other settings
    see ``Shape``, ``searches_on_gpu`` and ``ExactIndex``.

    Without FAISS every row is looked at, and ``report`` says so.
    """

    def __init__(
        self,
        *,
        folder: str | None,
        precision: str,
        cache_mb: float,
        save_every: int,
        rebuild: bool,
        promote_at: int,
        shortlist: int,
        structure: str,
        links: int,
        build_effort: int,
        lists: int,
        effort: int,
        device: str = "cpu",
        first_dims: int | None = None,
        first_k: int = 30,
    ) -> None:
        super().__init__(
            folder=folder,
            precision=precision,
            cache_mb=cache_mb,
            save_every=save_every,
            rebuild=rebuild,
            first_dims=first_dims,
            first_k=first_k,
        )
        self._shape = Shape(
            structure=structure,
            links=links,
            build_effort=build_effort,
            lists=lists,
            effort=effort,
            on_gpu=searches_on_gpu(device),
        )
        self._promote_at, self._shortlist = promote_at, shortlist
        self._neighbours: dict[Owner, Neighbours] = {}
        self._shown: dict[Owner, PromotedBlock] = {}
        self._change = threading.Condition()  # over what follows
        self._wanted: dict[Owner, None] = {}
        self._journal: dict[Owner, list[Applied]] = {}  # what was done to an owner while its structure is built
        self._missing: Counter[Owner] = Counter()
        self._builder: threading.Thread | None = None

    def block(self, owner: Owner) -> ExactBlock:
        """Return the owner's block as it is now."""
        block = super().block(owner)
        if block.size < self._promote_at:
            return block
        neighbours = self._neighbours.get(owner)
        if neighbours is None:
            self._want(owner)
            return block
        shown = self._shown.get(owner)
        if shown is None or shown.whole is not block or not shown.uses(neighbours):
            shown = self._shown[owner] = PromotedBlock(block, neighbours, self._shortlist)
        return shown

    def apply(self, owner: Owner, applied: Applied) -> None:
        """Take up a durable write."""
        super().apply(owner, applied)
        if owner not in self._neighbours and owner not in self._journal:
            return
        with self._change:
            if owner in self._journal:
                self._journal[owner].append(applied)
            if neighbours := self._neighbours.get(owner):
                self._tell(owner, neighbours, applied)

    def drop(self, owner: Owner) -> None:
        """Forget an owner's block, and its structure."""
        super().drop(owner)
        with self._change:
            for known in (self._neighbours, self._journal, self._shown):
                known.pop(owner, None)

    def close(self) -> None:
        """Stop building, save, and let go of everything."""
        builder, self._builder = self._builder, None
        if builder is not None:
            self._closed.set()
            with self._change:
                self._change.notify()
            builder.join()
        super().close()

    def _tell(self, owner: Owner, neighbours: Neighbours, applied: Applied) -> None:
        if applied.revectored:
            neighbours.forget(applied.revectored, moved=True)
        if applied.erased:
            neighbours.forget(applied.erased, moved=False)
            self._remove(owner)
        self._missing[owner] += len(applied.inserted) + len(applied.revectored)
        if self._missing[owner] >= _ENOUGH or neighbours.aged:
            self._want(owner)

    def _want(self, owner: Owner) -> None:
        """Ask for an owner's structure to be built, or brought up to date, beside the work."""
        with self._change:
            if owner in self._wanted or owner in self._journal or self._closed.is_set():
                return
            self._wanted[owner] = None
            if self._builder is None:
                self._builder = threading.Thread(target=self._build, name="memshadow-neighbours", daemon=True)
                self._builder.start()
            self._change.notify()

    def _build(self) -> None:
        """Build what is wanted, one after another."""
        try:
            while True:
                with self._change:
                    self._change.wait_for(lambda: self._wanted or self._closed.is_set())
                    if self._closed.is_set():
                        return
                    owner = next(iter(self._wanted))
                    del self._wanted[owner]
                    self._missing[owner] = 0
                    self._journal[owner] = []
                self._bring_up(owner)
        except (MemshadowError, RuntimeError) as error:  # FAISS says all that goes wrong by RuntimeError
            self._say(f"every row is looked at, also in large owners: {error}")

    def _bring_up(self, owner: Owner) -> None:
        block = super().block(owner)
        neighbours = self._neighbours.get(owner) or self._read_file(owner, block)
        made = None
        if neighbours is None or neighbours.aged:
            neighbours = made = Neighbours.built(block, self._shape, self._closed.is_set)
        with self._change:
            journal = self._journal.pop(owner, None)
            if neighbours is None or journal is None:  # stopped, or dropped meanwhile
                return
            if self._neighbours.get(owner) is not neighbours:
                self._neighbours[owner] = neighbours
                for applied in journal:
                    self._tell(owner, neighbours, applied)
        exact = super().block
        neighbours.take_up(lambda: exact(owner), self._closed.is_set)
        if made is not None:
            self._write_file(owner, made)
            if made.forgotten:  # perhaps while it was written: no such row stays in a file
                self._remove(owner)

    # Files: one an owner, signed with the folder's key

    def _path(self, owner: Owner) -> Path | None:
        name = f"{text_hash(owner[0]):016x}-{text_hash(owner[1]):016x}.neighbours"
        return None if self._files is None else self._files.folder / name

    def _remove(self, owner: Owner) -> None:
        if path := self._path(owner):
            path.unlink(missing_ok=True)

    def _write_file(self, owner: Owner, neighbours: Neighbours) -> None:
        if (path := self._path(owner)) and self._files and not neighbours.forgotten:
            rows, content = neighbours.packed()
            head = {"owner": owner, "rows": rows, **self._made_as()}
            write_bytes(path, signed(self._files.key(), head, content), mode=0o600)

    def _read_file(self, owner: Owner, block: ExactBlock) -> Neighbours | None:
        path = self._path(owner)
        if path is None or self._files is None or not path.exists():
            return None
        try:
            head, content = opened(self._files.key(), path.read_bytes())
            if head != {"owner": list(owner), "rows": head.get("rows"), **self._made_as()}:
                return None  # of another setting
            return Neighbours.unpacked(self._shape, head["rows"], content, block)
        except DamageError as damage:
            self._say(f"a file of neighbours: {damage}; it is built again")
            return None

    def _made_as(self) -> dict[str, Any]:
        shape = self._shape
        return {"fingerprint": self._fingerprint, "structure": shape.kind, "links": shape.links}
