"""Keep Lightning's tips off the screen while it trains. Hides advice, never errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric", "torch.distributed")
_ADVICE = (
    r".*does not have many workers.*",
    r".*is smaller than the logging interval.*",
    r".*module\(s\) in eval mode at the start of training.*",
    r".*available but not used.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*The `srun` command is available.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Raise Lightning's loggers to errors and drop its advice for the block."""
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _ADVICE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
