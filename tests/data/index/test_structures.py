"""Which structure is built where. No test here has a GPU: its FAISS is played by one that runs on the processor."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
import world

from memshadow.data.index import neighbours, structures
from memshadow.data.index.promoted import PromotedIndex
from memshadow.data.index.structures import Shape, parameters, searches_on_gpu
from memshadow.errors import ConfigError, MissingExtraError

SIZES = {"links": 8, "build_effort": 20, "lists": 4, "effort": 3}


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bool]:
    """Let FAISS say that it has a GPU, and note whether rows were to be kept as 16 bits there."""
    moved: list[bool] = []

    def to_gpu(resources: object, device: int, index: faiss.Index, options: SimpleNamespace) -> faiss.Index:
        assert (resources, device) == ("resources", 0)
        moved.append(options.useFloat16)
        return index

    played = SimpleNamespace(**{name: getattr(faiss, name) for name in dir(faiss)})
    played.get_num_gpus, played.StandardGpuResources = lambda: 1, lambda: "resources"
    played.GpuClonerOptions, played.index_cpu_to_gpu, played.index_gpu_to_cpu = SimpleNamespace, to_gpu, lambda it: it
    for module in (structures, neighbours):
        monkeypatch.setattr(module, "faiss", lambda: played)
    monkeypatch.setattr(structures, "_DRIVER", tmp_path)
    structures._gpu.cache_clear()
    yield moved
    structures._gpu.cache_clear()


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"has no GPU: install memshadow\[gpu\] \(faiss-gpu-cu12\) in the place of"):
        world.index("promoted", None, device="cuda")


def test_without_faiss_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent() -> None:
        raise MissingExtraError("faiss", "serve")

    monkeypatch.setattr(structures, "faiss", absent)
    monkeypatch.setattr(structures, "_DRIVER", tmp_path)
    assert not searches_on_gpu("auto")
    with pytest.raises(ConfigError, match="has no GPU"):
        searches_on_gpu("cuda")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="device='gpu' is not known; needed: one of auto, cpu, cuda"):
        world.index("promoted", None, device="gpu")


def test_auto_asks_faiss_only_where_a_driver_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(structures, "_DRIVER", tmp_path / "none")
    monkeypatch.setattr(structures, "faiss", lambda: pytest.fail("FAISS was imported"))
    assert not searches_on_gpu("auto")
    assert not searches_on_gpu("cpu")


@pytest.mark.usefixtures("with_gpu")
def test_where_faiss_has_a_gpu_it_is_used_unless_told_otherwise() -> None:
    assert [searches_on_gpu(device) for device in ("auto", "cuda", "cpu")] == [True, True, False]


@pytest.mark.parametrize(
    ("structure", "on_gpu", "kind", "built"),
    [
        ("hnsw", False, "hnsw", "IndexHNSWSQ"),
        ("ivf_rabitq", False, "ivf_rabitq", "IndexIVFRaBitQ"),
        ("hnsw", True, "gpu_flat", "IndexFlatIP"),
        ("ivf_rabitq", True, "gpu_ivf", "IndexIVFScalarQuantizer"),
    ],
)
def test_what_is_built(structure: str, on_gpu: bool, kind: str, built: str, with_gpu: list[bool]) -> None:
    shape = Shape(structure=structure, on_gpu=on_gpu, **SIZES)
    rows = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    index = structures.trained(rows, shape)
    assert (shape.kind, type(index).__name__, with_gpu) == (kind, built, [True] * on_gpu)
    index.add(rows)
    found = index.search(rows[:1], 3, params=parameters(shape, 3, 1.0))[1]
    content = np.frombuffer(structures.to_bytes(index, shape), dtype=np.uint8)
    again = structures.from_bytes(content, shape)
    assert again.search(rows[:1], 3, params=parameters(shape, 3, 1.0))[1].tolist() == found.tolist()


def test_a_gpu_is_asked_for_more_where_a_mask_will_take_some_away() -> None:
    gpu, cpu = (Shape(structure="hnsw", on_gpu=on_gpu, **SIZES) for on_gpu in (True, False))
    assert (gpu.wanted(10, 1.0), gpu.wanted(10, 0.5), gpu.wanted(500, 0.1)) == (10, 40, 2048)
    assert (cpu.wanted(10, 1.0), cpu.wanted(10, 0.5)) == (10, 10)


@pytest.mark.parametrize("structure", ["hnsw", "ivf_rabitq"])
def test_an_index_over_a_gpu(structure: str, with_gpu: list[bool], tmp_path: Path) -> None:
    """Filters, what is forgotten and files hold there as elsewhere: see test_promoted."""
    import test_promoted as promoted

    small = promoted.Topics()
    index = promoted.made(tmp_path, structure, device="auto", shortlist=64)
    small.attached(index)
    small.add(index, "ann", promoted.SIZE)
    promoted.ready(index)
    assert with_gpu
    assert promoted.recall(small, index, None) >= 0.97
    assert promoted.recall(small, index, promoted.Filter(kinds=("episodic", "semantic"))) >= 0.97
    block, query = promoted.ready(index), small.topics[0]
    far = block.scores(query) < np.quantile(block.scores(query), 0.4)
    assert len(block.nearest(query, k=promoted.K, allowed=far).places) == promoted.K
    for record in small.records("ann")[:30]:
        small.erase(index, "ann", record)
    promoted.ready(index)
    assert promoted.recall(small, index, promoted.Filter()) >= 0.97
    index.close()
    assert index.report == ()
    assert isinstance(index, PromotedIndex)
