"""Files torn, zeroed, flipped, cut, swapped: each must be detected, mended or refused, or change nothing at all.

    python benchmarks/durability/damage.py --trials 500 --seed 1

A store is made, with much in its database and much still in its log, and copied as a power cut would leave it. Each
trial damages one copy, opens it in a process of its own and compares all that it gives with what was written. What is
refused, or fails while reading, goes through ``salvage``: what comes out must be what was written or be reported.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kill import MAIN, SCOPES, open_store
from life import Life, everything, text

from memshadow.data.store.embedded import EmbeddedStore, examine, salvage
from memshadow.errors import StoreError

STORES = 5
FILES = ("memories.duckdb", "memories.duckdb.wal", "memories.mark")
Damage = Callable[[bytes, random.Random], bytes]


def flip(content: bytes, chance: random.Random, times: int = 1) -> bytes:
    """Flip single bits."""
    changed = bytearray(content)
    for _ in range(times):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _spot(content: bytes, chance: random.Random, most: int) -> tuple[int, int]:
    size = chance.randint(1, min(most, len(content)))
    start = chance.randrange(len(content) - size + 1)
    return start, start + size


def zero(content: bytes, chance: random.Random) -> bytes:
    """Zero a piece, as a lost write leaves it."""
    start, end = _spot(content, chance, 8192)
    return content[:start] + bytes(end - start) + content[end:]


def scramble(content: bytes, chance: random.Random) -> bytes:
    """Overwrite a piece."""
    start, end = _spot(content, chance, 8192)
    return content[:start] + chance.randbytes(end - start) + content[end:]


def move(content: bytes, chance: random.Random) -> bytes:
    """Write a piece of the file where it does not belong."""
    start, end = _spot(content, chance, 8192)
    target = chance.randrange(len(content) - (end - start) + 1)
    return content[:target] + content[start:end] + content[target + end - start :]


DAMAGES: dict[str, Damage] = {
    "one bit flipped": flip,
    "eight bits flipped": lambda content, chance: flip(content, chance, 8),
    "a piece zeroed": zero,
    "a piece scrambled": scramble,
    "a piece moved": move,
    "cut": lambda content, chance: content[: chance.randrange(len(content))],
    "a little cut": lambda content, chance: content[: -chance.randint(1, min(200, len(content)))],
    "garbage behind": lambda content, chance: content + chance.randbytes(chance.randint(1, 5000)),
    "torn: cut, then garbage": lambda content, chance: (
        content[: chance.randrange(len(content))] + chance.randbytes(chance.randint(1, 5000))
    ),
    "zeros behind": lambda content, chance: content + bytes(chance.randint(1, 5000)),
}


def build(folder: Path, older: Path, chance: random.Random) -> list[Life]:
    """Make a store and copies of it, as it was in the middle and as it is at the end; return what it holds."""
    made = folder.with_name("made")
    shutil.rmtree(made, ignore_errors=True)
    store = open_store(made, log_mb=64)
    store.declare(MAIN)
    lives = [Life() for _ in SCOPES]
    for step in range(90):
        i = step % len(SCOPES)
        ops = lives[i].random_call(chance, set())
        lives[i].apply(ops, store.write(lives[i].changes(SCOPES[i], ops, ["main"])))
        if step == 40:
            store.close()  # what came so far goes into the database
            store = open_store(made, log_mb=64)
        if step in (60, 89):
            shutil.copytree(made, older if step == 60 else folder)
    store.close()
    return lives


def damage(folder: Path, older: Path, chance: random.Random) -> str:
    """Damage one file of a folder; say how."""
    name = chance.choice(FILES)
    file = folder / name
    if chance.random() < 0.04:
        file.unlink()
        return f"{name}: deleted"
    if chance.random() < 0.08:
        shutil.copy(older / name, file)
        return f"{name}: replaced by an older one"
    kind = chance.choice(list(DAMAGES))
    before = file.read_bytes()
    after = DAMAGES[kind](before, chance)
    file.write_bytes(after)
    return f"{name}: {kind}" + (" (the same bytes)" if after == before else "")


def differences(store: EmbeddedStore, lives: list[Life]) -> list[str]:
    """Return all that differs from what was written."""
    found = [line for life, scope in zip(lives, SCOPES, strict=True) for line in life.differences(store, scope)]
    owners = [(scope.owner, sum(map(len, life.memories.values()))) for life, scope in zip(lives, SCOPES, strict=True)]
    if list(store.owners()) != sorted(o for o in owners if o[1]) or store.embeddings() != [MAIN]:
        found.append("other owners or embedders")
    return found


def judge(folder: Path, lives: list[Life]) -> str:
    """Open a damaged store; return what became of it. What begins with WRONG must not be."""
    try:
        store = open_store(folder)
    except StoreError as error:
        return salvaged(folder, f"refused ({_reason(error)})")
    try:
        wrong = differences(store, lives)
        if not wrong:
            return "opens, mended" if store.report else "harmless: opens, everything is equal"
        return f"WRONG: silently altered: {wrong[:3]}"
    except StoreError:
        pass
    finally:
        store.close()
    if examine(folder).whole:
        return "WRONG: reading fails, yet examine finds nothing"
    return salvaged(folder, "detected while reading")


def _reason(error: StoreError) -> str:
    reasons = (
        "acknowledged are missing",
        "tables in",
        "is missing",
        "is damaged in both",
        "cannot be opened",
        "belong",
    )
    return next((reason for reason in reasons if reason in str(error)), str(error)[:60])


def salvaged(folder: Path, how: str) -> str:
    """Salvage a store; all that is in it must be what was written, and what is not must be reported."""
    try:
        report = salvage(folder)
    except StoreError:
        return f"{how}, nothing to salvage"
    store = open_store(folder)
    try:
        for scope in SCOPES:
            for record in everything(store, scope):
                if record.text != text(record.id, record.version, int(record.draft.metadata["n"])):
                    return f"WRONG: salvage altered {record}"
        if not differences(store, lives_of[folder.name]):
            return f"{how}, salvaged whole"
        return f"{how}, salvaged in part, reported" if report.findings else "WRONG: salvage lost without a word"
    finally:
        store.close()


lives_of: dict[str, list[Life]] = {}


def apart(folder: Path, lives: list[Life]) -> str:
    """Judge in a process of its own, which damage may bring down."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        lives_of[folder.name] = lives
        try:
            verdict = judge(folder, lives)
        except BaseException:
            verdict = "WRONG: " + traceback.format_exc()[-1500:]
        os.write(writing, verdict.encode())
        os._exit(0)
    os.close(writing)
    verdict = b""
    while chunk := os.read(reading, 65536):
        verdict += chunk
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    return verdict.decode() or f"the database brought its process down (status {status})"


def run(trials: int, seed: int, root: Path) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Damage copies of a few stores; count what became of them."""
    tally: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    for made in range(min(STORES, trials)):
        chance = random.Random(f"{seed}/{made}")
        whole, older, hurt = root / f"whole{made}", root / f"older{made}", root / "hurt"
        lives = build(whole, older, chance)
        for trial in range(made, trials, STORES):
            chance = random.Random(f"{seed}/{made}/{trial}")
            shutil.rmtree(hurt, ignore_errors=True)
            shutil.copytree(whole, hurt)
            what = damage(hurt, older, chance)
            verdict = apart(hurt, lives)
            tally[what.partition(":")[0], verdict] += 1
            if verdict.startswith("WRONG"):
                wrong.append(f"trial {trial}: {what}: {verdict}")
                print(wrong[-1], flush=True)
    return tally, wrong


def main() -> int:
    """Run the trials and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        tally, wrong = run(given.trials, given.seed, Path(root))
    for (file, verdict), count in sorted(tally.items()):
        print(f"{count:5d}  {file:20s}  {verdict}")
    print(f"{sum(tally.values())} damaged stores, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
