"""kill -9 at random moments of random work: nothing acknowledged is lost, nothing is half there, nothing comes back.

    python benchmarks/durability/kill.py --trials 1000 --seed 1

Each trial is a child process that opens the store, compares all of it with what earlier trials were told, works with
four threads (batches, updates, supersedings, forgettings, new vectors, a second embedder taken up and retired,
compactions), says on a pipe what it is about to do and what was acknowledged, and is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from life import DIMS, Life, Op, vector

from memshadow.data.store.base import Change, Embedding, Erase, Revector, Row
from memshadow.data.store.embedded import EmbeddedStore
from memshadow.errors import StoreError
from memshadow.types import Scope

SCOPES = [Scope(user=f"user{i}") for i in range(3)]
AT_ONCE = 2
TRIALS_A_FOLDER = 12
MAIN = Embedding(fingerprint="main", name="main", dim=DIMS["main"], active=True)
SECOND = Embedding(fingerprint="second", name="second", dim=DIMS["second"], active=False)


def open_store(folder: Path, *, log_mb: int = 1) -> EmbeddedStore:
    """Open the store; its log is so small that checkpoints come often."""
    return EmbeddedStore(
        folder=str(folder),
        precision="fp16",
        memory_mb=256,
        threads=1,
        log_mb=log_mb,
        known_versions=500,
        known_records=200,
    )


@dataclass
class Expected:
    """What the store must hold: every acknowledged call, and of the open ones any that came first."""

    lives: list[Life] = field(default_factory=lambda: [Life() for _ in SCOPES])
    open: list[list[list[Op]]] = field(default_factory=lambda: [[] for _ in SCOPES])

    def candidates(self, i: int) -> list[Life]:
        """Return the states that an owner may be in: none, one ... all of the open calls done."""
        states = [self.lives[i]]
        for ops in self.open[i]:
            states.append(states[-1].copy())
            states[-1].apply(ops)
        return states


class Child:
    """One process's share: verify, then work until the end."""

    def __init__(self, folder: Path, expected: Expected, pipe: int, seed: int) -> None:
        self.folder, self.expected, self.pipe, self.seed = folder, expected, pipe, seed

    def say(self, *words: object) -> None:
        """Write one line; whole, because it is short."""
        os.write(self.pipe, (json.dumps(words) + "\n").encode())

    def run(self) -> None:
        """Do it all; whatever goes wrong is said."""
        try:
            self.store = open_store(self.folder)
            self.verify()
            self.store.declare(MAIN)
            threads = [threading.Thread(target=self.guarded, args=(i,)) for i in range(len(SCOPES) + 1)]
            for thread in threads:
                thread.start()
        except BaseException:
            self.say("fault", traceback.format_exc()[-3000:])

    def verify(self) -> None:
        """Compare everything with what must be there; say which of the open calls were done."""
        done = []
        for i, scope in enumerate(SCOPES):
            states = self.expected.candidates(i)
            found = [state.differences(self.store, scope) for state in states]
            if [] not in found:
                self.say("wrong", scope.user, len(states) - 1, found[0][:5], found[-1][:5])
                return
            done.append(found.index([]))
            states[done[-1]].take_numbers(self.store, scope)
            self.expected.lives[i] = states[done[-1]]
        self.say("verified", done, list(self.store.report))

    def guarded(self, i: int) -> None:
        try:
            if i < len(SCOPES):
                self.work(i, random.Random(f"{self.seed}/{i}"))
            else:
                self.embed(random.Random(f"{self.seed}/embed"))
        except BaseException:
            self.say("fault", traceback.format_exc()[-3000:])

    def work(self, i: int, chance: random.Random) -> None:
        """Write for one owner for ever, up to two calls open at a time."""
        life, scope = self.expected.lives[i], SCOPES[i]
        waiting: list[tuple[list[Op], Future[int]]] = []
        while True:
            busy = {name for ops, _ in waiting for op in ops for name in op[1:3] if isinstance(name, str)}
            ops = life.random_call(chance, busy)
            fingerprints = [embedding.fingerprint for embedding in self.store.embeddings()]
            changes = life.changes(scope, ops, fingerprints)
            self.say("asks", i, ops)
            waiting.append((ops, self.store.submit(changes)))
            if chance.random() < 0.1:
                self.nonsense(scope, changes)
            if len(waiting) == AT_ONCE or chance.random() < 0.5:
                for done, future in waiting:
                    try:
                        seq = future.result()
                        self.say("acknowledged", i, seq)
                        life.apply(done, seq)
                    except StoreError as error:  # its embedder was retired meanwhile
                        self.say("refused", i, str(error))
                waiting.clear()

    def nonsense(self, scope: Scope, changes: list[Change]) -> None:
        """Ask for what must be refused, good changes in front of it."""
        try:
            self.store.write([*changes, Erase(owner=scope.owner, id="never")])
        except StoreError:
            return
        self.say("fault", "a call that makes no sense was taken")

    def embed(self, chance: random.Random) -> None:
        """Take up the second embedder, switch to it and back, retire it; compact now and then."""
        while True:
            self.store.declare(SECOND)
            while lacking := self.store.unembedded("second", after=0, limit=50):
                for record in lacking:
                    row = Row(fingerprint="second", vector=vector(record.id, record.version, "second", 0))
                    try:
                        self.store.write([Revector(owner=record.scope.owner, seq=record.seq, row=row)])
                    except StoreError:
                        continue  # forgotten meanwhile
            try:
                self.store.declare(replace(SECOND, active=True))
                self.store.declare(MAIN)
            except StoreError:
                continue  # a version came meanwhile
            self.store.retire("second")
            if chance.random() < 0.5:
                self.store.compact()


@dataclass
class Tally:
    """What happened in all trials."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def hear(self, expected: Expected, line: str) -> None:
        """Take up one line of a child."""
        kind, *words = json.loads(line)
        self.counts[kind] += 1
        if kind == "verified":
            states = [expected.candidates(i)[done] for i, done in enumerate(words[0])]
            self.counts["open calls found done"] += sum(words[0])
            self.counts["logs cut"] += len(words[1])
            expected.lives, expected.open = states, [[] for _ in SCOPES]
        elif kind == "asks":
            expected.open[words[0]].append(words[1])
            expected.lives[words[0]].born += len(words[1])
        elif kind == "acknowledged":
            ops = expected.open[words[0]].pop(0)
            expected.lives[words[0]].apply(ops, words[1])
            self.counts["changes acknowledged"] += len(ops)
        elif kind == "refused":
            expected.open[words[0]].pop(0)
        else:
            self.wrong.append(line)


def trial(folder: Path, expected: Expected, tally: Tally, chance: random.Random) -> None:
    """Start a child, kill it at a random moment, take up what it said."""
    reading, writing = os.pipe()
    seed = chance.randrange(2**32)
    child = os.fork()
    if child == 0:
        os.close(reading)
        Child(folder, expected, writing, seed).run()
        signal.pause()
    os.close(writing)
    early = chance.random() < 0.15
    ends = time.monotonic() + (chance.uniform(0, 0.1) if early else 20)
    said, killed = b"", False
    while chunk := _some(reading, ends):
        said += chunk
        if not early and b"verified" in said:
            early, ends = True, time.monotonic() + chance.uniform(0, 0.6)
        if any(word in said for word in (b'["fault"', b'["wrong"')):
            break
    os.kill(child, signal.SIGKILL)
    killed = True
    while chunk := os.read(reading, 65536):
        said += chunk
    os.close(reading)
    os.waitpid(child, 0)
    tally.counts["killed"] += killed
    tally.counts["killed before it was open"] += b"verified" not in said
    for line in said.decode().splitlines():
        tally.hear(expected, line)


def _some(pipe: int, ends: float) -> bytes:
    ready, _, _ = select.select([pipe], [], [], max(0.0, ends - time.monotonic()))
    return os.read(pipe, 65536) if ready else b""


def run(trials: int, seed: int, root: Path) -> Tally:
    """Run trials on a new folder every so often."""
    chance, tally = random.Random(seed), Tally()
    for i in range(trials):
        if i % TRIALS_A_FOLDER == 0:
            shutil.rmtree(root / "store", ignore_errors=True)
            expected = Expected()
        trial(root / "store", expected, tally, chance)
        if tally.wrong:
            print(f"trial {i}: {tally.wrong}")
            kept = Path(tempfile.mkdtemp(prefix="memshadow-kill-")) / "store"
            shutil.copytree(root / "store", kept)
            print(f"the store as it is now lies in {kept}")
            break
        if i % 50 == 49:
            print(f"{i + 1} trials, {tally.counts['changes acknowledged']} changes acknowledged, 0 wrong", flush=True)
    return tally


def main() -> int:
    """Run the trials and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        tally = run(given.trials, given.seed, Path(root) / "trial")
    for what, count in sorted(tally.counts.items()):
        print(f"{count:9d} {what}")
    print("0 acknowledged writes lost, 0 half batches, 0 ghosts" if not tally.wrong else "WRONG: see above")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
