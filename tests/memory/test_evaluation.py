"""Rankings, figures and differences: by hand on a corpus of two talks, and as a referee outside reads them."""

import importlib.util
import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from memshadow.errors import DataError
from memshadow.memory.evaluation import Ranking, Scored, result_rows, score, write_rankings
from memshadow.types import Conversation, Memory, Question

REFEREE = Path(os.environ.get("MEMSHADOW_REFEREE", Path(__file__).parents[3] / "shared/referee/retrieval.py"))


def talk(name, turns, gold, text="0123456789"):
    """A conversation of sessions of two turns; ``gold`` holds the evidence of each question by category."""
    memories = tuple(
        Memory(id=f"{name}{i}", conversation_id=name, session_id=f"{name}s{i // 2}", turn=i, speaker="Ann", text=text)
        for i in range(turns)
    )
    questions = tuple(
        Question(
            id=f"{name}q{n}",
            conversation_id=name,
            text=f"{n}",
            category=category,
            evidence=tuple(f"{name}{i}" for i in places),
        )
        for n, (category, places) in enumerate(gold)
    )
    return Conversation(id=name, memories=memories, questions=questions)


TALKS = [
    talk("a", 4, [("one", [0]), ("none", []), ("two", [1, 3])]),
    talk("idle", 3, [("none", [])]),
    talk("b", 3, [("one", [2])]),
]


class Forward:
    """Ranks memories in the order of saying."""

    name = "forward"

    def scores(self, memories, questions):
        return np.tile(-np.arange(len(memories), dtype=float), (len(questions), 1))


class Backward(Forward):
    """Ranks the last first."""

    name = "backward"

    def scores(self, memories, questions):
        return -super().scores(memories, questions)


class Flat(Forward):
    """Has no opinion."""

    name = "flat"

    def scores(self, memories, questions):
        return np.zeros((len(questions), len(memories)))


@pytest.fixture
def scored():
    return score([Forward(), Backward(), Flat()], iter(TALKS))


def test_every_system_ranks_every_question_with_evidence(scored):
    assert [one.system for one in scored] == ["forward", "backward", "flat"]
    for one in scored:
        assert [r.question.id for r in one.rankings] == ["aq0", "aq2", "bq0"]
        assert one.groups == ["a", "a", "b"]
    assert scored[0].rankings[0].memory_ids == ("a0", "a1", "a2", "a3")
    assert scored[1].rankings[2].memory_ids == ("b2", "b1", "b0")


def test_ties_keep_the_order_of_saying(scored):
    assert [r.memory_ids for r in scored[2].rankings] == [r.memory_ids for r in scored[0].rankings]


def test_figures_by_hand(scored):
    both = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    np.testing.assert_allclose(scored[0].values("ndcg@10"), [1, both, 0.5])
    np.testing.assert_allclose(scored[0].values("recall@1"), [1, 0, 0])
    np.testing.assert_allclose(scored[0].values("mrr"), [1, 0.5, 1 / 3])
    np.testing.assert_allclose(scored[0].values("session_hit@1"), [1, 1, 0])
    found = scored[0].estimate("recall@1")
    assert (found.mean, found.low, found.high, found.n) == (pytest.approx(1 / 3), 0.0, 0.5, 3)


def test_a_budget_counts_speaker_and_text_but_no_caption(scored):
    long = [talk("c", 2, [("one", [1])], text="x" * (1024 - len("Ann: ")))]  # 256 tokens each
    row = score([Forward()], long)[0].rankings[0].figures
    assert (row["er@256"], row["er@512"]) == (0, 1)
    shown = [replace(m, image_caption="a red kite") for m in long[0].memories]
    assert score([Forward()], [replace(long[0], memories=tuple(shown))])[0].rankings[0].figures["er@512"] == 1
    longer = [talk("c", 2, [("one", [1])], text="x" * 1024)]
    assert score([Forward()], longer)[0].rankings[0].figures["er@512"] == 0


def test_categories_have_their_own_means(scored):
    values = scored[0].values("ndcg@10")
    assert scored[0].by_category("ndcg@10") == pytest.approx({"one": values[[0, 2]].mean(), "two": values[1]})
    assert list(scored[0].by_category("mrr")) == ["one", "two"]


def test_every_lone_note_is_a_session_of_its_own():
    (one,) = [talk("a", 4, [("one", [3])])]
    notes = replace(one, memories=tuple(replace(m, session_id="") for m in one.memories))
    forward, backward = score([Forward(), Backward()], [notes])
    assert forward.rankings[0].figures["session_hit@1"] == 0
    assert backward.rankings[0].figures["session_hit@1"] == 1


def test_a_gain_is_paired(scored):
    forward, backward, flat = scored
    same = forward.gain_over(flat, "ndcg@10")
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    gain, loss = forward.gain_over(backward, "mrr"), backward.gain_over(forward, "mrr")
    assert gain.mean == pytest.approx(np.mean([1 - 1 / 4, 1 / 2 - 1, 1 / 3 - 1]))
    assert (gain.mean, gain.low, gain.high) == pytest.approx((-loss.mean, -loss.high, -loss.low))


def test_a_gain_over_other_questions_is_refused(scored):
    other = Scored("other", scored[0].rankings[::-1])
    with pytest.raises(ValueError, match="forward and other answered different questions"):
        scored[0].gain_over(other, "mrr")


def test_no_evidence_or_two_of_a_name_is_refused():
    for talks in ([], TALKS[1:2]):
        with pytest.raises(DataError, match="no question with evidence came"):
            score([Forward()], talks)
    with pytest.raises(ValueError, match="two systems share a name; came: forward, flat, forward"):
        score([Forward(), Flat(), Forward()], TALKS)


def test_rankings_are_lines_that_anybody_can_read(scored, tmp_path):
    file = tmp_path / "deep" / "forward.jsonl"
    write_rankings(scored[0], file)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert lines[1] == {"question_id": "aq2", "memory_ids": ["a0", "a1", "a2", "a3"]}
    assert len(lines) == 3


def test_results_are_rows_of_system_and_metric(scored):
    rows = result_rows(scored, data="tiny", commit="abc")
    assert len(rows) == 3 * len(scored[0].rankings[0].figures)
    (row,) = [r for r in rows if (r["system"], r["metric"]) == ("forward", "ndcg@10")]
    e = scored[0].estimate("ndcg@10")
    assert row == {
        "system": "forward", "metric": "ndcg@10", "mean": e.mean, "ci95": [e.low, e.high], "n": 3, "data": "tiny",
        "commit": "abc",
    }  # fmt: skip
    json.dumps(rows)


def test_a_ranking_without_questions_has_no_figures():
    assert result_rows([], data="tiny") == []
    assert Ranking(TALKS[0].questions[0], (), {}).figures == {}


def test_a_referee_outside_comes_to_the_same_figures(tmp_path):
    if not REFEREE.is_file():
        pytest.skip(f"NOT COMPARED with the referee: no {REFEREE.name} here; MEMSHADOW_REFEREE=FILE names one")
    spec = importlib.util.spec_from_file_location("referee", REFEREE)
    referee = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(referee)
    rng = np.random.default_rng(0)
    talks = [
        talk(
            name,
            int(rng.integers(30, 90)),
            [("x", rng.choice(30, size=int(rng.integers(0, 14)), replace=False)) for _ in range(8)],
            text="word " * int(rng.integers(3, 40)),
        )
        for name in "cab"
    ]

    class Noise(Forward):
        def scores(self, memories, questions):
            return rng.normal(size=(len(questions), len(memories)))

    (mine,) = score([Noise()], talks)
    _write_shared_form(tmp_path, talks)
    write_rankings(mine, tmp_path / "mine.jsonl")
    rows = referee.evaluate(tmp_path, tmp_path / "mine.jsonl", False)
    assert len(rows) == len(mine.rankings) > 15
    figures = {r.question.id: r.figures for r in mine.rankings}
    for conversation, _, question, row in rows:
        assert figures[question] == pytest.approx(row, abs=1e-9)
        assert question.startswith(conversation)
    for metric in rows[0][3]:
        e = mine.estimate(metric)
        values = np.array([row[3][metric] for row in rows])
        assert e.mean == pytest.approx(values.mean(), abs=1e-9)
        assert [round(e.low, 4), round(e.high, 4)] == referee.interval([row[0] for row in rows], values)


def _write_shared_form(folder, talks):
    with (folder / "memories.jsonl").open("w") as memories, (folder / "questions.jsonl").open("w") as questions:
        for one in talks:
            memories.writelines(f"{json.dumps(asdict(m))}\n" for m in one.memories)
            questions.writelines(f"{json.dumps(asdict(q))}\n" for q in one.questions)
