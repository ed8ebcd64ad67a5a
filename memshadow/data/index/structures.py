"""What FAISS is asked to build: a graph or lists of bits, or rows of 16 bits on a GPU. Takes rows; knows no owner.

HNSW: Malkov & Yashunin 2018 (arXiv 1603.09320), over 8-bit codes. IVF-RaBitQ: Gao & Long 2024 (arXiv 2405.12497).
Neither of them has a form for GPUs: there all rows are compared, or those of some clusters (Johnson et al. 2017,
arXiv 1702.08734).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError, MissingExtraError

STRUCTURES = ("hnsw", "ivf_rabitq")
DEVICES = ("auto", "cpu", "cuda")
_DRIVER = Path("/proc/driver/nvidia")
_MOST_ON_GPU = 2_048  # rows that one search on a GPU can give


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What to build, and how hard to look.

    ``structure``: hnsw or ivf_rabitq. ``links`` a node and ``build_effort`` (candidates at building) are hnsw's,
    ``lists`` (clusters) ivf_rabitq's. ``effort``: candidates (hnsw) or clusters (ivf_rabitq) a search goes through.
    ``on_gpu``: rows of 16 bits on the first GPU instead, all of them (hnsw) or in clusters (ivf_rabitq).
    """

    structure: str
    links: int
    build_effort: int
    lists: int
    effort: int
    on_gpu: bool = False

    def __post_init__(self) -> None:
        """Refuse a structure that does not exist."""
        if self.structure not in STRUCTURES:
            raise ConfigError(f"structure={self.structure!r} is not known; needed: one of {', '.join(STRUCTURES)}")

    @property
    def kind(self) -> str:
        """Return what is built."""
        if self.on_gpu:
            return "gpu_flat" if self.structure == "hnsw" else "gpu_ivf"
        return self.structure

    def wanted(self, k: int, share: float) -> int:
        """Return how many rows to ask for where only a share of them counts: a GPU does not look at masks."""
        return min(int(2 * k / share) if share < 1 else k, _MOST_ON_GPU) if self.on_gpu else k


def faiss() -> Any:
    """Return the FAISS module, imported when it is first needed."""
    try:
        import faiss as module
    except ImportError as error:
        raise MissingExtraError("faiss", "serve") from error
    return module


def searches_on_gpu(device: str) -> bool:
    """Return whether structures go to a GPU: ``auto`` where FAISS has one, ``cuda`` always, ``cpu`` never.

    Raises:
        ConfigError: there is no such device, or ``cuda`` was asked for and FAISS has no GPU.
    """
    if device not in DEVICES:
        raise ConfigError(f"device={device!r} is not known; needed: one of {', '.join(DEVICES)}")
    if device == "cpu" or (device == "auto" and not _DRIVER.exists()):
        return False
    try:
        gpus = int(getattr(faiss(), "get_num_gpus", int)())
    except MissingExtraError:
        gpus = 0
    if device == "cuda" and not gpus:
        raise ConfigError(
            "device=cuda was asked for, but the installed FAISS has no GPU: install memshadow[gpu] (faiss-gpu-cu12) in "
            "the place of memshadow[serve] (faiss-cpu; both own the same folder) on a machine with an NVIDIA GPU, or "
            "give device=cpu"
        )
    return gpus > 0


def trained(sample: Float32[ndarray, "n dim"], shape: Shape) -> Any:
    """Return an empty structure that has learned its codes and clusters from a sample of the rows."""
    module, dim = faiss(), sample.shape[1]
    if shape.kind == "hnsw":
        index = module.IndexHNSWSQ(dim, module.ScalarQuantizer.QT_8bit, shape.links, module.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = shape.build_effort
    elif shape.kind == "gpu_flat":
        return _on_gpu(module.IndexFlatIP(dim))
    else:
        coarse, lists = module.IndexFlatIP(dim), min(shape.lists, len(sample))
        if shape.kind == "gpu_ivf":
            half = module.ScalarQuantizer.QT_fp16
            index = module.IndexIVFScalarQuantizer(coarse, dim, lists, half, module.METRIC_INNER_PRODUCT)
        else:
            index = module.IndexIVFRaBitQ(coarse, dim, lists, module.METRIC_INNER_PRODUCT)
        index.own_fields = True
        coarse.this.disown()  # belongs to the structure from here on
    index.train(sample)
    return _on_gpu(index) if shape.on_gpu else index


def parameters(shape: Shape, k: int, share: float) -> Any:
    """Return how to search for ``k`` rows where only a share of them counts."""
    module = faiss()
    if shape.kind == "gpu_flat":
        return None
    least = k if shape.kind == "hnsw" else 1
    effort = int(max(shape.effort, least) / share)
    if shape.kind == "hnsw":
        chosen = module.SearchParametersHNSW()
        chosen.efSearch = effort
    elif shape.kind == "gpu_ivf":
        chosen = module.SearchParametersIVF()
        chosen.nprobe = min(effort, shape.lists)
    else:
        chosen = module.IVFRaBitQSearchParameters()
        chosen.nprobe, chosen.qb = effort, 8
    return chosen


def to_bytes(index: Any, shape: Shape) -> bytes:
    """Return a structure as bytes."""
    whole = faiss().index_gpu_to_cpu(index) if shape.on_gpu else index
    content: bytes = faiss().serialize_index(whole).tobytes()
    return content


def from_bytes(content: ndarray, shape: Shape) -> Any:
    """Return what ``to_bytes`` was given; the bytes were checked by who calls."""
    index = faiss().deserialize_index(np.ascontiguousarray(content))
    return _on_gpu(index) if shape.on_gpu else index


@lru_cache(maxsize=1)
def _gpu() -> Any:
    return faiss().StandardGpuResources()


def _on_gpu(index: Any) -> Any:
    options = faiss().GpuClonerOptions()
    options.useFloat16 = True
    return faiss().index_cpu_to_gpu(_gpu(), 0, index, options)
