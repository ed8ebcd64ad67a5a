"""What ``train`` does differently where tasks are learned, not conversations: parts, figures, table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.config import build
from memshadow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig
    from rich.table import Table

    from memshadow.data.corpora.part import TaskPart
    from memshadow.meta.evaluation import Learned
    from memshadow.training.tracker import Tracker

_UNITS = {True: ("squared error", -1.0), False: ("accuracy, points", 100.0)}


def learns_tasks(config: DictConfig) -> bool:
    """Return whether the learner draws tasks, and reads no conversation."""
    return "algorithm" in config.learner


def parts(corpus: Any) -> list[TaskPart]:
    """Return what is trained on, validated with, and held out."""
    from memshadow.data.corpora.part import TaskPart

    if not (hasattr(type(corpus), "episodes") or hasattr(type(corpus), "utterances")):
        raise ConfigError(
            f"data={corpus.name} holds no tasks and no classes; learn tasks from data=sinusoids, topics or intents."
        )
    return [TaskPart(corpus, name) for name in ("train", "valid", "test")]


def measured(
    config: DictConfig, model: Path, held_out: TaskPart, history: Sequence[Any], *, step: int, tracker: Tracker
) -> tuple[dict[str, float], Table]:
    """Measure new tasks by inner steps, beside the weights that training began with; log and return what came of it."""
    from memshadow.meta.evaluation import by_steps, mean_scores, steps_shown, untrained
    from memshadow.meta.learner import learned_in
    from memshadow.training.plots import learning_curves, over_steps

    learner = build(config.learner)
    episodes = learner.episodes(held_out, cache=Path(config.cache_dir))
    network, algorithm = learner.network, learner.algorithm
    shown = steps_shown(algorithm)
    start = untrained(network, algorithm, seed=config.seed)
    found = {
        name: by_steps(network, algorithm, weights, episodes, steps=shown, seed=config.seed)
        for name, weights in (("untrained", start), (algorithm.name, learned_in(model)))
    }
    trained_for = shown.index(algorithm.steps)
    score, begun = (found[name][trained_for].mean for name in (algorithm.name, "untrained"))
    figures = {"test/score": score, "test/untrained": begun}
    tracker.log_metrics(figures, step=step)
    tracker.log_table("history", history)
    tracker.log_table("tasks", [{"system": name, **row} for name, rows in found.items() for row in mean_scores(rows)])
    tracker.log_figure("learning_curves", learning_curves(history))
    tracker.log_figure("inner_steps", over_steps({name: mean_scores(rows) for name, rows in found.items()}))
    return figures, _table(found, regression=score < 0, corpus=held_out.corpus.name)


def _table(found: dict[str, list[Learned]], *, regression: bool, corpus: str) -> Table:
    from rich import box
    from rich.table import Table

    (unit, scale), tasks = _UNITS[regression], len(next(iter(found.values()))[0].scores)
    shown = Table(title=f"{corpus}: {tasks} tasks never seen, {unit}", box=box.SIMPLE_HEAD, title_justify="left")
    shown.add_column("inner steps", justify="right")
    for name in found:
        shown.add_column(name, justify="right")
    for rows in zip(*found.values(), strict=True):
        told = (f"{scale * one.mean:.3f} ± {abs(scale) * one.half_width:.3f}" for one in rows)
        shown.add_row(str(rows[0].steps), *told)
    return shown
