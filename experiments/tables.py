"""Write the tables of every experiment's README from its ``results.json``: ``python experiments/tables.py [--check]``.

A README says where and what: ``<!-- table data=locomo protocol=none metric=ndcg@10,recall@10 -->`` to ``<!-- end -->``.
Keys before ``metric`` select rows (a value may end in ``*``); rows are systems, columns metrics. ``rows=protocol`` puts
protocols in the rows instead.
"""

from __future__ import annotations

import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_PLACE = re.compile(r"(<!-- table (?P<what>.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_SETTING = re.compile(r'(\w+)=("[^"]*"|\S+)')


def table(rows: list[dict[str, Any]], what: str) -> str:
    """Return the Markdown table that a marker asks for, best row first by its first metric."""
    asked = {key: value.strip('"') for key, value in _SETTING.findall(what)}
    metrics, by = asked.pop("metric").split(","), asked.pop("rows", "system")
    chosen = [row for row in rows if all(fnmatch(str(row.get(key, "")), value) for key, value in asked.items())]
    chosen = [row for row in chosen if ("versus" in asked) == ("versus" in row)]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in chosen:
        found.setdefault(str(row[by]), {})[row["metric"]] = row
    first = metrics[0]
    order = sorted(found, key=lambda name: -found[name].get(first, {"mean": -9})["mean"])
    lines = [f"| {by} | {' | '.join(metrics)} | n |", "|---|" + "---|" * (len(metrics) + 1)]
    for name in order:
        cells = [_cell(found[name].get(metric), bounds=metric == first) for metric in metrics]
        lines.append(f"| {name} | {' | '.join(cells)} | {next(iter(found[name].values()))['n']} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any] | None, *, bounds: bool) -> str:
    if row is None:
        return ""
    low_high = f" [{row['ci95'][0]:.3f}, {row['ci95'][1]:.3f}]" if bounds and row["ci95"] else ""
    return f"{row['mean']:.3f}{low_high}"


def main() -> int:
    """Rewrite the READMEs, or with ``--check`` only say whether one is stale."""
    stale = []
    for results in sorted(HERE.glob("*/results.json")):
        page, rows = results.with_name("README.md"), json.loads(results.read_text())
        if not page.is_file():
            continue
        text = page.read_text()
        new = _PLACE.sub(lambda found, rows=rows: found[1] + table(rows, found["what"]) + found[4], text)
        if new != text:
            stale.append(str(page.relative_to(HERE.parent)))
            if "--check" not in sys.argv:
                page.write_text(new)
    print("\n".join(stale) or "all tables are current")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
