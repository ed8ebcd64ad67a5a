"""kill -9 of a whole memory, of its import and of its re-embedding; and its index files damaged one by one.

    python benchmarks/durability/memory.py kill --trials 300 --seed 1
    python benchmarks/durability/memory.py index --trials 500 --seed 1

``kill``: each trial is a child that opens the folder, compares everything with what was acknowledged, checks that the
index finds each memory, then adds, updates, forgets, searches, imports and takes up another embedder until it is
killed.
``index``: a saved folder, one of whose index files is flipped, zeroed, cut, torn or swapped; opened again, each search
must find what it found before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from damage import DAMAGES
from kill import _some

import memshadow
from memshadow.config import build, load
from memshadow.errors import NotFoundError, StoreError
from memshadow.memory.service import Memory
from memshadow.types import Scope

TRIALS_A_FOLDER = 10
USERS = ("ann", "ben")
DIMS = (256, 512)
IMPORTED = 200
WORDS = (
    "tea coffee lisbon cello garden night train violet copper lantern river orchard pepper saddle marble cloud".split()
)


def settings(dim: int) -> list[str]:
    """Return the settings of a small memory whose embedder needs no model."""
    return ["embedder=hashing", f"embedder.dim={dim}", "ranking=vector", "store.log_mb=1"]


def opened(folder: Path) -> Memory:
    """Open a folder with the embedder that is in charge there."""
    for dim in DIMS:
        with suppress(StoreError):
            return memshadow.open(folder, overrides=settings(dim), remember=False)
    return memshadow.open(folder, overrides=settings(DIMS[0]), remember=False)


def told(name: str, number: int) -> str:
    """Return what version ``number`` of a memory says: words of its own and common ones."""
    chance = random.Random(f"{name}/{number}")
    return f"zq{name} version{number} " + " ".join(chance.choices(WORDS, k=6))


def lines() -> list[str]:
    """Return what is imported, the same each time."""
    return [json.dumps({"id": f"imp{i}", "text": told(f"imp{i}", 1)}) for i in range(IMPORTED)]


class Expected:
    """id -> version of what each user has; calls that nobody acknowledged may be there wholly or not."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, int]] = {user: {} for user in USERS}
        self.open: dict[str, list[Any] | None] = dict.fromkeys(USERS)

    @staticmethod
    def after(held: dict[str, int], call: list[Any]) -> dict[str, int]:
        """Return what is there after a call."""
        kind, names = call
        changed = dict(held)
        for name in names:
            if kind == "forget":
                del changed[name]
            else:
                changed[name] = changed.get(name, 0) + 1
        return changed

    def states(self, user: str) -> list[dict[str, int]]:
        """Return the states that a user's memories may be in."""
        held, call = self.held[user], self.open[user]
        return [held] if call is None else [held, self.after(held, call)]


class Child:
    """One process's share."""

    def __init__(self, folder: Path, expected: Expected, pipe: int, seed: int) -> None:
        self.folder, self.expected, self.pipe, self.seed = folder, expected, pipe, seed

    def say(self, *words: object) -> None:
        """Write one line."""
        os.write(self.pipe, (json.dumps(words) + "\n").encode())

    def run(self) -> None:
        """Verify, then work for ever."""
        try:
            self.memory = opened(self.folder)
            if not self.verify():
                return
            for target in (self.work, self.bring, self.take_up):
                names = USERS if target == self.work else ("",)
                for name in names:
                    threading.Thread(target=self.guarded, args=(target, name)).start()
        except BaseException:
            self.say("fault", traceback.format_exc()[-3000:])

    def verify(self) -> bool:
        """Compare with what must be there, and see that each memory is found by its own words."""
        done = {}
        for user in USERS:
            scope = Scope(user=user)
            found = {record.id: record for record in self.memory.everything(scope=scope)}
            there = {name: record.version for name, record in found.items()}
            states = self.expected.states(user)
            if there not in states:
                lost = [name for name in states[0] if name not in there]
                self.say("wrong", user, "lost", lost[:5], "found", len(there), "wanted", [len(s) for s in states])
                return False
            done[user] = states.index(there)
            wrong = [r.id for r in found.values() if r.text != told(r.id, r.version)]
            wrong += [name for name in list(found)[-40:] if not self.finds(scope, name, there[name])]
            self.expected.held[user] = there
            if wrong:
                self.say("wrong", user, "altered or not found", wrong[:5])
                return False
        known = {record.id for record in self.memory.everything(scope=Scope(user="import"))}
        if not known <= {f"imp{i}" for i in range(IMPORTED)}:
            self.say("wrong", "import", sorted(known)[:5])
            return False
        dims = {
            len(one.vector) for one in self.memory.store.stored(("local", USERS[0]), self.memory.embedder.fingerprint)
        }
        self.say("verified", done, len(known), self.memory.embedder.dim, sorted(dims))
        return True

    def finds(self, scope: Scope, name: str, version: int) -> bool:
        """Return whether a memory is found by its own words."""
        return name in [hit.record.id for hit in self.memory.search(told(name, version), k=3, scope=scope)]

    def guarded(self, target: Any, name: str) -> None:
        try:
            target(random.Random(f"{self.seed}/{target.__name__}/{name}"), name)
        except BaseException:
            self.say("fault", traceback.format_exc()[-3000:])

    def work(self, chance: random.Random, user: str) -> None:
        """Add, update, forget and search for one user."""
        scope, held, born = Scope(user=user), self.expected.held[user], self.seed
        while True:
            kind = chance.choices(["add", "update", "forget"], [4, 2, 2])[0]
            born += 1
            names = [f"{user}{born}x{i}" for i in range(chance.choice([1, 1, 5, 20]))]
            if kind != "add":
                if not held:
                    continue
                names = [chance.choice(list(held))]
            self.say("asks", user, [kind, names])
            if kind == "add":
                self.memory.add([{"id": name, "text": told(name, 1)} for name in names], scope=scope)
            elif kind == "update":
                self.memory.update(names[0], scope=scope, text=told(names[0], held[names[0]] + 1))
            else:
                self.memory.forget(names[0], scope=scope)
            self.say("acknowledged", user)
            held = Expected.after(held, [kind, names])
            if kind == "forget":
                with suppress(NotFoundError):
                    self.memory.get(names[0], scope=scope)
                    self.say("fault", f"{names[0]} is there after it was forgotten")
            elif not self.finds(scope, names[-1], held[names[-1]]):
                self.say("fault", f"{names[-1]} is not found after it was acknowledged")

    def bring(self, chance: random.Random, _: str) -> None:
        """Import the same lines for ever; what is there stays once."""
        while True:
            made = self.memory.import_(lines(), scope=Scope(user="import"))
            count = len(list(self.memory.everything(scope=Scope(user="import"))))
            self.say("imported", made.added, count)
            if count != IMPORTED:
                self.say("fault", f"{count} of {IMPORTED} after an import")
            if chance.random() < 0.5:
                for i in chance.sample(range(IMPORTED), 20):
                    self.memory.forget(f"imp{i}", scope=Scope(user="import"))

    def take_up(self, chance: random.Random, _: str) -> None:
        """Take up the other embedder, again and again."""
        while True:
            dim = next(dim for dim in DIMS if dim != self.memory.embedder.dim)
            config = load("memory", [*settings(dim), f"folder={self.folder}"])
            self.memory.reembed(build(config.embedder), index=build(config.index))
            self.say("took up", dim)
            time.sleep(chance.uniform(0, 0.2))


def hear(tally: Counter[str], wrong: list[str], expected: Expected, line: str) -> None:
    """Take up one line of a child."""
    kind, *words = json.loads(line)
    tally[kind] += 1
    if kind == "verified":
        expected.held = {user: expected.states(user)[done] for user, done in words[0].items()}
        expected.open = dict.fromkeys(USERS)
        tally["open calls found done"] += sum(words[0].values())
        tally["imports found half way"] += 0 < words[1] < IMPORTED
        if words[3] not in ([], [words[2]]):
            wrong.append(line)
    elif kind == "asks":
        expected.open[words[0]] = words[1]
    elif kind == "acknowledged":
        user = words[0]
        expected.held[user] = expected.states(user)[1]
        expected.open[user] = None
    elif kind in ("wrong", "fault"):
        wrong.append(line)


def trial(folder: Path, expected: Expected, chance: random.Random, number: int) -> list[str]:
    """Start a child, kill it at a random moment, return what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        Child(folder, expected, writing, 10_000 * number).run()
        signal.pause()
    os.close(writing)
    said, ends, begun = b"", time.monotonic() + 60, False
    while chunk := _some(reading, ends):
        said += chunk
        if not begun and b"verified" in said:
            begun, ends = True, time.monotonic() + chance.uniform(0, 2.5)
        if any(word in said for word in (b'["fault"', b'["wrong"')):
            break
    os.kill(child, signal.SIGKILL)
    while chunk := os.read(reading, 65536):
        said += chunk
    os.close(reading)
    os.waitpid(child, 0)
    return said.decode().splitlines()


def kill(trials: int, seed: int, root: Path) -> tuple[Counter[str], list[str]]:
    """Run trials on a new folder every so often."""
    chance, tally, wrong = random.Random(seed), Counter[str](), list[str]()
    for number in range(trials):
        if number % TRIALS_A_FOLDER == 0:
            shutil.rmtree(root / "memories", ignore_errors=True)
            expected = Expected()
        heard = trial(root / "memories", expected, chance, number)
        if not any('"verified"' in line for line in heard):
            wrong.append(f"trial {number}: it never opened: {heard[-1:]}")
        for line in heard:
            hear(tally, wrong, expected, line)
        if wrong:
            print(f"trial {number}: {wrong}", flush=True)
            break
        if number % 50 == 49:
            print(f"{number + 1} kills, {tally['acknowledged']} calls acknowledged, 0 wrong", flush=True)
    return tally, wrong


def made(folder: Path, precision: str) -> list[list[str]]:
    """Make a memory, one owner of it promoted; return what each question finds."""
    with memshadow.open(folder, overrides=indexed(precision), remember=False) as memory:
        for user, count in (("ann", 300), ("ben", 60)):
            memory.add(
                [{"id": f"{user}{i}", "text": told(f"{user}{i}", 1)} for i in range(count)], scope=Scope(user=user)
            )
        memory.forget("ann7", scope=Scope(user="ann"))
        answers(memory)  # builds what is built beside the work
    with memshadow.open(folder, overrides=indexed(precision), remember=False) as memory:
        return answers(memory)


def indexed(precision: str) -> list[str]:
    """Return settings that promote an owner of a few hundred memories."""
    return [*settings(DIMS[0]), f"index.precision={precision}", "index.promote_at=200"]


def answers(memory: Memory) -> list[list[str]]:
    """Return what each of a few questions finds."""
    asked = [(user, told(f"{user}{i}", 1)) for user in ("ann", "ben") for i in range(0, 60, 5)]
    return [[hit.record.id for hit in memory.search(text, k=5, scope=Scope(user=user))] for user, text in asked]


def index(trials: int, seed: int, root: Path) -> tuple[Counter[str], list[str]]:
    """Damage one index file a trial; every search must find what it found before."""
    tally, wrong = Counter[str](), list[str]()
    found: dict[int, list[list[str]]] = {}
    for number in range(trials):
        chance = random.Random(f"{seed}/{number}")
        whole, precision = root / f"whole-{number % 2}", ("fp16", "fp32")[number % 2]
        if number < 2:
            found[number] = made(whole, precision)
        hurt = root / "hurt"
        shutil.rmtree(hurt, ignore_errors=True)
        shutil.copytree(whole, hurt)
        files = sorted(path for path in (hurt / "index").rglob("*") if path.is_file())
        file = chance.choice(files)
        what = spoiled(file, files, chance)
        kind = f"{file.suffix or file.name}: {what}"
        try:
            with memshadow.open(hurt, overrides=indexed(precision), remember=False) as memory:
                same = answers(memory) == found[number % 2]
                tally["noticed and made again" if memory.stats().warnings else "every search as before"] += same
                if not same:
                    wrong.append(f"trial {number}: {kind}: other answers")
        except BaseException:
            wrong.append(f"trial {number}: {kind}: {traceback.format_exc()[-1200:]}")
        if wrong and wrong[-1].startswith(f"trial {number}:"):
            print(wrong[-1], flush=True)
    return tally, wrong


def spoiled(file: Path, files: list[Path], chance: random.Random) -> str:
    """Damage a file; say how."""
    roll = chance.random()
    if roll < 0.06:
        file.unlink()
        return "deleted"
    if roll < 0.12:
        file.write_bytes(chance.choice([other for other in files if other != file]).read_bytes())
        return "another file in its place"
    content = file.read_bytes()
    if not content:
        return "empty"
    kind = chance.choice(list(DAMAGES))
    file.write_bytes(DAMAGES[kind](content, chance))
    return kind


def main() -> int:
    """Run the trials and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "index"])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        tally, wrong = {"kill": kill, "index": index}[given.what](given.trials, given.seed, Path(root))
    for what, count in sorted(tally.items()):
        print(f"{count:9d} {what}")
    print("nothing wrong" if not wrong else f"{len(wrong)} WRONG")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
