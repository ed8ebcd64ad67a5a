"""Champions are decided by the interval of the paired difference, and by nothing else."""

from pathlib import Path

import numpy as np
import pytest

from memshadow.errors import CheckpointError, DataError
from memshadow.models.metrics import estimate
from memshadow.training.champion import QuestionScore, bootstrap_interval, crown, decide
from memshadow.training.mlflow_tracker import MlflowTracker
from memshadow.training.registry import CHAMPION, ModelRegistry


def scores(values: list[float], *, conversations: int = 5) -> list[QuestionScore]:
    return [
        QuestionScore(question_id=f"q{i}", conversation_id=f"c{i % conversations}", value=value)
        for i, value in enumerate(values)
    ]


def noise(seed: int, n: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).random(n)


BASE = (0.4 * noise(0)).tolist()
BETTER = (np.array(BASE) + 0.2 + 0.1 * noise(1)).tolist()
SAME = (np.array(BASE) + 0.2 * (noise(2) - noise(3))).tolist()


class TestDecide:
    def test_a_clear_gain_promotes(self) -> None:
        verdict = decide(scores(BETTER), scores(BASE), rival_name="bm25", metric="ndcg@10")
        assert verdict.promote
        assert verdict.ci95 is not None
        assert 0 < verdict.ci95[0] < (verdict.difference or 0) < verdict.ci95[1]
        assert (verdict.questions, verdict.conversations) == (100, 5)
        assert "ndcg@10 differs from bm25's by +0.2" in verdict.reason

    def test_a_higher_mean_without_a_clear_interval_does_not(self) -> None:
        one_lucky_conversation = [value + (0.9 if i % 5 == 0 else -0.1) for i, value in enumerate(BASE)]
        verdict = decide(scores(one_lucky_conversation), scores(BASE), rival_name="v1", metric="ndcg@10")
        assert (verdict.difference or 0) > 0.05
        assert not verdict.promote
        assert "not clearly better" in verdict.reason

    def test_equal_scores_do_not(self) -> None:
        assert not decide(scores(BASE), scores(BASE), rival_name="v1", metric="ndcg@10").promote

    def test_a_clear_loss_does_not(self) -> None:
        verdict = decide(scores(BASE), scores(BETTER), rival_name="v1", metric="ndcg@10")
        assert not verdict.promote
        assert "clearly worse" in verdict.reason

    def test_one_conversation_gives_no_interval_and_moves_nothing(self) -> None:
        lone = [scores(values, conversations=1) for values in (BETTER, BASE)]
        verdict = decide(*lone, rival_name="v1", metric="ndcg@10")
        assert not verdict.promote
        assert "hold out two or more" in verdict.reason

    def test_order_does_not_matter(self) -> None:
        forth = decide(scores(BETTER), scores(BASE), rival_name="v1", metric="m")
        assert decide(scores(BETTER)[::-1], scores(BASE), rival_name="v1", metric="m") == forth

    @pytest.mark.parametrize(
        ("mine", "theirs", "says"),
        [
            (BASE, BASE[:-1], "1 are not in both"),
            ([], [], "no question was scored"),
            ([float("nan"), 1.0], [0.0, 1.0], "'q0' scored nan"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, mine: list[float], theirs: list[float], says: str) -> None:
        with pytest.raises(DataError, match=says):
            decide(scores(mine), scores(theirs), rival_name="v1", metric="m")

    def test_a_question_scored_twice_is_refused(self) -> None:
        with pytest.raises(DataError, match="scored twice"):
            decide([*scores(BASE), scores(BASE)[0]], scores(BASE), rival_name="v1", metric="m")


class TestInterval:
    def test_it_is_the_one_of_the_published_figures(self) -> None:
        names = [f"c{i % 7}" for i in range(100)]
        published = estimate(np.array(SAME), names)
        assert bootstrap_interval(names, np.array(SAME)) == pytest.approx((published.low, published.high), abs=1e-12)

    def test_questions_of_one_conversation_are_not_independent(self) -> None:
        values = np.repeat([0.0, 1.0], 50)
        clustered = bootstrap_interval(["a"] * 50 + ["b"] * 50, values)
        assert clustered == (0.0, 1.0)


class TestCrown:
    """The alias in a real registry."""

    @pytest.fixture
    def challenge(self, tracker: MlflowTracker, tmp_path: Path):  # type: ignore[no-untyped-def]
        def register_and_crown(name: str, values: list[float], **settings: object):  # type: ignore[no-untyped-def]
            folder = tmp_path / name
            folder.mkdir()
            (folder / "model.json").write_text(name)
            tracker.start(name=name, config={})
            version = tracker.register_model("embedder", folder)
            tracker.end()
            given = {"scores": scores(values), "baseline": scores(BASE), "baseline_name": "bm25", "metric": "ndcg@10"}
            verdict = crown(uri=tracker.uri, name="embedder", version=version, **{**given, **settings})
            holder = ModelRegistry.open(tracker.uri).at("embedder", CHAMPION)
            return verdict, holder.version if holder else None

        return register_and_crown

    def test_the_title_moves_only_to_who_is_clearly_better(self, challenge, tracker: MlflowTracker) -> None:  # type: ignore[no-untyped-def]
        assert challenge("weak", SAME)[1] is None  # the first one must beat the baseline
        verdict, holder = challenge("good", BETTER)
        assert (verdict.rival, holder) == ("bm25", "2")
        verdict, holder = challenge("alike", BETTER)
        assert (verdict.rival, verdict.promote, holder) == ("version 2", False, "2")
        verdict, holder = challenge("best", (np.array(BETTER) + 0.1).tolist())
        assert (verdict.rival, verdict.promote, holder) == ("version 2", True, "4")
        tags = ModelRegistry.open(tracker.uri).version("embedder", "4").tags
        assert tags["champion.promoted"] == "true"
        assert tags["champion.difference"] == "+0.1000"
        assert tags["champion.ci95"] == "[+0.1000, +0.1000]"
        assert tags["champion.questions"] == "100"

    def test_other_questions_say_nothing_unless_the_champion_is_scored_on_them(self, challenge) -> None:  # type: ignore[no-untyped-def]
        assert challenge("first", BETTER)[1] == "1"
        others = [QuestionScore(question_id=f"x{i}", conversation_id=f"c{i % 4}", value=0.9) for i in range(20)]
        verdict, holder = challenge("second", [], scores=others)
        assert (verdict.promote, verdict.difference, holder) == (False, None, "1")

        def rescore(folder: Path) -> list[QuestionScore]:
            assert (folder / "model.json").read_text() == "first"
            return [
                QuestionScore(question_id=s.question_id, conversation_id=s.conversation_id, value=0.1) for s in others
            ]

        verdict, holder = challenge("third", [], scores=others, rescore=rescore)
        assert (verdict.promote, holder) == (True, "3")

    def test_a_champion_that_cannot_be_scored_here_keeps_its_title(self, challenge) -> None:  # type: ignore[no-untyped-def]
        challenge("first", BETTER)
        others = [QuestionScore(question_id=f"x{i}", conversation_id=f"c{i % 4}", value=0.9) for i in range(20)]

        def rescore(folder: Path) -> list[QuestionScore]:
            raise CheckpointError("it was trained on another encoder")

        verdict, holder = challenge("second", [], scores=others, rescore=rescore)
        assert (verdict.promote, verdict.difference, holder) == (False, None, "1")
        assert "it was trained on another encoder" in verdict.reason
