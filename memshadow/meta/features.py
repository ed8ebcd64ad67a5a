"""From a part of a corpus to where its tasks come from: texts become rows once, and are kept."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from memshadow.data.corpora.base import TaskCorpus, UtteranceCorpus
from memshadow.data.corpora.part import TaskPart
from memshadow.data.episodes import ClassEpisodes, Episodes
from memshadow.errors import ConfigError, DataError
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder


def episodes_of(
    part: TaskPart, *, encoder: Embedder | None, ways: int | None, shots: int, queries: int, cache: Path
) -> Episodes:
    """Return where the tasks of a part come from.

    Args:
        part: of a corpus of tasks, or of one of texts with classes.
        encoder: turns texts into rows; of no use for a corpus of tasks.
        ways: classes of a task; ``None``: all.
        shots: support examples of a class (of a task, where numbers are predicted).
        queries: query examples, likewise.
        cache: keeps the rows.

    Raises:
        ConfigError: texts came, and no encoder.
        DataError: the part has no text, or tasks as asked for cannot be drawn from it.
    """
    corpus = part.corpus
    if not hasattr(type(corpus), "utterances"):  # isinstance of a protocol would read the files, to fingerprint them
        return cast(TaskCorpus, corpus).episodes(part.name, shots=shots, queries=queries)
    if encoder is None:
        raise ConfigError(f"{corpus.name} holds texts; an encoder is needed: learner.encoder='${{embedder}}'.")
    texts = [one for one in cast(UtteranceCorpus, corpus).utterances() if one.split == part.name]
    if not texts:
        raise DataError(f"{corpus.name} has no text in its part {part.name!r}.")
    rows = CachedEmbedder(encoder=encoder, folder=str(cache)).embed_queries([one.text for one in texts])
    return ClassEpisodes(rows=rows, labels=[one.label for one in texts], ways=ways, shots=shots, queries=queries)
