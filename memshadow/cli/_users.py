"""What ``train`` does differently where the start of users' adapters is learned: figures and table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.config import build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omegaconf import DictConfig
    from rich.table import Table

    from memshadow.models.metrics import Estimate
    from memshadow.training.tracker import Tracker
    from memshadow.types import Conversation


def learns_users(config: DictConfig) -> bool:
    """Return whether the learner learns adapters."""
    return "support" in config.learner


def measured(
    config: DictConfig,
    model: Path,
    held_out: Sequence[Conversation],
    history: Sequence[Any],
    *,
    step: int,
    tracker: Tracker,
) -> tuple[dict[str, float], Table]:
    """Measure users that were never seen, by the questions that they answered; log and return what came of it."""
    from memshadow.meta.adapter import read_start
    from memshadow.meta.adapter_evaluation import by_answers, owners
    from memshadow.meta.adapter_learner import users_of
    from memshadow.models.cached import CachedEmbedder
    from memshadow.models.metrics import estimate
    from memshadow.training.plots import learning_curves

    encoder = CachedEmbedder(encoder=build(config.learner).encoder, folder=config.cache_dir)
    users = users_of(held_out, "held-out", encoder)
    found = by_answers(users, read_start(model), seed=config.seed)
    of = owners(users)
    shown = {name: (estimate(values, of), estimate(values - found["without"], of)) for name, values in found.items()}
    figures = {f"test/ndcg@10 {name}": one.mean for name, (one, _) in shown.items()}
    tracker.log_metrics({name.replace(" ", "_"): value for name, value in figures.items()}, step=step)
    tracker.log_table("history", history)
    rows = [{"adapter": name, "ndcg@10": one.mean, "gain": gain.mean} for name, (one, gain) in shown.items()]
    tracker.log_table("users", rows)
    tracker.log_figure("learning_curves", learning_curves(history))
    return figures, _table(shown, users=len(users), questions=len(of))


def _table(shown: Mapping[str, tuple[Estimate, Estimate]], *, users: int, questions: int) -> Table:
    from rich import box
    from rich.table import Table

    title = f"{questions} questions of {users} users never seen, nDCG@10 in points"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("adapter of")
    table.add_column("other questions", justify="right")
    table.add_column("gain", justify="right")
    for name, (one, gain) in shown.items():
        told = f"{100 * gain.mean:+.1f} [{100 * gain.low:.1f}, {100 * gain.high:.1f}]"
        table.add_row(name, f"{100 * one.mean:.1f}", "" if name == "without" else told)
    return table
