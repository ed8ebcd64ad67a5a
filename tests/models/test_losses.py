"""Each loss against its formula written out, and at its corners."""

import math

import pytest
import torch

from memshadow.models import losses

SCORES = torch.tensor([[0.9, 0.1, 0.4], [0.2, 0.3, 0.8]])
TARGET = torch.tensor([0, 2])


def by_hand(row, target, scale, weights):
    total = sum(w * math.exp(scale * s) for w, s in zip(weights, row, strict=True))
    return -math.log(weights[target] * math.exp(scale * row[target]) / total)


def test_multiple_negatives_is_softmax_cross_entropy():
    wanted = (by_hand([0.9, 0.1, 0.4], 0, 5, [1, 1, 1]) + by_hand([0.2, 0.3, 0.8], 2, 5, [1, 1, 1])) / 2
    assert losses.multiple_negatives(SCORES, TARGET, scale=5).item() == pytest.approx(wanted, rel=1e-5)


def test_hardness_weighs_hard_negatives_up_and_keeps_their_mean():
    raised = [math.exp(2 * 0.1), math.exp(2 * 0.4)]
    mean = sum(raised) / 2
    wanted = by_hand([0.9, 0.1, 0.4], 0, 5, [1, raised[0] / mean, raised[1] / mean])
    got = losses.multiple_negatives(SCORES[:1], TARGET[:1], scale=5, hardness=2)
    assert got.item() == pytest.approx(wanted, rel=1e-5)


def test_ignored_passages_are_no_negatives_but_the_target_stays():
    ignore = torch.tensor([[True, False, True], [False, False, False]])
    wanted = (by_hand([0.9, 0.1], 0, 5, [1, 1]) + by_hand([0.2, 0.3, 0.8], 2, 5, [1, 1, 1])) / 2
    got = losses.multiple_negatives(SCORES, TARGET, scale=5, ignore=ignore)
    assert got.item() == pytest.approx(wanted, rel=1e-5)
    everything = torch.ones(2, 3, dtype=torch.bool)
    assert losses.multiple_negatives(SCORES, TARGET, scale=5, hardness=1, ignore=everything).item() == 0


def test_its_gradient_pulls_the_target_and_pushes_the_hardest_most():
    scores = SCORES.clone().requires_grad_()
    losses.multiple_negatives(scores, TARGET, scale=5).backward()
    assert scores.grad[0, 0] < 0 < scores.grad[0, 1] < scores.grad[0, 2]


def test_a_guide_marks_what_it_scores_above_the_target():
    guide = torch.tensor([[0.5, 0.6, 0.45], [0.9, 0.1, 0.5]])
    assert losses.false_negatives(guide, TARGET, margin=0.0).tolist() == [[False, True, False], [True, False, False]]
    assert losses.false_negatives(guide, TARGET, margin=0.1).tolist() == [[False, True, True], [True, False, False]]


def test_narrow_rows_are_unit_and_as_defined():
    rows = torch.tensor([[3.0, 4.0, 1.0, 2.0]])
    torch.testing.assert_close(losses.truncated(rows, 2), torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(losses.folded(rows, 2), torch.nn.functional.normalize(torch.tensor([[4.0, 6.0]])))
    with pytest.raises(ValueError, match="not to 3"):
        losses.folded(rows, 3)


@pytest.mark.parametrize("narrow", [losses.truncated, losses.folded])
def test_nested_is_the_mean_over_widths(narrow):
    torch.manual_seed(0)
    queries, passages = torch.randn(2, 8), torch.randn(3, 8)

    def one(q, p):
        return losses.multiple_negatives(q @ p.T, TARGET, scale=3)

    wanted = (one(narrow(queries, 8), narrow(passages, 8)) + one(narrow(queries, 4), narrow(passages, 4))) / 2
    torch.testing.assert_close(losses.nested(one, queries, passages, dims=[8, 4], narrow=narrow), wanted)


def test_margin_mse_is_nothing_where_all_gaps_agree():
    assert losses.margin_mse(SCORES, SCORES + 7, TARGET).item() == pytest.approx(0, abs=1e-10)
    gaps, wanted = [0.8, 0.5, 0.6, 0.5], [0.0, 0.0, 0.0, 0.0]
    expected = sum((g - w) ** 2 for g, w in zip(gaps, wanted, strict=True)) / 4
    assert losses.margin_mse(SCORES, torch.zeros(2, 3), TARGET).item() == pytest.approx(expected, rel=1e-5)


def test_distillation_is_kl_times_temperature_squared():
    teacher = torch.tensor([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    p, q = (teacher / 0.5).softmax(1), (SCORES / 0.5).softmax(1)
    wanted = 0.25 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(losses.distillation(SCORES, teacher, temperature=0.5), wanted)
    assert losses.distillation(SCORES, SCORES + 3, temperature=0.5).item() == pytest.approx(0, abs=1e-6)


def test_what_is_taught_is_kl_over_what_the_teacher_scored():
    teacher = torch.tensor([[0.1, -torch.inf, 0.3], [0.3, 0.2, 0.1]])
    first = (teacher[0, [0, 2]] / 0.5).softmax(0), SCORES[0, [0, 2]].softmax(0)
    second = (teacher[1] / 0.5).softmax(0), SCORES[1].softmax(0)
    wanted = sum((p * (p / q).log()).sum() for p, q in (first, second)) / 2
    torch.testing.assert_close(losses.taught(SCORES, teacher, temperature=0.5), wanted)
    assert losses.taught(SCORES, 2 * SCORES + 3, temperature=2.0).item() == pytest.approx(0, abs=1e-6)


def test_a_teacher_that_says_nothing_of_a_question_moves_nothing():
    scores = SCORES.clone().requires_grad_()
    teacher = torch.tensor([[-torch.inf] * 3, [5.0, -torch.inf, 0.0]])
    loss = losses.taught(scores, teacher, temperature=1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss > 0
    assert scores.grad[0].tolist() == [0, 0, 0]
    assert scores.grad[1, 0] < 0 == scores.grad[1, 1] < scores.grad[1, 2]


def test_orthogonality_is_nothing_for_orthonormal_rows_or_columns():
    wide = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0))).Q[:4]
    assert losses.orthogonality(wide).item() == pytest.approx(0, abs=1e-10)
    assert losses.orthogonality(wide.T).item() == pytest.approx(0, abs=1e-10)
    assert losses.orthogonality(2 * torch.eye(3)).item() == pytest.approx(9)
