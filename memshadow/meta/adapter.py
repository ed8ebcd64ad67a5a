"""A user's adapter: what a few answered questions change about how that user's questions are looked up.

Only the query side moves, so no stored vector ever changes. A question's row q becomes

    x = q + q W + sum_j cos(q, q_j) v_j,    looked up as x / |x|

with W shared by all users, learned over many of them beforehand (the *start*), and one v_j for each question q_j that
the user answered. The v_j come from a few gradient steps, from 0, on the cross entropy of the right memories among the
user's own. That is MAML on the matrix of a linear map with a rate learned beside it: each gradient of that matrix lies
in the span of the q_j, so the v_j hold what it became and a user costs two rows a question, not a matrix (Finn et al.
2017, arXiv 1703.03400; the representer theorem, Schoelkopf et al. 2001). Needs numpy alone; knows no store.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from memshadow.errors import CheckpointError, ConfigError, DataError
from memshadow.models.checkpoint import read_model, write_model
from memshadow.training.atomic import write_bytes

KIND = "adapter-start"
SHIPPED = Path(__file__).with_name("shipped")
_VERSION = 1
_MOST_STEPS = 100


def inner_steps(
    keys: Any, begin: Any, rows: Any, wanted: Any, *, temperature: Any, rate: Any, steps: int, xp: ModuleType
) -> Any:
    """Return the v_j ``[... k d]`` after gradient steps from 0; differentiable where ``xp`` is torch.

    Args:
        keys: the answered questions' rows ``[... k d]``, of length 1.
        begin: the same after W, ``[... k d]``.
        rows: what is looked for, ``[n d]``.
        wanted: the share of each row in a question's answer, ``[... k n]``; a question that only says what is wrong has
            that share below 0.
        temperature: what scores are multiplied by before the softmax.
        rate: of a step.
        steps: how many.
        xp: numpy or torch.
    """
    among = keys @ keys.mT
    values = keys * 0.0
    for _ in range(steps):
        scores = temperature * (begin + among @ values) @ rows.T
        raised = xp.exp(scores - xp.amax(scores, axis=-1, keepdims=True))
        found = raised / raised.sum(axis=-1, keepdims=True)
        pull = (_told(found, wanted) @ rows) / keys.shape[-2]
        values = values - rate * pull
    return values


def _told(found: Any, wanted: Any) -> Any:
    """Return the gradient of the loss in the scores: cross entropy, or of -log(1 - p) where a row is wrong."""
    right = wanted.sum(axis=-1, keepdims=True) > 0  # else what is wrong is all that is known
    if bool(right.all()):
        return found - wanted
    shares = wanted * 0.0 + (wanted < 0)
    mass = (found * shares).sum(axis=-1, keepdims=True)
    sinking = found * (shares - mass) / (1.0 - mass).clip(0.1, None)
    return (found - wanted) * right + sinking * ~right


@dataclass(frozen=True, kw_only=True)
class Start:
    """What all users begin with: learned over many users, for the rows of one embedder.

    ``matrix`` is W ``[d d]``; ``embedder`` the fingerprint of the rows' maker.
    """

    matrix: Float32[ndarray, "d d"]
    temperature: float
    rate: float
    steps: int
    embedder: str
    fingerprint: str

    def begin(self, queries: Float32[ndarray, "n d"]) -> Float32[ndarray, "n d"]:
        """Return q + q W."""
        return np.asarray(queries + queries @ self.matrix, dtype=np.float32)

    def adapted(
        self, queries: Float32[ndarray, "k d"], rows: Float32[ndarray, "n d"], wanted: Float32[ndarray, "k n"]
    ) -> Adapter:
        """Return the adapter of a user who answered k questions; ``wanted`` as in :func:`inner_steps`.

        Raises:
            DataError: a question has neither a right nor a wrong row.
        """
        if not np.abs(wanted).sum(axis=1).all():
            raise DataError("a question came without a memory that is right, or wrong; each needs one.")
        keys = _unit(queries)
        values = inner_steps(
            keys,
            self.begin(queries),
            rows,
            np.asarray(wanted, dtype=np.float32),
            temperature=np.float32(self.temperature),
            rate=np.float32(self.rate),
            steps=self.steps,
            xp=np,
        )
        return Adapter(keys=_half(keys), values=_half(values), embedder=self.embedder, start=self.fingerprint)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """What one user's answers made of the start: ``keys`` and ``values`` ``[k d]``, half precision.

    ``embedder`` and ``start`` are the fingerprints that it is of; with others it means nothing.
    """

    keys: ndarray
    values: ndarray
    embedder: str
    start: str

    def rows(self, start: Start, queries: Float32[ndarray, "n d"]) -> Float32[ndarray, "n d"]:
        """Return the rows that a user's questions are looked up with, of length 1.

        Raises:
            CheckpointError: the adapter is of another start or another embedder.
        """
        if (self.embedder, self.start) != (start.embedder, start.fingerprint):
            raise CheckpointError(
                f"the adapter is of the embedder {self.embedder} and the start {self.start}, not of "
                f"{start.embedder} and {start.fingerprint}; adapt again: memshadow adapt."
            )
        keys, values = self._wide
        return _unit(start.begin(queries) + (_unit(queries) @ keys.T) @ values)

    @cached_property
    def _wide(self) -> tuple[Float32[ndarray, "k d"], Float32[ndarray, "k d"]]:
        return self.keys.astype(np.float32), self.values.astype(np.float32)

    @property
    def size_bytes(self) -> int:
        """Return what it takes on disk, but for a short head."""
        return int(self.keys.nbytes + self.values.nbytes)

    def write(self, file: Path) -> None:
        """Write it, for its owner's eyes alone (mode 0600); whole or not at all."""
        said = {"version": str(_VERSION), "embedder": self.embedder, "start": self.start}
        write_bytes(file, save({"keys": self.keys, "values": self.values}, metadata=said), mode=0o600)


def read_adapter(file: Path, *, dim: int) -> Adapter:
    """Return the adapter of ``dim`` columns in a file; CheckpointError where it is damaged or of a newer memshadow."""
    try:
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        said = _header(content[8 : 8 + length])
        tensors = load(content)
        if said["version"] != str(_VERSION):
            raise CheckpointError(f"{file} is of version {said['version']}; this memshadow reads {_VERSION}.")
        keys, values = tensors["keys"], tensors["values"]
        same = keys.shape == values.shape == (len(keys), dim)
        _needed(same and bool(np.isfinite(keys).all() and np.isfinite(values).all()), f"two tables of {dim} numbers")
        return Adapter(keys=keys, values=values, embedder=said["embedder"], start=said["start"])
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{file} is no adapter: {error!r:.200}. Remove it, and adapt again.") from error


def _needed(there: bool, what: str) -> None:
    if not there:
        raise ValueError(f"needed: {what}")


def _header(content: bytes) -> dict[str, str]:
    import json

    return dict(json.loads(content)["__metadata__"])


def write_start(folder: Path, start: Start) -> str:
    """Write a start as a model folder and return its fingerprint; W is kept in half precision."""
    settings = {"embedder": start.embedder, "steps": start.steps}
    tensors = {
        "matrix": _half(start.matrix),
        "scalars": np.array([start.temperature, start.rate], dtype=np.float32),
    }
    return write_model(folder, kind=KIND, settings=settings, tensors=tensors)


def read_start(folder: Path) -> Start:
    """Return the start in a model folder; raises CheckpointError where it is none, or damaged."""
    stored = read_model(folder)
    if stored.kind != KIND:
        raise CheckpointError(f"{folder} holds a model of kind {stored.kind!r}; an adapter's start was needed.")
    try:
        tensors = stored.tensors()
        matrix, (temperature, rate) = tensors["matrix"].astype(np.float32), tensors["scalars"].tolist()
        steps, embedder = int(stored.settings["steps"]), str(stored.settings["embedder"])
        _needed(matrix.shape == (len(matrix),) * 2 and bool(np.isfinite(matrix).all()), "a square matrix of numbers")
        sound = 0 < temperature < np.inf and 0 < rate < np.inf and 0 <= steps <= _MOST_STEPS
        _needed(sound, f"temperature and rate above 0, and up to {_MOST_STEPS} steps")
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{folder} holds a start that cannot be: {error!r:.200}.") from error
    return Start(
        matrix=matrix,
        temperature=temperature,
        rate=rate,
        steps=steps,
        embedder=embedder,
        fingerprint=stored.fingerprint,
    )


def plain_start(*, dim: int, embedder: str, temperature: float, rate: float, steps: int) -> Start:
    """Return a start that nothing was learned for: W = 0, so that adapting is plain fine-tuning.

    Raises:
        ConfigError: a setting is out of its range.
    """
    if not (temperature > 0 and rate > 0 and steps >= 0):
        raise ConfigError(f"{temperature=}, {rate=}, {steps=}; needed: above 0, above 0, 0 or more.")
    name = f"plain-{temperature}-{rate}-{steps}"
    matrix = np.zeros((dim, dim), dtype=np.float32)
    return Start(matrix=matrix, temperature=temperature, rate=rate, steps=steps, embedder=embedder, fingerprint=name)


def _unit(rows: Float[ndarray, "n d"]) -> Float32[ndarray, "n d"]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0), dtype=np.float32)


def _half(rows: ndarray) -> ndarray:
    return np.asarray(rows, dtype=np.float16)
