"""What the README shows on its first screen is what one sees."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_example_prints_what_the_readme_says(tmp_path: Path) -> None:
    """In a folder of its own, without a key and without the hub."""
    code, shown = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", README, re.DOTALL).groups()
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown


def test_the_commands_it_names_exist() -> None:
    named = set(re.findall(r"^\$ memshadow (\w+)", README, re.MULTILINE))
    verbs = {file.stem.rstrip("_") for file in (ROOT / "memshadow" / "cli").glob("[!_]*.py")}
    assert named
    assert named <= verbs
