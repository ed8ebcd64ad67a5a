"""Figures of a training: one style, colours that colour-blind readers can tell apart. Takes numbers; knows no model.

Each function returns a ``matplotlib.figure.Figure`` that no window and no global state holds; the caller saves it.
Colours: Okabe & Ito 2008, *Color Universal Design*. Heavy imports happen when something is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from memshadow.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GREY = "#6B7280"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": "#374151",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E7EB",
    "grid.linewidth": 0.8,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
}


def learning_curves(history: Sequence[Mapping[str, float]], *, best_step: float | None = None) -> Figure:
    """Draw every metric over the steps, one panel per kind of figure.

    Each row of ``history`` holds ``step`` and the metrics known by then. What stands after the last "/" of a metric's
    name is its panel, what stands before it its line: ``train/loss`` and ``val/loss`` share a panel. A value that is
    not finite leaves a gap. ``best_step`` marks the weights that were kept.
    """
    names = sorted({name for row in history for name in row} - {"step", "epoch"})
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(name.rpartition("/")[2], []).append(name)
    lines = sorted({_line(name) for name in names}, reverse=True)
    with _figure(width=4.6 * max(1, len(panels)), height=3.4, columns=max(1, len(panels))) as (figure, axes):
        for ax, (kind, members) in zip(axes, panels.items(), strict=False):
            for name in members:
                points = sorted((row["step"], row[name]) for row in history if name in row)
                colour = PALETTE[lines.index(_line(name)) % len(PALETTE)]
                marker = "o" if len(points) < 40 else None
                ax.plot(*np.array(points).T, color=colour, marker=marker, markersize=3.5, label=_line(name))
            if best_step is not None:
                ax.axvline(best_step, color=_GREY, linestyle=":", linewidth=1.2, label="kept weights")
            ax.set(title=kind, xlabel="optimiser step", ylabel=kind)
            _legend(ax)
    return figure


def gain_by_category(
    rows: Sequence[Mapping[str, Any]], *, metric: str = "nDCG@10", system: str = "trained", baseline: str = "baseline"
) -> Figure:
    """Draw what training gained in each category: a bar per category with its 95 % interval.

    Each row holds ``category``, ``questions`` (a count), ``gain`` and the bounds ``low`` and ``high``, in the metric's
    unit (0 to 1); they are drawn in points (hundredths), largest gain on top.
    """
    ordered = sorted(rows, key=lambda row: float(row["gain"]))
    gains = np.array([100 * float(row["gain"]) for row in ordered])
    below = gains - [100 * float(row["low"]) for row in ordered]
    above = [100 * float(row["high"]) for row in ordered] - gains
    with _figure(width=6.4, height=1.5 + 0.45 * max(1, len(ordered))) as (figure, (ax,)):
        colours = [PALETTE[0] if gain >= 0 else PALETTE[1] for gain in gains]
        ax.barh(range(len(ordered)), gains, color=colours, height=0.6, alpha=0.9)
        whiskers = np.maximum([below, above], 0)
        ax.errorbar(gains, range(len(ordered)), xerr=whiskers, fmt="none", ecolor="#111827", capsize=3, elinewidth=1.2)
        ax.axvline(0, color=_GREY, linewidth=1)
        ax.set_yticks(range(len(ordered)), [f"{row['category']}\n({row['questions']} questions)" for row in ordered])
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"gain in {metric}, points, with its 95 % interval")
        ax.set_title(f"{system} against {baseline}, by kind of question")
    return figure


def ndcg_over_dims(
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    levels: Mapping[str, float] | None = None,
    metric: str = "nDCG@10",
) -> Figure:
    """Draw quality over the width of the vector, one line per system, its 95 % interval shaded.

    ``curves`` maps a system to rows with ``dim``, ``mean`` and, where known, ``low`` and ``high``. ``levels`` are
    systems without a width (e.g. BM25), drawn as dashed lines. Widths stand on a logarithmic axis.
    """
    dims = sorted({int(row["dim"]) for rows in curves.values() for row in rows})
    with _figure(width=6.4, height=4.2) as (figure, (ax,)):
        for i, (system, rows) in enumerate(curves.items()):
            line = sorted(rows, key=lambda row: row["dim"])
            x, colour = [row["dim"] for row in line], PALETTE[i % len(PALETTE)]
            marker = _MARKERS[i % len(_MARKERS)]
            ax.plot(x, [row["mean"] for row in line], color=colour, marker=marker, markersize=5, label=system)
            if all("low" in row and "high" in row for row in line):
                low, high = [row["low"] for row in line], [row["high"] for row in line]
                ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        for i, (system, level) in enumerate((levels or {}).items()):
            ax.axhline(
                level, color=("#111827", _GREY)[i % 2], linestyle=("--", ":")[i % 2], linewidth=1.3, label=system
            )
        ax.set_xscale("log", base=2)
        ax.set_xticks(dims, [f"{dim:,}" for dim in dims], rotation=45 if len(dims) > 7 else 0)
        ax.minorticks_off()
        ax.set(title=f"{metric} over the width of the vector", xlabel="dimensions (log scale)", ylabel=metric)
        _legend(ax)
    return figure


def over_steps(
    curves: Mapping[str, Sequence[Mapping[str, float]]], *, title: str = "New tasks, by inner steps"
) -> Figure:
    """Draw a score over the inner steps of learning a task, one line per system, its 95 % interval shaded.

    ``curves`` maps a system to rows with ``steps``, ``score`` and ``half_width``. Scores below 0 are errors with their
    sign turned; they are drawn as errors.
    """
    errors = any(row["score"] < 0 for rows in curves.values() for row in rows)
    sign = -1.0 if errors else 1.0
    with _figure(width=6.4, height=4.0) as (figure, (ax,)):
        for number, (system, rows) in enumerate(curves.items()):
            x, colour = [row["steps"] for row in rows], PALETTE[number % len(PALETTE)]
            middle = sign * np.array([row["score"] for row in rows])
            width = np.array([row["half_width"] for row in rows])
            marker = _MARKERS[number % len(_MARKERS)]
            ax.plot(x, middle, color=colour, marker=marker, markersize=5, label=system)
            ax.fill_between(x, middle - width, middle + width, color=colour, alpha=0.15, linewidth=0)
        ax.set(title=title, xlabel="inner steps", ylabel="squared error" if errors else "accuracy")
        _legend(ax)
    return figure


def memory_map(
    vectors: Float[ndarray, "n dim"], labels: Sequence[str], *, most_labels: int = 6, title: str = "A map of memories"
) -> Figure:
    """Draw memories as points, near each other where their vectors are, coloured by label.

    The two directions of largest variance (principal components); their share of it stands on the axes. Labels beyond
    the ``most_labels`` most frequent ones are grey.
    """
    places, shares = principal_components(vectors)
    counted = Counter(labels)
    kept = sorted(counted, key=lambda label: (-counted[label], label))[:most_labels]
    size = float(np.clip(12_000 / max(1, len(labels)), 8, 60))
    with _figure(width=6.6, height=4.8) as (figure, (ax,)):
        rest = np.array([label not in kept for label in labels], dtype=bool)
        if rest.any():
            others = f"{len(counted) - len(kept)} others"
            ax.scatter(places[rest, 0], places[rest, 1], s=size, color="#D1D5DB", label=others, linewidths=0)
        for label, colour, marker in zip(kept, cycle(PALETTE), cycle(_MARKERS), strict=False):
            x, y = places[np.array([other == label for other in labels], dtype=bool)].T
            ax.scatter(x, y, s=size, color=colour, marker=marker, alpha=0.75, linewidths=0, label=label)
        ax.set(title=title, xlabel=f"1st component ({shares[0]:.0%} of the variance)")
        ax.set_ylabel(f"2nd component ({shares[1]:.0%})")
        _legend(ax, loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.5)
    return figure


def importances(lost: Mapping[str, float], *, metric: str = "nDCG@10", most: int = 25) -> Figure:
    """Draw what a ranker loses without each of its features, in points: a bar each, the ``most`` greatest, on top."""
    shown = list(reversed(sorted(lost.items(), key=lambda item: -item[1])[:most]))
    with _figure(width=6.4, height=1.4 + 0.26 * max(1, len(shown))) as (figure, (ax,)):
        values = [100 * value for _, value in shown]
        ax.barh(range(len(shown)), values, height=0.65, color=[PALETTE[value < 0] for value in values])
        ax.axvline(0, color=_GREY, linewidth=1)
        ax.set_yticks(range(len(shown)), [name for name, _ in shown])
        ax.grid(visible=False, axis="y")
        ax.set(title="What the ranker looks at", xlabel=f"{metric} lost when it is dealt out at random, points")
    return figure


def contributions(names: Sequence[str], groups: Mapping[str, Sequence[float]]) -> Figure:
    """Draw why memories stand where they stand: a bar each, from the top, its parts what each group adds or takes."""
    with _figure(width=9.6, height=1.6 + 0.42 * max(1, len(names))) as (figure, (ax,)):
        place = np.arange(len(names))[::-1]
        above, below = np.zeros(len(names)), np.zeros(len(names))
        for (group, given), colour in zip(groups.items(), cycle((*PALETTE, _GREY)), strict=False):
            values = np.asarray(given, dtype=np.float64)
            ax.barh(place, values, left=np.where(values >= 0, above, below), height=0.6, color=colour, label=group)
            above, below = above + np.maximum(values, 0), below + np.minimum(values, 0)
        ax.axvline(0, color=_GREY, linewidth=1)
        ax.set_yticks(place, names)
        ax.grid(visible=False, axis="y")
        ax.set(title="Why this memory", xlabel="score beside the median candidate's")
        _legend(ax, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def principal_components(vectors: Float[ndarray, "n dim"]) -> tuple[Float[ndarray, "n 2"], tuple[float, float]]:
    """Return the coordinates on the two directions of largest variance, and their shares of the variance.

    The sign of a direction is fixed (its largest entry is positive), so the same vectors give the same map.
    """
    centred = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0) if len(vectors) else np.zeros((0, 2))
    places, shares = np.zeros((len(centred), 2)), [0.0, 0.0]
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    total = float((spread**2).sum())
    for i, direction in enumerate(directions[:2]):
        sign = 1.0 if direction[np.argmax(np.abs(direction))] >= 0 else -1.0
        places[:, i] = sign * (centred @ direction)
        shares[i] = float(spread[i] ** 2) / total if total else 0.0
    return places, (shares[0], shares[1])


@contextmanager
def _figure(*, width: float, height: float, columns: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield an empty figure in our style and its panels; inches."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "train") from error
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _line(name: str) -> str:
    """Return what a metric's line is called: ``val`` for ``val/loss``, the name itself where it has no part."""
    return name.rpartition("/")[0] or name


def _legend(ax: Axes, **place: Any) -> None:
    """Add a legend where anything was drawn: matplotlib warns otherwise."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**place)
