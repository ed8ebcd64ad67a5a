"""From a fresh clone to a trained embedder: ``python3 start.py``. To its test run: ``python3 start.py test``.

Makes ``.venv``, installs the versions of ``requirements/lock.txt`` into it, then runs ``memshadow train`` (words after
``start.py`` are passed on: ``python3 start.py data=locomo``), ``pytest`` (``test``) or nothing more (``setup``).
Needs Python 3.11 or newer, pip and a package index, and nothing else. Run again, it goes on where it stopped.
"""

from __future__ import annotations  # read by older Pythons too, which hand over to a newer one

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent
VENV = HOME / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = VENV / "install.log"
STAMP = VENV / "installed.txt"
OLDEST = (3, 11)
TO_TRAIN, TO_TEST = "train,serve", "train,serve,dev"


def main() -> int:
    """Set up what is missing, then run what was asked for."""
    words = sys.argv[1:]
    if words and words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if sys.version_info < OLDEST:
        return with_newer_python(words)
    task = words.pop(0) if words and words[0] in ("test", "setup") else "train"
    steps = Steps()
    make_environment(steps)
    install(steps, TO_TRAIN if task == "train" else TO_TEST)
    if task == "setup":
        return 0
    command = (
        ["pytest", "-q", "-n", "auto", "--dist", "loadfile", *(words or ["-m", "not slow"])]
        if task == "test"
        else ["memshadow", "train", *words]
    )
    steps.say(" ".join(command))
    return subprocess.call([str(PYTHON), "-m", *command], env=environment(), cwd=HOME)


def environment() -> dict[str, str]:
    """Return this process's environment without the hub, and with bytecode: pip left that to the first import."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "HF_HUB_OFFLINE": "1"}


def with_newer_python(words: list[str]) -> int:
    """Hand over to a newer Python of this machine, or say that there is none."""
    names = [f"python3.{minor}" for minor in range(20, OLDEST[1] - 1, -1)]
    newer = next((path for path in map(shutil.which, names) if path), None)
    if newer:
        return subprocess.call([newer, str(HOME / "start.py"), *words])
    have = sys.version.split()[0]
    print(f"memshadow needs Python 3.{OLDEST[1]} or newer; this is {have}, and the PATH has no newer one.")
    print("Install one, then run this again with it, for instance: python3.12 start.py")
    return 2


class Steps:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        print(f"{self._line_start()}{text}", flush=True)

    def show(self, text: str) -> None:
        """Print a line that the next one overwrites; nothing where the output is no terminal."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 14
            print(f"{self._line_start()}  {text[:width]}", end="", flush=True)

    def _line_start(self) -> str:
        return f"{chr(13) + chr(27) + '[K' if self.terminal else ''}[{time.monotonic() - self.begun:4.0f} s] "


def make_environment(steps: Steps) -> None:
    """Make ``.venv`` unless a whole one is there: an interrupted one has no pip yet."""
    probe = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    if PYTHON.exists() and subprocess.call([str(PYTHON), "-c", probe], stderr=subprocess.DEVNULL) == 0:
        return
    steps.say(f"making .venv with Python {sys.version.split()[0]}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        print((made.stdout + made.stderr).strip())
        sys.exit("\nNo environment can be made (Debian and Ubuntu: apt install python3-venv). Then run this again.")


def install(steps: Steps, extras: str) -> None:
    """Install the package with its extras at the locked versions, unless the stamp says that it was done."""
    wanted = fingerprint()
    done = STAMP.read_text().split() if STAMP.exists() else []
    if done and done[0] == wanted and done[1] in (extras, TO_TEST):
        return
    steps.say(f"installing memshadow[{extras}]; the first time takes some minutes (log: .venv/install.log)")
    options = [
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--no-compile",
        "-c",
        "requirements/lock.txt",
    ]
    command = [str(PYTHON), "-m", "pip", "install", *options, "-e", f".[{extras}]"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with LOG.open("w") as log, subprocess.Popen(command, cwd=HOME, text=True, **pipes) as pip:
        for line in pip.stdout:
            log.write(line)
            steps.show(line.strip())
    if pip.returncode:
        print("\n" + "\n".join(LOG.read_text().splitlines()[-15:]))
        sys.exit(
            "\npip could not install it; above is the end of .venv/install.log. Run the same command to try again."
        )
    STAMP.write_text(f"{wanted} {extras}\n")
    steps.say("installed")


def fingerprint() -> str:
    """Return a hash of what decides which packages belong in the environment."""
    files = (HOME / "pyproject.toml", HOME / "requirements" / "lock.txt")
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command to go on.")
