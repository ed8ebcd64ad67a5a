"""One part of a corpus that is split by class or by task, not by conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memshadow.data.corpora.base import TaskCorpus, UtteranceCorpus

PartName = Literal["train", "valid", "test"]


@dataclass(frozen=True, slots=True)
class TaskPart:
    """What of a corpus is trained on, validated with, or measured: classes or tasks that no other part has."""

    corpus: UtteranceCorpus | TaskCorpus
    name: PartName
