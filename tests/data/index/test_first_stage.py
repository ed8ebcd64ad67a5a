"""A first look at the beginnings of rows: what passes it is scored wholly, and filters hold before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import world

from memshadow.data.index import snapshot
from memshadow.data.index.base import Block, MemoryIndex
from memshadow.data.store.base import Filter
from memshadow.errors import ConfigError
from memshadow.types import Scope

ANN = ("local", "ann")
SIZE, DIM, FIRST, TIMES, K = 300, 16, 6, 3, 4


class Wide(world.World):
    """Rows of random numbers, the first of which weigh more."""

    def __init__(self) -> None:
        super().__init__(dim=DIM)
        self.draws = np.random.default_rng(0)

    def vector(self) -> np.ndarray:
        weights = np.repeat([1.0, 0.4], [FIRST, DIM - FIRST])
        return (self.draws.standard_normal(DIM) * weights).astype(np.float32)


def filled(choice: str, folder: Path | None = None, **settings: object) -> tuple[Wide, MemoryIndex]:
    small, index = Wide(), world.index(choice, folder, rebuild=False, **settings)
    small.attached(index)
    small.add(index, "ann", SIZE)
    return small, index


def by_definition(block: Block, rows: np.ndarray, query: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    places = np.arange(block.size) if allowed is None else np.flatnonzero(allowed)
    early = np.argsort(-(rows[places, :FIRST] @ query[:FIRST]), kind="stable")[: K * TIMES]
    kept = np.sort(places[early])
    return kept[np.argsort(-(rows[kept] @ query), kind="stable")[:K]]


@pytest.mark.parametrize("choice", ["exact", "exact_fp16", "promoted"])
@pytest.mark.parametrize("long", [True, False], ids=["gathered", "scored whole"])
def test_it_is_what_its_definition_says(choice: str, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_LONG", 100 if long else 10_000)
    small, index = filled(choice, first_dims=FIRST, first_k=TIMES)
    for record in small.records("ann")[:20]:
        index.apply(ANN, small.write("ann", [small.revector("ann", record)]))
    block = index.block(ANN)
    assert getattr(block, "patches", None) is not None
    rows = block.rows(np.arange(block.size))  # type: ignore[attr-defined]
    narrow = block.allowed(Scope(user="ann"), Filter(kinds=("semantic",), speakers=("Ann",)))
    assert narrow is not None
    assert K * TIMES < np.count_nonzero(narrow) < SIZE // 8
    different = 0
    for _ in range(40):
        query = small.vector()
        for allowed in (None, narrow, np.arange(SIZE) % 3 > 0):
            found = block.nearest(query, k=K, allowed=allowed)
            np.testing.assert_array_equal(found.places, by_definition(block, rows, query, allowed))
            np.testing.assert_allclose(found.scores, block.scores(query)[found.places], atol=1e-6)
        whole = np.argsort(-block.scores(query), kind="stable")[:K]
        different += not np.array_equal(block.nearest(query, k=K, allowed=None).places, whole)
    assert different  # else nothing of this was seen
    index.close()


def test_few_are_scored_wholly() -> None:
    small, index = filled("exact", first_dims=1, first_k=TIMES)
    block, query = index.block(ANN), small.vector()
    allowed = np.arange(SIZE) < K * TIMES
    right = np.argsort(-block.scores(query)[allowed], kind="stable")[:K]
    np.testing.assert_array_equal(block.nearest(query, k=K, allowed=allowed).places, right)
    assert len(block.nearest(query, k=SIZE, allowed=None).places) == SIZE
    assert len(block.nearest(query, k=0, allowed=None).places) == 0
    index.close()


def test_files_hold_whole_rows_either_way(tmp_path: Path) -> None:
    small, index = filled("exact", tmp_path, first_dims=FIRST)
    rows = index.block(ANN).rows(np.arange(SIZE)).copy()  # type: ignore[attr-defined]
    index.close()
    again = small.attached(world.index("exact", tmp_path, rebuild=False))
    np.testing.assert_array_equal(again.block(ANN).rows(np.arange(SIZE)), rows)  # type: ignore[attr-defined]
    again.close()
    assert again.report == ()


@pytest.mark.parametrize("dims", [DIM, 2048])
def test_more_numbers_than_a_row_has_are_refused(dims: int) -> None:
    with pytest.raises(ConfigError, match=f"first_dims={dims} leaves nothing .* rows of {DIM} numbers; give fewer"):
        filled("exact", first_dims=dims)


@pytest.mark.parametrize("wrong", [{"first_dims": 0}, {"first_dims": -3}, {"first_dims": 4, "first_k": 0}])
def test_nothing_to_look_at_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="needed: at least 1 each, or first_dims=null"):
        filled("promoted", **wrong)
