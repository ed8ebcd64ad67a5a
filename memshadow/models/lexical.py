"""Words to stems, stems to weights: the lexical half of every score. Knows nothing of memories or of neural models.

BM25 is written as a dot product: a document carries the saturated term frequency, a query carries the inverse document
frequency (Robertson & Zaragoza 2009, *The Probabilistic Relevance Framework*, eq. 3.15; idf in the always positive form
of Lucene). So documents never change when the collection grows: only the query side does.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from threading import Lock

import numpy as np
import snowballstemmer
from jaxtyping import Float32
from numpy import ndarray

_STOP = frozenset(
    """
    a about above after again against all also am an and any are aren as at be because been before being below
    between both but by can cannot could couldn d did didn do does doesn doing don down during each else ever few
    for from further get gets got had hadn has hasn have haven having he her here hers herself him himself his how
    i if in into is isn it its itself just ll m may me might more most much must my myself no nor not now of off
    on once one only or other ought our ours ourselves out over own re really s same shall she should shouldn so
    some such t than that the their theirs them themselves then there these they this those through to too under
    until up us ve very was wasn we were weren what when where whether which while who whom whose why will with
    won would wouldn yes yet you your yours yourself yourselves
    """.split()
)
# A term is a run of letters and digits of any script; scripts that put no space between words are cut into bigrams.
_TERM = re.compile(r"[^\W_]+", re.UNICODE)
_UNSPACED = re.compile("[぀-ヿ㐀-䶿一-鿿豈-﫿가-힯฀-๿]+")
_STEMMER = snowballstemmer.stemmer("english")
_STEMMING = Lock()  # a stemmer keeps the word that it works on: two threads would mix theirs
_LONGEST_TERM = 64
MOST_COPIES = 16  # 64 bytes of hash are to be had, 4 a copy


@lru_cache(maxsize=200_000)
def _stem(term: str) -> str:
    with _STEMMING:
        return str(_STEMMER.stemWord(term))


def _pieces(run: str) -> Iterable[str]:
    """Yield a spaced run as it is and an unspaced one as overlapping character bigrams."""
    if not _UNSPACED.search(run):
        yield run[:_LONGEST_TERM]
        return
    yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))


def terms(text: str) -> list[str]:
    """Return the stemmed terms of ``text`` in order, stop words dropped: what lexical scores count.

    Case is folded, so "Hiking" and "hiked" meet. Text without a term (blank, punctuation, emoji alone) gives ``[]``.
    """
    runs = _TERM.findall(text.casefold())
    return [_stem(piece) for run in runs if run not in _STOP for piece in _pieces(run)]


@dataclass(frozen=True, slots=True)
class TermStatistics:
    """How often terms occur in a collection: what turns a query's terms into weights.

    ``document_frequency`` maps a stem to the number of documents that hold it; ``mean_length`` is in terms.
    """

    documents: int = 0
    mean_length: float = 0.0
    document_frequency: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, documents: Iterable[Sequence[str]]) -> TermStatistics:
        """Count a collection of term lists."""
        frequency: Counter[str] = Counter()
        count = length = 0
        for document in documents:
            frequency.update(set(document))
            count += 1
            length += len(document)
        return cls(count, length / count if count else 0.0, frequency)

    def idf(self, term: str) -> float:
        """Return ln(1 + (N - n + .5) / (n + .5)): positive for every term, largest for one never seen."""
        seen = self.document_frequency.get(term, 0)
        return math.log(1 + (self.documents - seen + 0.5) / (seen + 0.5))


def saturated(counts: Mapping[str, int], *, mean_length: float, k1: float, b: float) -> dict[str, float]:
    """Return BM25's document side: term -> tf (k1 + 1) / (tf + k1 (1 - b + b length / mean_length))."""
    length = sum(counts.values())
    norm = k1 * (1 - b + b * length / mean_length) if mean_length else k1
    return {term: tf * (k1 + 1) / (tf + norm) for term, tf in counts.items()}


@lru_cache(maxsize=400_000)
def buckets(term: str, copies: int) -> tuple[ndarray, ndarray]:
    """Return ``copies`` 32-bit hashes of a term and a sign (+1 or -1) for each, the same on every machine."""
    digest = blake2b(term.encode("utf-8", "surrogatepass"), digest_size=4 * copies).digest()
    values = np.frombuffer(digest, dtype="<u4")
    return (values >> 1).astype(np.int64), np.where(values & 1, 1.0, -1.0).astype(np.float32)


def hashed(weights: Mapping[str, float], dim: int, *, copies: int) -> Float32[ndarray, " dim"]:
    """Return the signed feature hashing of weighted terms (Weinberger et al. 2009, arXiv 0902.2206, eq. 2).

    Two hashed vectors' dot product estimates the sparse one without bias. Each term is written to ``copies`` places
    (section 3.2 there, multiple hashing): the variance stays, but a rare large error becomes a small one everywhere, so
    that a chance collision no longer outranks a true match. A width that divides another is had from it by folding:
    ``hashed(w, d) == fold(hashed(w, 2 * d), d)``.
    """
    row = np.zeros(dim, dtype=np.float32)
    if not weights or not dim:
        return row
    places, signs = zip(*(buckets(term, copies) for term in weights), strict=True)
    amounts = np.repeat(np.fromiter(weights.values(), dtype=np.float32), copies) * np.concatenate(signs)
    np.add.at(row, np.concatenate(places) % dim, amounts / np.float32(math.sqrt(copies)))
    return row


def fold(block: Float32[ndarray, "n wide"], dim: int) -> Float32[ndarray, "n dim"]:
    """Return the hashed rows at a narrower width; ``dim`` must divide the present one (0 gives no columns)."""
    wide = block.shape[1]
    if dim == 0:
        return block[:, :0]
    if wide % dim:
        raise ValueError(f"hashed rows of width {wide} fold to a divisor of {wide}, not to {dim}")
    return np.ascontiguousarray(block.reshape(len(block), wide // dim, dim).sum(axis=1))


class BM25:
    """An inverted index over one collection of texts; scores every document of it.

    ``k1`` and ``b`` as in the paper; the defaults live in ``configs/``.
    """

    def __init__(self, texts: Sequence[str], *, k1: float, b: float) -> None:
        documents = [terms(text) for text in texts]
        self.size = len(documents)
        self.statistics = TermStatistics.of(documents)
        places: dict[str, list[int]] = {}
        weights: dict[str, list[float]] = {}
        for i, document in enumerate(documents):
            side = saturated(Counter(document), mean_length=self.statistics.mean_length, k1=k1, b=b)
            for term, weight in side.items():
                places.setdefault(term, []).append(i)
                weights.setdefault(term, []).append(weight)
        self._postings = {t: (np.array(places[t]), np.array(weights[t], dtype=np.float32)) for t in places}

    def scores(self, query: str) -> Float32[ndarray, " n"]:
        """Return the score of every document for ``query``: sum over its terms of idf times saturated frequency."""
        total = np.zeros(self.size, dtype=np.float32)
        for term, times in Counter(terms(query)).items():
            if term in self._postings:
                places, weights = self._postings[term]
                total[places] += np.float32(times * self.statistics.idf(term)) * weights
        return total
