"""What the training room asks of anything that learns. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from memshadow.types import Conversation

if TYPE_CHECKING:
    import pytorch_lightning as pl


@runtime_checkable
class Learner(Protocol):
    """Something that trains on conversations and leaves a model folder: one class, one file in ``configs/learner``.

    ``parts`` is called once, before the first step and again on every resume; everything costly in it (encoding the
    corpus) is cached by fingerprint, so that a resumed run does not pay twice. It is deterministic given its arguments.
    ``export`` writes ``model.safetensors`` + ``model.json`` (and whatever an inference engine needs) into an existing
    empty folder; what it writes loads without Hydra. The module it gets holds the best weights.

    Resume is exact to the bit when all randomness of a step comes from torch's, numpy's or Python's global generators
    or from the batch's own seed, and the training loader is a ``memshadow.training.batching.BatchLoader`` (or has
    ``state_dict`` and ``load_state_dict`` of its own). The module logs ``monitor`` at the end of each validation epoch.
    """

    name: str
    monitor: str
    """The validation metric that early stopping and the best weights watch, e.g. ``val/ndcg@10``; higher is better."""
    max_epochs: int
    """Passes over the training data at most; validation follows each of them."""
    patience: int
    """Validations without a better score before training stops."""

    def parts(
        self, training: Sequence[Conversation], validation: Sequence[Conversation], *, cache: Path, seed: int
    ) -> tuple[pl.LightningModule, pl.LightningDataModule]:
        """Return the module to train and its data."""
        ...

    def export(self, module: pl.LightningModule, folder: Path) -> None:
        """Write the trained model for inference."""
        ...
