"""A learner that uses every source of randomness; and, as a script, one that is killed again and again.

``python toy.py FOLDER KILLS SEED`` trains to the end once, then kills trainings (SIGKILL) at random moments, going on
with each, until KILLS have hit, and prints the digest of every finished model.
"""

import contextlib
import hashlib
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from memshadow.models.checkpoint import write_model
from memshadow.training.batching import BatchLoader, FixedBatches, shuffled
from memshadow.training.options import TrainerOptions
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation

OPTIONS = {
    "accelerator": "cpu",
    "devices": 1,
    "strategy": "auto",
    "precision": "32-true",
    "accumulate": 1,
    "clip_norm": 1.0,
    "save_every_steps": 3,
    "save_every_s": None,
    "threads": 1,
    "deterministic": True,
    "progress": False,
}


class Module(pl.LightningModule):
    def __init__(self, width=16, worse=False):
        super().__init__()
        nn = torch.nn
        self.net = nn.Sequential(nn.Linear(8, width), nn.Dropout(0.5), nn.ReLU(), nn.Linear(width, 1))
        self.worse = worse

    def training_step(self, batch, _):
        x, y = batch
        noise = torch.randn_like(x) * random.random() * np.random.rand()  # noqa: NPY002
        loss = ((self.net(x + noise)[:, 0] - y) ** 2).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        score = -((self.net(x)[:, 0] - y) ** 2).mean()
        self.log("val/score", -float(self.current_epoch) if self.worse else score, batch_size=len(x))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step / 50))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling, "interval": "step"}}


class Data(pl.LightningDataModule):
    def __init__(self, seed, workers):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(203, 8, generator=generator)
        self.y = self.x.sum(1)
        self.seed, self.workers = seed, workers

    def make(self, draw):
        rows = list(draw.indices)
        jitter = torch.from_numpy(draw.generator().normal(size=(len(rows), 8)).astype(np.float32))
        return self.x[rows] + 0.1 * jitter, self.y[rows]

    def train_dataloader(self):
        plan = partial(shuffled, count=200, batch_size=10, seed=self.seed)
        return BatchLoader(self.make, plan, seed=self.seed, workers=self.workers)

    def val_dataloader(self):
        return FixedBatches([(self.x[200:], self.y[200:])])


class Toy:
    name, monitor = "toy", "val/score"

    def __init__(self, max_epochs=3, *, patience=3, workers=0, width=16, worse=False, monitor="val/score"):
        self.max_epochs, self.patience, self.workers, self.monitor = max_epochs, patience, workers, monitor
        self.module = partial(Module, width, worse)

    def parts(self, training, validation, *, cache, seed):
        return self.module(), Data(seed, self.workers)

    def export(self, module, folder):
        tensors = {name: value.numpy() for name, value in module.state_dict().items()}
        write_model(folder, kind="toy", settings={}, tensors=tensors)


def go(folder, learner=None, *, seed=7, tracker=None, **changed):
    talk = [Conversation(id="c", memories=())]
    return train(
        learner or Toy(),
        talk,
        talk,
        folder=Path(folder),
        cache=Path(folder) / "cache",
        seed=seed,
        options=TrainerOptions(**{**OPTIONS, **changed}),
        tracker=tracker or NullTracker(),
    )


def digest(folder):
    return hashlib.sha256((Path(folder) / "model" / "model.safetensors").read_bytes()).hexdigest()[:16]


def child(folder):
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            go(folder)
            code = 0
        os._exit(code)
    return pid


def end_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_and_resumed(folder, most, lasts, chance):
    """Train in ``folder`` to the end, killed up to ``most`` times; return the kills, and those that found a state."""
    hits = with_state = 0
    while hits < most:
        pid = child(folder)
        time.sleep(chance.uniform(0, 1) * lasts)
        os.kill(pid, signal.SIGKILL)
        if end_of(pid) == 0:  # it was done before the signal came
            return hits, with_state
        hits += 1
        with_state += bool(list((folder / "state").glob("[0-9]*")))
    assert end_of(child(folder)) == 0
    return hits, with_state


def main(base, kills, seed):
    chance, began = random.Random(seed), time.monotonic()
    assert end_of(child(base / "whole")) == 0
    lasts = time.monotonic() - began
    print("whole", digest(base / "whole"), flush=True)
    hits = with_state = number = 0
    while hits < kills:
        folder = base / str(number)
        more, found = killed_and_resumed(folder, min(4, kills - hits), lasts, chance)
        hits, with_state, number = hits + more, with_state + found, number + 1
        print("killed", digest(folder), flush=True)
    print("kills", hits, with_state, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
