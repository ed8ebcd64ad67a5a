"""On what and how a training runs: the trainer group of the configuration. Knows no learner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerOptions:
    """Device, precision and habits of saving; ``configs/trainer`` says what each choice means and its default.

    ``accelerator``, ``devices``, ``strategy`` and ``precision`` are Lightning's. ``save_every_steps`` and
    ``save_every_s`` (seconds) may both be ``None``: then a state is written at the end of each epoch only.
    ``threads`` is torch's number of threads in this process, ``None`` its own choice; another number of threads may
    change the last bits of a result. ``progress`` of ``None`` shows a bar where standard error is a terminal.
    """

    accelerator: str
    devices: int | str
    strategy: str
    precision: str
    accumulate: int
    clip_norm: float | None
    save_every_steps: int | None
    save_every_s: float | None
    threads: int | None
    deterministic: bool
    progress: bool | None
