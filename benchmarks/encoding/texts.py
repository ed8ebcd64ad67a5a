"""The texts that are timed: of 12 words, of 60 words, and as people write them (LoCoMo turns, if at hand)."""

import gzip
import json
import os
import random
from pathlib import Path

WORDS = (
    "the a my our we they he she it was is went said told found lost bought made saw took brother sister "
    "dog garden trip mountain kitchen doctor school pottery concert birthday camera painting river market "
    "train office yesterday today summer winter morning evening Caroline Melanie Berlin Lisbon red old "
    "small quiet happy tired because when after with without about around really maybe finally always "
    "never first last two three seven 2019 April Friday coffee bread"
).split()


def turns(count: int, data: Path | None) -> list[str]:
    """Return ``count`` things that were said: LoCoMo's where its file is, else seeded word salad of like lengths."""
    file = data / "locomo" / "memories.jsonl.gz" if data else None
    if file is None or not file.is_file():
        rng = random.Random(0)
        return [" ".join(rng.choices(WORDS, k=max(1, int(rng.lognormvariate(3.0, 0.6))))) for _ in range(count)]
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    step = max(1, len(said) // count)
    return [f"{turn['speaker']}: {turn['text']}" for turn in said[::step]][:count]


def texts(kind: str, count: int, data: Path | None) -> list[str]:
    """Return ``count`` texts of kind ``12 words``, ``60 words`` or ``turns``."""
    if kind == "turns":
        return turns(count, data)
    size = int(kind.split()[0])
    words = " ".join(turns(count * size // 8, data)).split()
    words = words * (1 + count * size // len(words))
    return [" ".join(words[i * size : (i + 1) * size]) for i in range(count)]


def data_folder() -> Path | None:
    """Return the folder of public data that MEMSHADOW_DATA names, if any."""
    named = os.environ.get("MEMSHADOW_DATA")
    return Path(named) if named else None
