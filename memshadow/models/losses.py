"""What an encoder is trained to do: pure functions of rows and scores. Know no model and no batch loader.

``scores[i, j]`` is how well passage j answers query i; ``target[i]`` is the column of i's own passage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

Narrow = Callable[[Tensor, int], Tensor]
"""Rows and a width -> the rows at that width."""


def multiple_negatives(
    scores: Float[Tensor, "b n"],
    target: Int[Tensor, " b"],
    *,
    scale: float,
    hardness: float = 0.0,
    ignore: Bool[Tensor, "b n"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean of -log softmax(scale * scores) at the target (InfoNCE: van den Oord et al. 2018, 1807.03748).

    ``hardness`` > 0 weighs each negative by exp(hardness * score), normalised to mean 1 over the row's negatives, so
    that hard ones count more (Robinson et al. 2021, 2010.04592, eq. 4; the weight carries no gradient). Entries of
    ``ignore`` are left out; the target never is.
    """
    own = functional.one_hot(target, scores.shape[1]).bool()
    dropped = torch.zeros_like(own) if ignore is None else ignore & ~own
    logits = scale * scores
    if hardness:
        logits = logits + _log_weights(scores.detach(), own | dropped, hardness)
    return functional.cross_entropy(logits.masked_fill(dropped, -torch.inf), target)


def _log_weights(scores: Float[Tensor, "b n"], no_negative: Bool[Tensor, "b n"], hardness: float) -> Tensor:
    """Return hardness * score - log of the mean of its exponential over the row's negatives; 0 elsewhere."""
    raised = (hardness * scores).masked_fill(no_negative, -torch.inf)
    count = (~no_negative).sum(1, keepdim=True).clamp(min=1)
    mean = torch.logsumexp(raised, 1, keepdim=True) - count.log()
    return torch.where(no_negative, 0.0, raised - mean)


def false_negatives(guide: Float[Tensor, "b n"], target: Int[Tensor, " b"], *, margin: float) -> Bool[Tensor, "b n"]:
    """Return the passages that a guide scores above the target's score less ``margin``: likely answers too.

    GISTEmbed (Solatorio 2024, 2402.16829, section 3), with the absolute margin of later practice.
    """
    own = guide.gather(1, target[:, None])
    likely = guide > own - margin
    return likely & ~functional.one_hot(target, guide.shape[1]).bool()


def truncated(rows: Float[Tensor, "n d"], dim: int) -> Float[Tensor, "n w"]:
    """Return the first ``dim`` columns at unit norm (Matryoshka: Kusupati et al. 2022, 2205.13147)."""
    return functional.normalize(rows[:, :dim], dim=1)


def folded(rows: Float[Tensor, "n d"], dim: int) -> Float[Tensor, "n w"]:
    """Return the sum of the row's parts of ``dim`` columns at unit norm: how hashed rows are narrowed.

    Raises:
        ValueError: ``dim`` does not divide the width.
    """
    if rows.shape[1] % dim:
        raise ValueError(f"rows of width {rows.shape[1]} fold to a divisor of it, not to {dim}")
    return functional.normalize(rows.reshape(len(rows), -1, dim).sum(1), dim=1)


def nested(
    loss: Callable[[Tensor, Tensor], Tensor],
    queries: Float[Tensor, "b d"],
    passages: Float[Tensor, "n d"],
    *,
    dims: Sequence[int],
    narrow: Narrow = truncated,
) -> Float[Tensor, ""]:
    """Return the mean of ``loss(queries, passages)`` over ``dims`` (Kusupati et al. 2022, eq. 1, equal weights)."""
    return torch.stack([loss(narrow(queries, dim), narrow(passages, dim)) for dim in dims]).mean()


def margin_mse(
    scores: Float[Tensor, "b n"], teacher: Float[Tensor, "b n"], target: Int[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Return the mean squared difference of (target's score - other's score) between student and teacher.

    Hofstätter et al. 2020, 2010.02666, eq. 5, over all negatives of the batch.
    """
    others = ~functional.one_hot(target, scores.shape[1]).bool()
    gaps = scores.gather(1, target[:, None]) - scores
    wanted = teacher.gather(1, target[:, None]) - teacher
    return functional.mse_loss(gaps[others], wanted[others])


def distillation(
    scores: Float[Tensor, "b n"], teacher: Float[Tensor, "b n"], *, temperature: float
) -> Float[Tensor, ""]:
    """Return T^2 KL(softmax(teacher / T) || softmax(scores / T)), mean over queries (Hinton et al. 2015, sec. 2)."""
    student = functional.log_softmax(scores / temperature, dim=1)
    wanted = functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * functional.kl_div(student, wanted, reduction="batchmean", log_target=True)


def taught(scores: Float[Tensor, "b n"], teacher: Float[Tensor, "b n"], *, temperature: float) -> Float[Tensor, ""]:
    """Return KL(softmax(teacher / T) || softmax(scores)) over what the teacher scored, mean over queries.

    The student has a scale of its own, so the temperature is the teacher's alone. ``teacher`` is -inf where it says
    nothing; a query of which it says nothing at all teaches nothing.
    """
    told = torch.isfinite(teacher)
    wanted = functional.log_softmax((teacher / temperature).masked_fill(~told.any(1, keepdim=True), 0.0), dim=1)
    student = functional.log_softmax(scores.masked_fill(~told & told.any(1, keepdim=True), -torch.inf), dim=1)
    gap = torch.where(told, wanted - student, 0.0)
    return (wanted.exp() * gap).sum(1).mean()


def orthogonality(matrix: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return ||M M' - I||^2 / n, n the shorter side: 0 for orthonormal rows (Brock et al. 2017, 1609.07093, eq. 3)."""
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    identity = torch.eye(len(short), dtype=short.dtype, device=short.device)
    return (short @ short.T - identity).square().sum() / len(short)
