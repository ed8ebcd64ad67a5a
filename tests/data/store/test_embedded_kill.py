"""The store survives kill -9 and damaged files; the harness that says so would notice if it did not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[3] / "benchmarks" / "durability"


def run(script: str, *, trials: int, sabotage: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script of the harness, after some lines that break the store."""
    code = (
        f"import sys, runpy; sys.argv = ['x', '--trials', '{trials}', '--seed', '3']\n"
        f"sys.path.insert(0, {str(HARNESS)!r})\n{sabotage}\n"
        f"runpy.run_path({str(HARNESS / script)!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged() -> None:
    done = run("kill.py", trials=10)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 acknowledged writes lost, 0 half batches, 0 ghosts" in done.stdout


@pytest.mark.slow
def test_damage_is_never_silent() -> None:
    done = run("damage.py", trials=15)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 damaged stores, 0 wrong" in done.stdout


TOO_SOON = """
from memshadow.data.store.embedded import store as module
def write_group(self, group, real=module.EmbeddedStore._write_group):
    import time
    for call in group:
        call.done.set_result(self._ledger.last_seq + len(call.changes))
    time.sleep(0.05)
    from memshadow.data.store.embedded.writer import Call
    real(self, [Call(call.changes) for call in group])
module.EmbeddedStore._write_group = write_group
"""
UNCHECKED = """
from memshadow.data.store.embedded import opening
opening.compare = lambda *given: None
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "sabotage"), [("kill.py", TOO_SOON), ("damage.py", UNCHECKED)], ids=["told too soon", "mark ignored"]
)
def test_the_harness_notices_a_store_that_is_worse(script: str, sabotage: str) -> None:
    done = run(script, trials=30, sabotage=sabotage)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG" in done.stdout
