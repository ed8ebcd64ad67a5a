"""One owner's versions at one moment, searched by looking at every row. Knows arrays; nothing of stores or files."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from memshadow.data.index.base import Nearest, Postings
from memshadow.data.index.columns import Columns, conditions
from memshadow.data.index.ranking import best, best_of
from memshadow.data.index.terms import Terms
from memshadow.data.store.base import Filter, Owner
from memshadow.types import Scope

_FEW = 8  # a mask that leaves less than 1/8 of a long block: gather those rows instead of scoring all
_LONG = 2_000
_SCOPES = 16  # whose masks a snapshot keeps


class Patches(NamedTuple):
    """Rows that replace those of the matrix: a matrix under readers' eyes is never written to."""

    places: Int64[ndarray, " patched"]
    rows: Float32[ndarray, "patched dim"]

    def laid_in(self, rows: ndarray, places: ndarray) -> None:
        """Put the right rows in where they are among those of ``places``."""
        patch = self.places.searchsorted(places)
        patch[patch == len(self.places)] = 0
        here = self.places[patch] == places
        rows[here] = self.rows[patch[here]]

    def cut(self, dims: int) -> Patches:
        """Return the same of the first numbers of each row."""
        return Patches(self.places, self.rows[:, :dims])

    def laid_over(self, scores: ndarray, query: ndarray) -> None:
        """Put the right scores in."""
        scores[self.places] = self.rows.dot(query)


class FirstStage(NamedTuple):
    """A first look at the first ``dims`` numbers of every row; the best ``times`` * k are scored wholly."""

    dims: int
    times: int


class ExactBlock:
    """A snapshot: nothing in it ever changes. Scores are exact dot products of 32-bit rows.

    ``first``: how ``nearest`` chooses the rows that it scores; ``None``: it scores all.
    """

    __slots__ = (
        "_all",
        "_current",
        "columns",
        "digests",
        "ended",
        "first",
        "forms",
        "happened",
        "lengths",
        "matrix",
        "owner",
        "patches",
        "seqs",
        "sessions",
        "size",
        "speakers",
        "terms",
        "turns",
        "voices",
    )

    def __init__(
        self,
        owner: Owner,
        columns: Columns,
        matrix: Float32[ndarray, "size dim"],
        patches: Patches | None,
        terms: Terms,
        first: FirstStage | None = None,
    ) -> None:
        for column in columns:
            column.setflags(write=False)
        self.owner, self.columns, self.matrix, self.patches, self.terms = owner, columns, matrix, patches, terms
        self.first = first
        self.seqs, self.ended, self.happened, self.turns = columns.seqs, columns.ended, columns.happened, columns.turns
        self.sessions, self.speakers, self.voices = columns.sessions, columns.speakers, columns.voices
        self.forms = columns.forms
        self.digests, self.lengths = columns.digests, columns.lengths
        self.size = len(columns.seqs)
        self._all = _read_only(np.ones(self.size, dtype=bool))
        self._current: dict[tuple[str | None, str | None], Bool[ndarray, " size"]] = {}  # by agent and session

    def allowed(self, scope: Scope, given: Filter) -> Bool[ndarray, " size"] | None:
        """Return which versions lie in the scope and pass the filter; ``None``: ask the store."""
        if given.tags or given.keys or given.metadata:
            return None
        if scope.owner != self.owner:
            return np.zeros(self.size, dtype=bool)
        if given == _LATEST:
            return self._holding(scope)
        return reduce(np.logical_and, conditions(self.columns, scope, given), self._all)

    def scores(self, query: Float32[ndarray, " dim"]) -> Float32[ndarray, " size"]:
        """Return the exact dot product of every version with the query."""
        scores: ndarray = self.matrix.dot(query)
        if self.patches is not None:
            self.patches.laid_over(scores, query)
        return scores

    def scores_at(self, query: Float32[ndarray, " dim"], places: Int64[ndarray, " n"]) -> Float32[ndarray, " n"]:
        """Return the exact dot products at some places, in any order."""
        scores: ndarray = self.rows(places).dot(query)
        return scores

    def nearest(self, query: Float32[ndarray, " dim"], *, k: int, allowed: Bool[ndarray, " size"] | None) -> Nearest:
        """Return the ``k`` best allowed versions, fewer where there are fewer."""
        places = None if self.allows_all(allowed) else np.flatnonzero(allowed)  # type: ignore[arg-type]
        if self.first is not None and 0 < k * self.first.times < (self.size if places is None else len(places)):
            places = self._promising(self.first, query, k, places)
        if places is None:
            return best(self.scores(query), k)
        if self._few(places):
            return best_of(places, self.scores_at(query, places), k)
        return best_of(places, self.scores(query)[places], k)

    def _promising(
        self, first: FirstStage, query: Float32[ndarray, " dim"], k: int, places: Int64[ndarray, " n"] | None
    ) -> Int64[ndarray, " best"]:
        """Return the places, ascending, that are best by their first numbers alone."""
        matrix, start = self.matrix[:, : first.dims], query[: first.dims]
        if places is not None and self._few(places):
            rows = matrix[places]
            if self.patches is not None:
                self.patches.cut(first.dims).laid_in(rows, places)
            scores = rows.dot(start)
        else:
            scores = np.matmul(matrix, start)  # dot would copy the part of each row first
            if self.patches is not None:
                self.patches.cut(first.dims).laid_over(scores, start)
            scores = scores if places is None else scores[places]
        chosen = np.sort(best(scores, k * first.times).places)
        return chosen if places is None else places[chosen]

    def _few(self, places: Int64[ndarray, " n"]) -> bool:
        """Return whether gathering these rows costs less than scoring all."""
        return self.size > _LONG and len(places) * _FEW < self.size

    def allows_all(self, allowed: Bool[ndarray, " size"] | None) -> bool:
        """Return whether a mask is one that is known to shut nothing out."""
        return allowed is None or allowed is self._all

    def postings(self, term: str) -> Postings:
        """Return where a stemmed term stands."""
        return self.terms.find(term, self.size)

    def rows(self, places: Int64[ndarray, " n"]) -> Float32[ndarray, "n dim"]:
        """Return a copy of the rows at some places."""
        rows: ndarray = self.matrix.take(places, axis=0)
        if self.patches is not None:
            self.patches.laid_in(rows, places)
        return rows

    def _holding(self, scope: Scope) -> Bool[ndarray, " size"]:
        """Return which versions of a scope are current: worked out once, and by name ``_all`` where all are.

        Whoever gets the same array may know more of it: see ``memshadow.memory.recall.said``.
        """
        part = scope.agent, scope.session
        current = self._current.get(part)
        if current is None:
            current = reduce(np.logical_and, conditions(self.columns, scope, _LATEST), self._all)
            current = self._all if current.all() else _read_only(current)
            if len(self._current) >= _SCOPES:
                self._current.clear()
            self._current[part] = current
        return current


_LATEST = Filter()


def _read_only(array: ndarray) -> ndarray:
    array.setflags(write=False)
    return array
