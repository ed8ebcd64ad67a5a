"""Which model is the best one: decided by an interval on held-out questions. Knows scores; not what was scored.

The alias ``champion`` moves only when the challenger's gain over its holder is clear: the lower bound of the 95 %
interval of the paired per-question difference is above 0. The interval is the bootstrap over conversations (Efron &
Tibshirani 1993, ch. 13; clusters because the questions of one conversation are not independent).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from memshadow.errors import DataError, MemshadowError
from memshadow.training.registry import CHAMPION, ModelRegistry, RegisteredModel

_RESAMPLES, _SEED = 4_000, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionScore:
    """What one held-out question scored, higher is better."""

    question_id: str
    conversation_id: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the challenger takes the title, and the figures that say so.

    ``difference`` is challenger - rival, a mean over ``questions``; it and its interval are None where the two cannot
    be compared.
    """

    promote: bool
    rival: str
    metric: str
    reason: str
    questions: int = 0
    conversations: int = 0
    difference: float | None = None
    ci95: tuple[float, float] | None = None

    def tags(self) -> dict[str, str]:
        """Return the verdict as tags of a model version."""
        figures = {"questions": str(self.questions), "conversations": str(self.conversations)}
        if self.difference is not None and self.ci95 is not None:
            figures |= {"difference": f"{self.difference:+.4f}", "ci95": f"[{self.ci95[0]:+.4f}, {self.ci95[1]:+.4f}]"}
        said = {
            "promoted": str(self.promote).lower(),
            "rival": self.rival,
            "metric": self.metric,
            "reason": self.reason,
        }
        return {f"champion.{key}": text for key, text in {**said, **figures}.items()}


def bootstrap_interval(conversations: Sequence[str], values: Float64[ndarray, " n"]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of ``values``, conversations drawn with replacement.

    4,000 resamples from seed 0, so the same values give the same interval everywhere.
    """
    names = sorted(set(conversations))
    of = np.array([names.index(name) for name in conversations])
    sums, counts = np.bincount(of, weights=values, minlength=len(names)), np.bincount(of, minlength=len(names))
    draw = np.random.default_rng(_SEED).integers(0, len(names), (_RESAMPLES, len(names)))
    low, high = np.percentile(sums[draw].sum(1) / counts[draw].sum(1), [2.5, 97.5])
    return float(low), float(high)


def decide(
    challenger: Sequence[QuestionScore], rival: Sequence[QuestionScore], *, rival_name: str, metric: str
) -> Verdict:
    """Compare two systems on the same questions, in any order.

    One conversation alone gives no interval, so it moves nothing.

    Raises:
        DataError: the questions differ, one is scored twice or not by a finite number, or there are none.
    """
    mine, theirs = _by_question(challenger), _by_question(rival)
    if mine.keys() != theirs.keys():
        lone = sorted(mine.keys() ^ theirs.keys())
        raise DataError(
            f"the challenger was scored on {len(mine)} questions, {rival_name} on {len(theirs)}; {len(lone)} are not "
            f"in both (e.g. {lone[0]!r}); a champion is decided on the same questions: score both on them"
        )
    where = [mine[question].conversation_id for question in sorted(mine)]
    gaps = np.array([mine[question].value - theirs[question].value for question in sorted(mine)], dtype=np.float64)
    mean, (low, high) = float(gaps.mean()), bootstrap_interval(where, gaps)
    count = len(set(where))
    promote = low > 0 and count > 1
    return Verdict(
        promote=promote,
        rival=rival_name,
        metric=metric,
        reason=_reason(mean, low, high, rival_name=rival_name, metric=metric, conversations=count),
        questions=len(where),
        conversations=count,
        difference=mean,
        ci95=(low, high),
    )


def crown(
    *,
    uri: str,
    name: str,
    version: str,
    scores: Sequence[QuestionScore],
    baseline: Sequence[QuestionScore],
    baseline_name: str,
    metric: str,
    rescore: Callable[[Path], Sequence[QuestionScore]] | None = None,
) -> Verdict:
    """Let a registered version challenge the champion of ``name``, or the stated baseline where there is none.

    The alias moves if and only if the verdict promotes. Verdict and figures are tagged on the version, its scores kept
    with its run. A champion that was scored on other questions is scored again by ``rescore(model_folder)``; without
    one, or where that cannot be done (it needs another encoder, say), it keeps its title.

    Raises:
        DataError: the scores do not fit together, see ``decide``.
        MemshadowError: the registry could not be written.
    """
    registry = ModelRegistry.open(uri)
    place = f"scores/{metric.replace('/', '_')}.csv"
    with registry.alone():
        registry.write(registry.version(name, version).run_id, place, _as_csv(scores))
        champion = registry.at(name, CHAMPION)
        if champion is None:
            verdict = decide(scores, baseline, rival_name=baseline_name, metric=metric)
        elif champion.version == version:
            return Verdict(
                promote=False, rival=f"version {version}", metric=metric, reason="it is the champion already"
            )
        else:
            theirs = _from_csv(registry.read(champion.run_id, place))
            verdict = _against(champion, scores, theirs, metric=metric, rescore=rescore)
        registry.tag(name, version, verdict.tags())
        if verdict.promote:
            registry.set_alias(name, CHAMPION, version)
    return verdict


def _against(
    champion: RegisteredModel,
    scores: Sequence[QuestionScore],
    theirs: Sequence[QuestionScore],
    *,
    metric: str,
    rescore: Callable[[Path], Sequence[QuestionScore]] | None,
) -> Verdict:
    rival = f"version {champion.version}"
    if {score.question_id for score in scores} != {score.question_id for score in theirs}:
        if rescore is None:
            reason = f"the champion, {rival}, was not scored on these {len(scores)} questions, so nothing can be said"
            return Verdict(promote=False, rival=rival, metric=metric, reason=reason)
        try:
            theirs = rescore(champion.folder)
        except MemshadowError as error:
            reason = f"the champion, {rival}, cannot be scored here ({error}); another model_name starts a new title"
            return Verdict(promote=False, rival=rival, metric=metric, reason=reason)
    return decide(scores, theirs, rival_name=rival, metric=metric)


def _reason(mean: float, low: float, high: float, *, rival_name: str, metric: str, conversations: int) -> str:
    gap = f"{metric} differs from {rival_name}'s by {mean:+.4f} [{low:+.4f}, {high:+.4f}]"
    if conversations < 2:
        return f"{gap}, but one conversation gives no interval: hold out two or more"
    return f"{gap}, {'clearly better' if low > 0 else 'clearly worse' if high < 0 else 'not clearly better'}"


def _by_question(scores: Sequence[QuestionScore]) -> Mapping[str, QuestionScore]:
    """Return the scores by question, or say why they cannot be used."""
    found = {score.question_id: score for score in scores}
    if not found:
        raise DataError(
            "no question was scored, so nothing can be compared; hold out conversations that have questions"
        )
    if len(found) != len(scores):
        raise DataError(f"{len(scores) - len(found)} questions are scored twice; each must be scored once")
    odd = next((score for score in scores if not np.isfinite(score.value)), None)
    if odd is not None:
        raise DataError(f"question {odd.question_id!r} scored {odd.value}; a finite number was needed")
    return found


def _as_csv(scores: Sequence[QuestionScore]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["question_id", "conversation_id", "value"])
    writer.writerows((score.question_id, score.conversation_id, repr(float(score.value))) for score in scores)
    return text.getvalue()


def _from_csv(text: str | None) -> list[QuestionScore]:
    rows = csv.DictReader(io.StringIO(text or ""))
    return [
        QuestionScore(question_id=r["question_id"], conversation_id=r["conversation_id"], value=float(r["value"]))
        for r in rows
    ]
