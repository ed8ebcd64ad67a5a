"""Measure an embedder on a corpus beside the baselines, with intervals.

``memshadow evaluate embedder=projected embedder.model=runs/NAME/model data=locomo`` ranks every question, prints the
table and writes the rankings, one file a system, and ``results.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from memshadow.config import build, load
from memshadow.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from memshadow.memory.evaluation import Scored
    from memshadow.memory.retrieval import Retriever
    from memshadow.models.base import Embedder


def main(argv: list[str]) -> int:
    """Run one evaluation."""
    from rich.console import Console

    from memshadow.cli._measure import forgetting, table
    from memshadow.memory.evaluation import score
    from memshadow.memory.retrieval import name_of

    config = load("evaluate", argv)
    corpus = build(config.data)
    if not hasattr(type(corpus), "conversations"):  # isinstance of a protocol would read the files, to fingerprint them
        raise ConfigError(f"{corpus.name} holds no conversations; choose a corpus that does, e.g. data=synthetic.")
    encoder = _cached(build(config.encoder), config)
    subject = _subject(config, encoder)
    with ExitStack() as open_memories:
        systems = _systems(config, subject, encoder)
        if config.served:
            systems.insert(-1, _served(config, subject, open_memories))
        scored = score(systems, corpus.conversations())
    name = _name(subject, encoder)
    kept = forgetting({name_of(encoder): encoder, name: subject}) if config.forgetting else []
    _write(Path(config.out), scored, kept, corpus=corpus.name, argv=argv)
    console = Console(highlight=False)
    console.print(table(scored, subject=name, title=f"{corpus.name}: {len(scored[0].rankings)} questions"))
    for row in kept:
        console.print(f"  {row['data']} {row['metric']}: {row['system']} {row['mean']:.4f} (n = {row['n']})")
    console.print(f"  rankings and results.json in {config.out}")
    return 0


def _cached(encoder: Embedder, config: DictConfig) -> Embedder:
    from memshadow.models.cached import CachedEmbedder

    return CachedEmbedder(encoder=encoder, folder=config.cache_dir)


def _subject(config: DictConfig, encoder: Embedder) -> Embedder:
    """Build what is measured; an encoder inside it remembers its rows."""
    node = config.embedder
    if "encoder" in node:
        return build(node, encoder=_cached(build(node.encoder), config))  # type: ignore[no-any-return]
    found: Embedder = build(node)
    return encoder if found.fingerprint == encoder.fingerprint else found


def _name(subject: Embedder, encoder: Embedder) -> str:
    from memshadow.memory.retrieval import name_of

    return name_of(encoder) if subject is encoder else subject.name


def _systems(config: DictConfig, subject: Embedder, encoder: Embedder) -> list[Retriever]:
    from memshadow.memory.retrieval import VectorRetriever, baselines

    name = _name(subject, encoder)
    others = baselines(encoder, dim=2048, k1=config.k1, b=config.b, seed=config.seed) if config.baselines else []
    return [system for system in others if system.name != name] + [VectorRetriever(name=name, embedder=subject)]


def _served(config: DictConfig, subject: Embedder, closing: ExitStack) -> Retriever:
    """Return the subject as the service would serve it, on a store and an index in a folder of their own."""
    from memshadow.memory.counting import ByteCounter
    from memshadow.memory.served import ServedRetriever
    from memshadow.memory.service import Memory
    from memshadow.memory.supersession import NoRule

    parts = load("memory", [f"folder={closing.enter_context(TemporaryDirectory())}"])
    memory = Memory(
        store=build(parts.store),
        index=build(parts.index),
        embedder=subject,
        ranking=build(config.ranking),
        rule=NoRule(),
        counter=ByteCounter(),
        near_threshold=2.0,
    )
    closing.callback(memory.close)
    return ServedRetriever(name="served", memory=memory)


def _write(
    out: Path, scored: Sequence[Scored], kept: Sequence[dict[str, Any]], *, corpus: str, argv: list[str]
) -> None:
    from memshadow.memory.evaluation import result_rows, write_rankings
    from memshadow.training.atomic import write_bytes
    from memshadow.training.origin import commit

    for one in scored:
        write_rankings(one, out / "rankings" / f"{one.system}.jsonl")
    said = {"data": corpus, "command": " ".join(["memshadow", "evaluate", *argv]), "commit": commit()}
    rows = json.dumps([*result_rows(scored, **said), *({**said, **row} for row in kept)], indent=1)
    write_bytes(out / "results.json", rows.encode())
