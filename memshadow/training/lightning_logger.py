"""Lightning's metrics, handed to a tracker. Knows Lightning and the tracker contract; imported only where one trains.

Lightning's own MLFlowLogger opens a new run on resume; here the run is opened and closed by whoever owns the tracker.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from memshadow.training.tracker import Tracker


class TrackerLogger(Logger):
    """Passes what a module logs to a started ``Tracker``; of several processes only the first one does.

    Hyperparameters are dropped: the configuration was recorded when the run was started.
    """

    def __init__(self, *, tracker: Tracker, run_id: str) -> None:
        super().__init__()
        self.tracker = tracker
        self.run_id = run_id

    @property
    def name(self) -> str:
        """Return "memshadow"."""
        return "memshadow"

    @property
    def version(self) -> str:
        """Return the run's id."""
        return self.run_id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand the numbers on, but for the epoch, which Lightning adds to every call."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self.tracker.log_metrics(values, step=step or 0)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    @rank_zero_only
    def finalize(self, status: str) -> None:  # noqa: ARG002 - Lightning names it
        """Store what is held back; the run stays open."""
        self.tracker.flush()
