"""Train a learner in a folder, from the start or from where it was stopped. Knows no model and no configuration.

The folder gets ``state/`` (the whole state, see ``state``), ``best/`` (weights by validation), ``model/`` (the export).
Whoever calls holds the folder (``lock.only_one``) and writes ``run.json`` (``record``).
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EarlyStopping, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme

from memshadow.errors import ConfigError, DataError
from memshadow.training.atomic import new_folder
from memshadow.training.learner import Learner
from memshadow.training.lightning_logger import TrackerLogger
from memshadow.training.options import TrainerOptions
from memshadow.training.quiet import quiet
from memshadow.training.randomness import seed_all
from memshadow.training.saving import BestWeights, History, StateSaver
from memshadow.training.state import StateFolder, StateIO
from memshadow.training.tracker import Tracker
from memshadow.types import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What came of a training. ``history`` has a row per epoch: epoch, step and every metric logged by then."""

    model: Path
    module: pl.LightningModule
    score: float | None
    """The best value of the learner's monitor; ``None`` where validation never gave a number."""
    best_epoch: int
    epochs: int
    steps: int
    seconds: float
    """Of training; ``preparing_s`` came before: encoding the corpus, or reading it from the cache."""
    preparing_s: float
    resumed: bool
    is_first_process: bool
    history: Sequence[Mapping[str, float]]


def train(
    learner: Learner,
    training: Sequence[Conversation],
    validation: Sequence[Conversation],
    *,
    folder: Path,
    cache: Path,
    seed: int,
    options: TrainerOptions,
    tracker: Tracker,
    run_id: str = "",
) -> TrainResult:
    """Train until the monitor stops rising, take the best weights, export them to ``folder/model``.

    A folder that holds a state is gone on with, to the same bits as if it had never been stopped. ``tracker`` has been
    started (``run_id``) and stays open. Under several processes all return; only the first one exports.

    Raises:
        DataError: nothing to train on or to validate with.
        CheckpointError: the state is of another model, a newer version, or wholly damaged.
        ConfigError: Lightning has no such trainer on this machine, e.g. a GPU where there is none.
    """
    if not training or not validation:
        raise DataError(f"{len(training)} conversations to train on and {len(validation)} held out; both need one.")
    began = time.monotonic()
    if options.threads:
        torch.set_num_threads(options.threads)
    seed_all(seed)
    module, data = learner.parts(training, validation, cache=cache, seed=seed)
    module.train()
    prepared = time.monotonic()
    states = StateFolder(folder / "state")
    resumed = bool(states.numbers())
    best = BestWeights(folder / "best", monitor=learner.monitor)
    history = History()
    saver = StateSaver(states.path, every_steps=options.save_every_steps, every_s=options.save_every_s, seed=seed)
    with quiet():
        logger = TrackerLogger(tracker=tracker, run_id=run_id)
        trainer = _trainer(learner, options, module, callbacks=[best, history, saver], logger=logger, folder=folder)
        with _interruptible():
            trainer.fit(module, datamodule=data, ckpt_path=states.path if resumed else None)
    best.restore(module)
    if trainer.is_global_zero:
        with new_folder(folder / "model") as draft:
            learner.export(module.eval(), draft)
    trainer.strategy.barrier("export")
    return TrainResult(
        model=folder / "model",
        module=module,
        score=best.score,
        best_epoch=best.epoch,
        epochs=len(history.rows),
        steps=trainer.global_step,
        seconds=time.monotonic() - prepared,
        preparing_s=prepared - began,
        resumed=resumed,
        is_first_process=trainer.is_global_zero,
        history=history.rows,
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C come out as what it is: Lightning turns it into an exit and stays deaf to the next one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _trainer(
    learner: Learner,
    options: TrainerOptions,
    module: pl.LightningModule,
    *,
    callbacks: list[Callback],
    logger: TrackerLogger,
    folder: Path,
) -> pl.Trainer:
    stop = EarlyStopping(learner.monitor, mode="max", patience=learner.patience, strict=False)
    progress = sys.stderr.isatty() if options.progress is None else options.progress
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    try:
        return pl.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            strategy=options.strategy,
            precision=options.precision,  # type: ignore[arg-type]
            accumulate_grad_batches=options.accumulate,
            gradient_clip_val=options.clip_norm,
            deterministic=options.deterministic,
            max_epochs=learner.max_epochs,
            callbacks=[stop, *callbacks, *([_progress_bar()] if progress else [])],
            plugins=[StateIO(shapes)],
            logger=logger,
            enable_progress_bar=progress,
            enable_checkpointing=True,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(
            f"a trainer with accelerator={options.accelerator}, devices={options.devices}, "
            f"strategy={options.strategy}, precision={options.precision} cannot be had here ({reason}); "
            "trainer=cpu runs on every machine."
        ) from error


def _progress_bar() -> RichProgressBar:
    return RichProgressBar(theme=RichProgressBarTheme(metrics_format=".4f"), leave=False)
