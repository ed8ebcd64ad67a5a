"""What no file of the project may hold, whoever writes it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "memshadow",
    "configs",
    "tests",
    "docs",
    "experiments",
    "benchmarks",
    "notebooks",
    "requirements",
    ".ci",
    ".github",
)
ENDINGS = {".py", ".yaml", ".yml", ".md", ".toml", ".txt", ".json", ".ipynb", ".sh", ".cfg", ""}


def files() -> list[Path]:
    """Return every text file of the project."""
    inside = [file for room in ROOMS for file in (ROOT / room).rglob("*") if "__pycache__" not in file.parts]
    top = (*ROOT.glob("*.*"), ROOT / "Makefile")
    return sorted(file for file in (*inside, *top) if file.is_file() and file.suffix in ENDINGS)


# In parts, so that this file does not hold what it forbids.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("download", "pytorch", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
        ("proxy", "golang", "org"),
    )
]
HOSTS = re.compile("|".join(map(re.escape, REGISTRIES)))
MACHINE = re.compile(rf"(?<![\w.])/({'|'.join(['work', 'root', 'Users'])}|home/[a-z]+)/")
SCRATCH = re.compile(r"(?<![\w.])/tmp\b")
UNSAFE = re.compile(
    r"\bimport (pickle|dill|joblib|cloudpickle|marshal|shelve)\b|\bfrom (pickle|dill|joblib|cloudpickle|shelve) import"
    r"|\btorch\.(load|save)\(|allow_pickle=True|weights_only=False|\bload_from_checkpoint\(|trust_remote_code=True"
)
SECRET = re.compile(
    r"\b(sk-[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{30,}|ghp_[A-Za-z0-9]{30,}|AKIA[A-Z0-9]{16})\b|-----BEGIN [A-Z ]*PRIVATE KEY"
)
TELEMETRY = re.compile(r"\b(sentry_sdk|posthog|mixpanel|segment\.analytics|google-analytics)\b")


def breaches(file: Path, text: str) -> Iterator[str]:
    """Yield what is wrong with a file's text."""
    room = file.relative_to(ROOT).parts[0] if file.is_relative_to(ROOT) else file.parts[0]
    rules = {
        "a package registry's address": HOSTS,
        "a secret": SECRET,
        "telemetry": TELEMETRY,
        "a machine's path": MACHINE,
    }
    if room != "tests":
        rules["a scratch path"] = SCRATCH
    if room == "memshadow":
        rules["pickle or its like"] = UNSAFE
    for what, pattern in rules.items():
        if found := pattern.search(text):
            yield f"{file}: {what}: {found[0]!r}"


def test_no_file_holds_what_none_may() -> None:
    this = Path(__file__)
    found = [line for file in files() if file != this for line in breaches(file, file.read_text(encoding="utf-8"))]
    assert found == []


def test_there_is_something_to_look_at() -> None:
    names = {file.relative_to(ROOT).as_posix() for file in files()}
    assert {"README.md", "Makefile", "start.py", "pyproject.toml", "memshadow/types.py", ".ci/run"} <= names


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("README.md", f"see https://{REGISTRIES[0]}/simple"),
        ("requirements/lock.txt", f"--extra-index-url https://{REGISTRIES[3]}/whl/cpu"),
        ("docs/a.md", "run it in /{}/jane/memshadow".format("home")),
        ("tests/test_a.py", "open('/{}/data')".format("work")),
        ("memshadow/a.py", "Path('/tmp/x')"),
        ("memshadow/a.py", "import pickle"),
        ("memshadow/a.py", "from joblib import load"),
        ("memshadow/a.py", "torch.load(path)"),
        ("memshadow/a.py", "np.load(path, allow_pickle=True)"),
        ("configs/a.yaml", "key: sk-" + "a" * 24),
        ("memshadow/a.py", "import {}_sdk".format("sentry")),
    ],
)
def test_a_planted_breach_is_caught(place: str, text: str) -> None:
    assert list(breaches(Path(place), text))


def test_what_looks_alike_passes() -> None:
    assert (
        list(breaches(Path("memshadow/a.py"), "load_file(p)  # homework/roots, s/tmpl, ./tmp, MEMSHADOW_HOME/work"))
        == []
    )
    assert list(breaches(Path("tests/a.py"), "import pickle; '/tmp'")) == []
