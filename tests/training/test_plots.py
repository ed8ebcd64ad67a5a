"""Figures say what they show: axes have names and units, lines have legends, and empty input draws an empty figure."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from memshadow.training import plots

HISTORY = [
    {"step": s, "epoch": s, "train/loss": 3 - s / 9, "val/loss": 3.1 - s / 9, "val/ndcg@10": s / 20} for s in range(9)
]
ROWS = [
    {"category": "temporal", "questions": 30, "gain": 0.2, "low": 0.1, "high": 0.3},
    {"category": "multi-hop", "questions": 9, "gain": -0.05, "low": -0.1, "high": 0.02},
]
DIMS = [{"dim": dim, "mean": 0.4, "low": 0.3, "high": 0.5} for dim in (384, 2048)]


def drawn(figure: Figure) -> Figure:
    """Draw it, so that what only fails when drawn fails here."""
    figure.canvas.draw()
    return figure


def legend(figure: Figure, panel: int = 0) -> list[str]:
    shown = figure.axes[panel].get_legend()
    return [text.get_text() for text in shown.get_texts()] if shown else []


def test_learning_curves_put_train_and_val_of_a_metric_in_one_panel() -> None:
    figure = drawn(plots.learning_curves(HISTORY, best_step=6))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["loss", "ndcg@10"]
    assert legend(figure) == ["train", "val", "kept weights"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"optimiser step"}
    colours = {line.get_label(): line.get_color() for ax in figure.axes for line in ax.get_lines()}
    assert colours["train"] != colours["val"]


def test_learning_curves_take_rows_that_lack_a_metric_and_gaps() -> None:
    rows = [{"step": 2, "loss": 1.0}, {"step": 1, "val/loss": 2.0, "loss": float("nan")}]
    (ax,) = drawn(plots.learning_curves(rows)).axes
    line = next(line for line in ax.get_lines() if line.get_label() == "loss")
    assert list(line.get_xdata()) == [1, 2]


def test_gains_are_in_points_with_the_largest_on_top() -> None:
    (ax,) = drawn(plots.gain_by_category(ROWS, system="projected", baseline="bm25")).axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([-5, 20])
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "multi-hop\n(9 questions)",
        "temporal\n(30 questions)",
    ]
    assert "points" in ax.get_xlabel()


def test_ndcg_over_dims_names_every_width_and_level() -> None:
    figure = drawn(plots.ndcg_over_dims({"projected": DIMS}, levels={"bm25": 0.47}))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["384", "2,048"]
    assert legend(figure) == ["projected", "bm25"]


def test_memory_map_separates_what_is_apart_and_greys_the_rest() -> None:
    centres = np.repeat(np.eye(3, 16, dtype=np.float32) * 9, 20, axis=0)
    vectors = centres + np.random.default_rng(0).normal(size=centres.shape).astype(np.float32)
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 20
    figure = drawn(plots.memory_map(vectors, labels, most_labels=2))
    assert legend(figure) == ["1 others", "a", "b"]
    places, shares = plots.principal_components(vectors)
    assert 0.5 < sum(shares) <= 1
    middles = [places[i : i + 20].mean(0) for i in (0, 20, 40)]
    assert min(np.linalg.norm(middles[i] - middles[j]) for i, j in [(0, 1), (0, 2), (1, 2)]) > 5


def test_principal_components_are_those_of_the_covariance() -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 1] + 10
    places, shares = plots.principal_components(vectors)
    assert places.mean(0) == pytest.approx([0, 0])
    values = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1]
    assert places.var(0, ddof=1) == pytest.approx(values[:2])
    assert shares == pytest.approx(tuple(values[:2] / values.sum()))


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plots.learning_curves([]),
        lambda: plots.gain_by_category([]),
        lambda: plots.ndcg_over_dims({}),
        lambda: plots.memory_map(np.zeros((0, 8), np.float32), []),
        lambda: plots.memory_map(np.ones((1, 8), np.float32), ["alone"]),
    ],
)
def test_nothing_to_draw_is_no_error(figure) -> None:  # type: ignore[no-untyped-def]
    assert isinstance(drawn(figure()), Figure)


def test_plotting_leaves_no_global_state() -> None:
    code = (
        "import sys; from memshadow.training import plots; assert 'matplotlib' not in sys.modules;"
        "plots.learning_curves([{'step': 1, 'loss': 1.0}]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
