"""A whole memory without files, models or threads: the reference store and index, a hashing embedder."""

from datetime import UTC, datetime, timedelta

from memshadow.data.index.reference import ReferenceIndex
from memshadow.data.store.reference import ReferenceStore
from memshadow.memory.counting import ByteCounter
from memshadow.memory.ranking import HybridRanking
from memshadow.memory.service import Memory
from memshadow.memory.supersession import KeyedRule
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.projected import ProjectedEmbedder

VIEWS = {
    "before": 2,
    "after": 1,
    "context_chars": 200,
    "k1": 0.9,
    "b": 0.4,
    "mean_length": 12.0,
    "copies": 2,
    "width": 32,
}


def hashing(dim=256):
    return HashingEmbedder(dim=dim, k1=0.9, b=0.4, mean_length=12.0, copies=2)


def contextual():
    """Return an embedder whose rows depend on two turns before and one after."""
    return ProjectedEmbedder(encoder=hashing(32), model=None, dim=64, views=VIEWS, parts="both")


def hybrid(**changed):
    given = {"method": "minmax", "vector_weight": 0.5, "k1": 0.9, "b": 0.4, "exact_below": 5000, "candidates": 50}
    return HybridRanking(**given | changed)


class Clock:
    """Tells a minute more each time."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(minutes=1)
        return self.now


def memory(*, embedder=None, store=None, index=None, ranking=None, near=0.95, scope=None, rule=None, **parts):
    return Memory(
        store=store or ReferenceStore(),
        index=index or ReferenceIndex(),
        embedder=embedder or hashing(),
        ranking=ranking or hybrid(),
        rule=rule or KeyedRule(),
        counter=ByteCounter(),
        near_threshold=near,
        scope=scope,
        clock=Clock(),
        **parts,
    )
