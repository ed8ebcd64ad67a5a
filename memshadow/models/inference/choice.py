"""Which runtime: by name, or by a rule. The only place that knows them all; imports each when it is asked for.

The rule of ``auto``, from ``benchmarks/encoding``: on a GPU torch; on a CPU ONNX Runtime where it is installed (as fast
as torch in batches, less CPU time on one query, starts without torch), else torch; what is no plain BERT by its own
code. ``auto`` stays with fp32, so that a memory written on one machine is read on another; bf16 and int8 are a choice.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from memshadow.errors import CheckpointError, ConfigError, MissingExtraError
from memshadow.models.inference.base import Runtime
from memshadow.models.inference.bert import WEIGHTS, is_bert, read_bert, read_json, weights_digest

NAMES = ("torch-fp32", "torch-bf16", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-bf16", "transformers-fp32")
EXPORTED = ("exported-cls", "exported-mean")
"""Graphs that came as they are (``model.onnx``), by what their export does not say: how to pool."""
DEVICES = ("auto", "cpu", "cuda")


def engine_file(precision: str) -> str:
    """Return the name of the ONNX file that training leaves beside the weights."""
    return f"encoder-{precision}.onnx"


def open_runtime(folder: Path, name: str, *, device: str, threads: int) -> Runtime:
    """Return the runtime ``name`` on the weights in ``folder``; ``auto`` decides by :func:`automatic`."""
    if name not in ("auto", *NAMES, *EXPORTED):
        raise ConfigError(f"runtime={name!r} is none of: auto, {', '.join((*NAMES, *EXPORTED))}")
    if device not in DEVICES or threads < 0:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)} and threads >= 0; got {device=}, {threads=}")
    if name == "auto":
        name = automatic(folder, device)
    engine, precision = name.split("-")
    if engine == "onnx":
        return _onnx(folder, precision, threads)
    if engine == "exported":
        from memshadow.models.inference.exported import ExportedRuntime

        return ExportedRuntime(folder, pooling=precision, threads=threads)
    if engine == "openvino":
        return _openvino(folder, precision, threads)
    return _torch(folder, engine, precision, device, threads)


def automatic(folder: Path, device: str) -> str:
    """Return the name of the fp32 runtime that the rule above picks on this machine."""
    if not is_bert(read_json(folder / "config.json")):
        return "transformers-fp32"
    if device == "cuda" or (device == "auto" and _has_cuda()):
        return "torch-fp32"
    light = find_spec("onnxruntime") is not None
    graph = (folder / engine_file("fp32")).is_file() or find_spec("onnx") is not None
    return "onnx-fp32" if light and graph else "torch-fp32"


def _has_cuda() -> bool:
    """Ask torch only where a driver is in sight: importing it costs more than a second."""
    if not Path("/proc/driver/nvidia").exists() or find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _onnx(folder: Path, precision: str, threads: int) -> Runtime:
    from memshadow.models.inference.onnx_graph import STAMP, graph_apart
    from memshadow.models.inference.onnx_runtime import OnnxRuntime

    exported = folder / engine_file(precision)
    if not exported.is_file():
        graph, weights = graph_apart(read_bert(folder), int8=precision == "int8")
        return OnnxRuntime(graph, precision=precision, threads=threads, weights=weights)
    runtime = OnnxRuntime(exported, precision=precision, threads=threads)
    if runtime.metadata.get(STAMP) != weights_digest(folder):
        raise CheckpointError(f"{exported} was not exported from the {WEIGHTS} beside it; delete it or export it again")
    return runtime


def _openvino(folder: Path, precision: str, threads: int) -> Runtime:
    from memshadow.models.inference.onnx_graph import graph_of
    from memshadow.models.inference.openvino_runtime import OpenvinoRuntime

    graph = graph_of(read_bert(folder), int8=False).SerializeToString()
    return OpenvinoRuntime(graph, precision=precision, threads=threads)


def torch_device(device: str, *, threads: int) -> str:
    """Return where torch shall run, ``cpu`` or ``cuda``, once it was told how many threads it may take."""
    if device not in DEVICES or threads < 0:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)} and threads >= 0; got {device=}, {threads=}")
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device='cuda' was asked for, but torch sees no GPU; give device=cpu or auto")
    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _torch(folder: Path, engine: str, precision: str, device: str, threads: int) -> Runtime:
    device = torch_device(device, threads=threads)
    if engine == "transformers":
        from memshadow.models.inference.transformers_runtime import TransformersRuntime

        return TransformersRuntime(folder, device=device)
    from memshadow.models.inference.torch_runtime import TorchRuntime

    return TorchRuntime(read_bert(folder), precision=precision, device=device)
