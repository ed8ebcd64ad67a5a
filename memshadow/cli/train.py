"""Train a memory embedder and measure it on conversations it never saw.

Words after the verb are Hydra overrides: ``memshadow train data=locomo learner=head seed=1``. A run that was stopped
goes on with ``memshadow train resume=NAME``. Several values sweep: ``memshadow train -m learner.lr=1e-3,3e-3``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memshadow.cli._tasks import learns_tasks, parts
from memshadow.cli._users import learns_users
from memshadow.config import build, load, plain
from memshadow.errors import ConfigError
from memshadow.training.record import RunRecord, read_record

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.table import Table

    from memshadow.data.partition import Split
    from memshadow.memory.evaluation import Scored
    from memshadow.memory.recall.viewing import Viewer
    from memshadow.models.base import Embedder
    from memshadow.training.run import TrainResult
    from memshadow.training.tracker import Tracker
    from memshadow.types import Conversation

_TASK = "train"
_FLAGS = ("-m", "--multirun")
_NAME = "MEMSHADOW_RUN_NAME"  # tells the other processes of a distributed run its name


def main(argv: list[str]) -> int:
    """Run one training, or a sweep of them."""
    if not set(argv).isdisjoint(_FLAGS):
        return _sweep(argv)
    run(argv)
    return 0


def _sweep(argv: list[str]) -> int:
    from memshadow.cli._sweep import jobs, run_sweep

    first = load(_TASK, jobs([word for word in argv if word not in _FLAGS])[0])
    if first.trainer.devices != 1:
        raise ConfigError(f"a sweep trains in one process; trainer.devices is {first.trainer.devices}, 1 was needed.")
    run_sweep(_TASK, argv, Path(first.runs_dir) / "sweeps", lambda words, folder: run(words, folder=folder))
    return 0


def run(overrides: Sequence[str], *, folder: Path | None = None) -> dict[str, float]:
    """Train once, in ``folder`` or in the one that the configuration names, and return the figures."""
    from memshadow.training.lock import only_one

    words, config = _composed(overrides)
    folder = folder or Path(config.runs_dir) / _name(config)
    if _is_another_process():
        return _trained(config, _split(config), folder, _silent(), "").figures
    with only_one(folder):
        return _recorded(words, config, folder)


def _composed(overrides: Sequence[str]) -> tuple[list[str], DictConfig]:
    """Return overrides and configuration; those of the run that ``resume`` names come first."""
    config = load(_TASK, overrides)
    if config.resume is None:
        return list(overrides), config
    record = read_record(Path(config.runs_dir) / config.resume)
    if record is None:
        raise ConfigError(f"resume={config.resume}: there is no such run in {config.runs_dir}/; {_known(config)}.")
    own = [word for word in overrides if not word.startswith("resume=")]
    words = [*record.overrides, *own, f"name={config.resume}"]
    return words, load(_TASK, words)


def _known(config: DictConfig) -> str:
    names = sorted(file.parent.name for file in Path(config.runs_dir).glob("*/run.json"))
    return f"it holds {', '.join(names)}" if names else "it holds none"


def _name(config: DictConfig) -> str:
    """Return the run's name: the one given, the first process's, or a new one made from the time."""
    name = str(config.name or (_is_another_process() and os.environ[_NAME]) or _new_name(config))
    os.environ[_NAME] = name
    return name


def _new_name(config: DictConfig) -> str:
    moment = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = f"{moment}-{_choice(config.learner)}-{_choice(config.data)}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(free for free in names if not (Path(config.runs_dir) / free).exists())


def _choice(node: DictConfig) -> str:
    """Return the word that names a part: ``memshadow.data.corpora.locomo.LocomoCorpus`` is ``locomo``."""
    return str(node.get("name") or str(node._target_).split(".")[-2].removesuffix("_learner"))


def _is_another_process() -> bool:
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


def _silent() -> Tracker:
    from memshadow.training.tracker import NullTracker

    return NullTracker()


@dataclass(frozen=True, kw_only=True)
class _Split:
    corpus: Any
    """A corpus of conversations, of texts with classes, or of tasks."""
    training: Sequence[Any]
    validation: Sequence[Any]
    held_out: Sequence[Any]
    """Conversations, or parts of a set of tasks."""


def _split(config: DictConfig) -> _Split:
    """Read the corpus and part its conversations three ways; never within one. Tasks are parted by their corpus."""
    corpus = build(config.data)
    if learns_tasks(config):
        training, validation, held_out = parts(corpus)
        return _Split(corpus=corpus, training=[training], validation=[validation], held_out=[held_out])
    if not hasattr(type(corpus), "conversations"):  # isinstance of a protocol would read the files, to fingerprint them
        raise ConfigError(f"data={_choice(config.data)} holds no conversations; train on one that does, e.g. locomo.")
    conversations = list(corpus.conversations())
    ids = [conversation.id for conversation in conversations]
    always = _never_held_out(ids, config)
    outer = _held_out("held_out", [one for one in ids if one not in always], config, corpus.name)
    inner = _held_out("validation", outer.training, config, corpus.name)
    return _Split(
        corpus=corpus,
        training=_of(conversations, [*always, *inner.training]),
        validation=_of(conversations, inner.held_out),
        held_out=_of(conversations, outer.held_out),
    )


def _never_held_out(ids: Sequence[str], config: DictConfig) -> set[str]:
    """Return the conversations of the parts of a mix that only train."""
    found = {part: {one for one in ids if one.startswith(f"{part}/")} for part in config.never_held_out}
    for part, named in found.items():
        if not named:
            known = ", ".join(dict.fromkeys(one.partition("/")[0] for one in ids if "/" in one)) or "none"
            raise ConfigError(
                f"never_held_out names {part!r}, of which no conversation came; parts that have some: {known}"
            )
    return set().union(*found.values())


def _held_out(key: str, ids: Sequence[str], config: DictConfig, corpus: str) -> Split:
    """Hold out the share that the setting ``key`` says."""
    from memshadow.data.partition import hold_out

    try:
        return hold_out(ids, share=config[key], seed=config.seed)
    except ValueError as error:
        raise ConfigError(f"{key}={config[key]} of {len(ids)} conversations of {corpus}: {error}.") from error


def _of(conversations: Iterable[Conversation], ids: Iterable[str]) -> list[Conversation]:
    wanted = set(ids)
    return [conversation for conversation in conversations if conversation.id in wanted]


def _recorded(words: Sequence[str], config: DictConfig, folder: Path) -> dict[str, float]:
    """Write down what is about to run, track it, run it."""
    from memshadow.training.tracker import recording

    split = _split(config)
    before = read_record(folder)
    record = _record(words, config, folder.name, split)
    record = before.continued_by(record) if before else record
    tracker: Tracker = build(config.tracker)
    tags = {"learner": _choice(config.learner), "data": split.corpus.name, "commit": record.commit}
    with recording(
        tracker, name=folder.name, config=record.config, run_id=record.tracker_run_id or None, tags=tags
    ) as run_id:
        record = replace(record, tracker_run_id=run_id).write(folder)
        tracker.log_dataset(name=split.corpus.name, fingerprint=split.corpus.fingerprint, context="training")
        outcome = _trained(config, split, folder, tracker, run_id)
        _signed(outcome, record, split)
        outcome = _measured(config, split, outcome, tracker)
        replace(record, status="finished", result=outcome.figures).write(folder)
    _tell(outcome, split, folder)
    return outcome.figures


def _record(words: Sequence[str], config: DictConfig, name: str, split: _Split) -> RunRecord:
    from memshadow.training.origin import commit, lock_hash, versions

    return RunRecord(
        name=name,
        seed=config.seed,
        overrides=list(words),
        config=plain(config),
        data={split.corpus.name: split.corpus.fingerprint},
        commit=commit(),
        lock=lock_hash(),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    result: TrainResult
    figures: dict[str, float]
    scored: Sequence[Scored] = ()
    table: Table | None = None
    verdict: str = ""


def _trained(config: DictConfig, split: _Split, folder: Path, tracker: Tracker, run_id: str) -> _Outcome:
    from memshadow.training.run import train

    learner = build(config.learner)
    result = train(
        learner,
        split.training,
        split.validation,
        folder=folder,
        cache=Path(config.cache_dir),
        seed=config.seed,
        options=build(config.trainer),
        tracker=tracker,
        run_id=run_id,
    )
    score = {} if result.score is None else {learner.monitor: result.score}
    return _Outcome(result=result, figures=score)


def _signed(outcome: _Outcome, record: RunRecord, split: _Split) -> None:
    """Write into the model where it came from."""
    from memshadow.models.checkpoint import sign

    origin: Mapping[str, Any] = {
        "run": record.name,
        "config": record.config,
        "seed": record.seed,
        "data": record.data,
        "weights_may_ship": split.corpus.weights_may_ship,
        "commit": record.commit,
        "lock": record.lock,
        "versions": record.versions,
        "metrics": outcome.figures,
    }
    sign(outcome.result.model, origin)


def _measured(config: DictConfig, split: _Split, outcome: _Outcome, tracker: Tracker) -> _Outcome:
    """Evaluate on what was held out, log what came of it, and let the model challenge the champion."""
    if learns_tasks(config) or learns_users(config):
        return _measured_apart(config, split, outcome, tracker)
    from memshadow.cli._measure import figures_of, held_out_table
    from memshadow.memory.evaluation import SHOWN, result_rows
    from memshadow.models.cached import CachedEmbedder
    from memshadow.training.plots import learning_curves

    model, step = outcome.result.model, outcome.result.steps
    encoder = CachedEmbedder(encoder=build(config.embedder), folder=config.cache_dir)
    scored = held_out_table(model, encoder, split.held_out, seed=config.seed, viewer=_viewer(config))
    figures = outcome.figures | {f"test/{metric}": scored[-1].estimate(metric).mean for metric in SHOWN}
    tracker.log_dataset(name=split.corpus.name, fingerprint=split.corpus.fingerprint, context="held-out")
    tracker.log_metrics(figures, step=step)
    tracker.log_table("history", outcome.result.history)
    tracker.log_table("held_out", result_rows(scored, data=split.corpus.name))
    tracker.log_figure("learning_curves", learning_curves(outcome.result.history))
    for name, figure in figures_of(scored, model, encoder, split.held_out, _viewer(config)).items():
        tracker.log_figure(name, figure)
    verdict = _challenge(config, split, scored, encoder, model=model, tracker=tracker)
    return replace(outcome, figures=figures, scored=scored, verdict=verdict)


def _measured_apart(config: DictConfig, split: _Split, outcome: _Outcome, tracker: Tracker) -> _Outcome:
    """Evaluate what ranks no memories; the model is registered under a name of its own and challenges no champion."""
    from memshadow.cli import _tasks, _users

    result = outcome.result
    told: dict[str, Any] = {"step": result.steps, "tracker": tracker}
    if learns_tasks(config):
        found, table = _tasks.measured(config, result.model, split.held_out[0], result.history, **told)
    else:
        found, table = _users.measured(config, result.model, split.held_out, result.history, **told)
    said = {"data": split.corpus.name, "weights_may_ship": str(split.corpus.weights_may_ship).lower()}
    tracker.register_model(f"{config.model_name}-{_choice(config.learner)}", result.model, tags=said)
    return replace(outcome, figures=outcome.figures | found, table=table)


def _challenge(
    config: DictConfig,
    split: _Split,
    scored: Sequence[Scored],
    encoder: Embedder,
    *,
    model: Path,
    tracker: Tracker,
) -> str:
    """Register the model; the alias ``champion`` moves to it only if the held-out interval says so. Return why."""
    from memshadow.cli._measure import question_scores, rival_of, trained
    from memshadow.memory.evaluation import SHOWN, score
    from memshadow.training.champion import QuestionScore, crown

    said = {"data": split.corpus.name, "weights_may_ship": str(split.corpus.weights_may_ship).lower()}
    version = tracker.register_model(config.model_name, model, tags=said)
    if not version:
        return ""

    def rescored(folder: Path) -> Sequence[QuestionScore]:
        champion = trained(folder, encoder, _viewer(config), name="champion")
        return question_scores(score([champion], split.held_out)[0])

    rival = rival_of(scored)
    verdict = crown(
        uri=config.tracker.uri,
        name=config.model_name,
        version=version,
        scores=question_scores(scored[-1]),
        baseline=question_scores(rival),
        baseline_name=rival.system,
        metric=SHOWN[0],
        rescore=rescored,
    )
    return f"version {version} of {config.model_name}: {verdict.reason}"


def _viewer(config: DictConfig) -> Viewer | None:
    """Return how a ranker sees questions; ``None`` where an embedder is trained."""
    return build(config.learner.viewer) if "viewer" in config.learner else None


def _tell(outcome: _Outcome, split: _Split, folder: Path) -> None:
    """Print the table and where everything is."""
    from rich.console import Console

    from memshadow.cli._measure import table
    from memshadow.types import Conversation

    result, console = outcome.result, Console(highlight=False, soft_wrap=True)
    if outcome.scored:
        asked = len(outcome.scored[0].rankings)
        title = f"{split.corpus.name}: {asked} questions on {len(split.held_out)} conversations never seen, in points"
        console.print(table(outcome.scored, subject=outcome.scored[-1].system, title=title))
    if outcome.table:
        console.print(outcome.table)
    counts = f"{len(split.training)} training, {len(split.validation)} validation, {len(split.held_out)} held out"
    tasks = not isinstance(split.training[0], Conversation)
    sizes = "tasks of three parts that share none" if tasks else f"{counts} conversations"
    took = f"{result.seconds:.0f} s after {result.preparing_s:.0f} s of encoding"
    console.print(f"  trained    {result.epochs} epochs in {took}, best at {result.best_epoch + 1}")
    console.print(f"  data       {split.corpus.name}: {sizes}")
    console.print(f"  model      {result.model}")
    console.print(f"  run        {folder}  (memshadow runs list, memshadow ui)")
    if outcome.verdict:
        console.print(f"  champion   {outcome.verdict}")
