"""Every published table is made from results that say where they come from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
RESULTS = sorted((HOME / "experiments").glob("*/results.json"))
FIELDS = {"system", "data", "protocol", "metric", "mean", "ci95", "seeds", "n", "command", "commit"}


def test_tables_are_current() -> None:
    ran = subprocess.run(
        [sys.executable, HOME / "experiments" / "tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}: run python experiments/tables.py"


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.parent.name)
def test_every_row_says_where_it_comes_from(file: Path) -> None:
    rows = json.loads(file.read_text())
    assert rows
    for row in rows:
        assert row.keys() >= FIELDS, f"{row['system']}, {row['metric']}: lacks {FIELDS - row.keys()}"
        assert row["ci95"] == [] or row["ci95"][0] <= row["mean"] <= row["ci95"][1]
