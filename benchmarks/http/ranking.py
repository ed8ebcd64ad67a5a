"""Does the server rank as `memshadow evaluate` does? LoCoMo asked of both, and the rankings written for the referee.

    .venv/bin/python benchmarks/http/ranking.py ranking=hybrid out=runs/served        (further words: of memory.yaml)

Writes OUT/http.jsonl (asked over HTTP of a `memshadow serve` of its own), OUT/library.jsonl (the same memories and
questions in this process) and, where the ranking has one, OUT/evaluate.jsonl (what `memshadow evaluate` measures: no
memory at all, all scores at once).
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import memshadow
from memshadow.config import build, load
from memshadow.data.corpora.locomo import LocomoCorpus
from memshadow.memory.evaluation import Scored, score, write_rankings
from memshadow.memory.retrieval import FusionRetriever, LexicalRetriever, Retriever, VectorRetriever
from memshadow.memory.served import ServedRetriever
from memshadow.models.base import Embedder
from memshadow.serving.auth.token import token_at
from memshadow.serving.client import Client

COMMON = ["supersession=none", "near_threshold=2.0", "tokenizer=bytes"]
FIGURES = ("ndcg@10", "recall@10")


@contextmanager
def served(folder: Path, words: Sequence[str]) -> Iterator[str]:
    """Run `memshadow serve` for the block; yield its address."""
    command = [sys.executable, "-m", "memshadow", "serve", f"folder={folder}", "port=0", *COMMON, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                sys.exit("the server did not start")
            yield line.split()[0]
        finally:
            process.terminate()


def direct(words: Sequence[str], embedder: Embedder) -> Retriever:
    """Return what `memshadow evaluate` ranks with, in place of the memory."""
    ranking = load("memory", words).ranking
    vector = VectorRetriever(name="evaluate", embedder=embedder)
    if not hasattr(ranking, "method"):
        return vector
    parts = [vector, LexicalRetriever(name="words", k1=ranking.k1, b=ranking.b)]
    return FusionRetriever(name="evaluate", method=ranking.method, parts=parts)


def main() -> None:
    out = Path(next((w.partition("=")[2] for w in sys.argv[1:] if w.startswith("out=")), "runs/served"))
    words = [word for word in sys.argv[1:] if not word.startswith("out=")]
    conversations = list(LocomoCorpus(folder=None).conversations())
    begun = time.perf_counter()
    with TemporaryDirectory() as place, served(Path(place) / "served", words) as url:
        folder = Path(place) / "served"
        library = Path(place) / "library"
        with (
            Client(url, token=str(token_at(folder)), timeout_s=300) as client,
            memshadow.open(library, overrides=[*COMMON, *words]) as memory,
        ):
            systems = [
                ServedRetriever(name="http", memory=client),
                ServedRetriever(name="library", memory=memory),
                direct(words, build(load("memory", words).embedder)),
            ]
            scored = score(systems, conversations)
    for one in scored:
        write_rankings(one, out / f"{one.system}.jsonl")
    told = {one.system: {name: round(one.estimate(name).mean, 6) for name in FIGURES} for one in scored}
    same = {one.system: agreement(scored[0], one) for one in scored[1:]}
    print(json.dumps({"words": words, "seconds": round(time.perf_counter() - begun), **told, "same as http": same}))


def agreement(one: Scored, other: Scored) -> dict[str, float]:
    """Return the share of questions whose first ten, and whose whole ranking, are the same in both."""
    pairs = list(zip(one.rankings, other.rankings, strict=True))
    return {
        "first 10": round(sum(a.memory_ids[:10] == b.memory_ids[:10] for a, b in pairs) / len(pairs), 4),
        "all": round(sum(a.memory_ids == b.memory_ids for a, b in pairs) / len(pairs), 4),
    }


if __name__ == "__main__":
    main()
