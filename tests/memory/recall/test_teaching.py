"""A ranking teaches what it would answer, for every question of a conversation."""

import numpy as np
import pytest
from place import viewer

from memshadow.config import build, config_dir, load
from memshadow.errors import ConfigError
from memshadow.memory.ranking import VectorRanking
from memshadow.memory.recall.rankers.fusions import MinMaxRanker
from memshadow.memory.recall.retrieving import RankedRetriever
from memshadow.memory.recall.scene import LISTS
from memshadow.memory.recall.second import CrossEncoderLook
from memshadow.memory.recall.staged import StagedRanking
from memshadow.memory.recall.teaching import RankingTeacher
from memshadow.models.cached import CachedEmbedder
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.teaching import Teacher
from memshadow.types import Conversation, Memory, Question

EMBEDDER = HashingEmbedder(dim=32, k1=0.9, b=0.4, mean_length=12.0, copies=2)
SAID = ["tea", "milk", "rain", "snow", "wind", "hail"]
MEMORIES = tuple(
    Memory(id=text, conversation_id="c", session_id="s", turn=n, speaker="Ann", text=f"I like {text}")
    for n, text in enumerate(SAID)
)
QUESTIONS = (
    Question(id="one", conversation_id="c", text="Who likes milk?", evidence=("milk",)),
    Question(id="none", conversation_id="c", text="Who likes hail?"),
)
TALK = Conversation(id="c", memories=MEMORIES, questions=QUESTIONS)


class Reader:
    """A cross-encoder that thinks of rain alone, and remembers what it read."""

    name = fingerprint = "reader"

    def __init__(self):
        self.read = []

    def scores(self, query, texts):
        self.read += texts
        return np.array(["rain" in text for text in texts], dtype=np.float32)


def ranking(second=None):
    ranker = MinMaxRanker(weights=dict.fromkeys(LISTS, 0.25))
    return StagedRanking(viewer=viewer(), ranker=ranker, second=second)


def teacher(of=None, candidates=3, encoder=EMBEDDER):
    return RankingTeacher(encoder=encoder, ranking=of or ranking(), candidates=candidates)


def test_it_is_a_teacher():
    assert isinstance(teacher(), Teacher)


def test_it_teaches_its_best_for_each_question_with_evidence_or_without(tmp_path):
    other = Conversation(id="d", memories=MEMORIES[:2], questions=QUESTIONS[:1])
    (one, none), (short,) = teacher().lessons([TALK, other], cache=tmp_path)
    for lesson, best in ((one, 1), (none, 5), (short, 1)):
        assert lesson.places[0] == best
        assert len(set(lesson.places.tolist())) == len(lesson.places) == len(lesson.scores)
        assert np.isfinite(lesson.scores).all()
        assert (np.diff(lesson.scores) <= 0).all()
    assert (len(one.places), len(short.places)) == (3, 2)


def test_it_teaches_what_the_ranking_would_be_scored_by(tmp_path):
    ((lesson, _),) = teacher(candidates=len(SAID)).lessons([TALK], cache=tmp_path)
    embedder = CachedEmbedder(encoder=EMBEDDER, folder=str(tmp_path))
    wanted = RankedRetriever(name="r", embedder=embedder, ranking=ranking()).scores(MEMORIES, [QUESTIONS[0].text])[0]
    np.testing.assert_allclose(lesson.scores, wanted[lesson.places])


def test_a_second_look_reads_what_was_said(tmp_path):
    reader = Reader()
    look = CrossEncoderLook(make=lambda: reader, k=len(SAID), weight=1.0, before=False)
    ((lesson, _),) = teacher(ranking(look)).lessons([TALK], cache=tmp_path)
    assert lesson.places[0] == SAID.index("rain")
    assert "Ann: I like rain" in reader.read


def test_rows_are_kept_where_a_row_is_of_one_text_alone(tmp_path):
    class Counting(HashingEmbedder):
        read = 0

        def embed_passages(self, passages):
            self.read += len(passages)
            return super().embed_passages(passages)

    encoder = Counting(dim=32, k1=0.9, b=0.4, mean_length=12.0, copies=2)
    lessons = [list(teacher(encoder=encoder).lessons([TALK], cache=tmp_path)) for _ in range(2)]
    assert encoder.read == len(SAID)
    np.testing.assert_array_equal(lessons[0][0][0].scores, lessons[1][0][0].scores)
    encoder.__class__.reach = property(lambda _: (1, 0))
    (taught,) = teacher(VectorRanking(), encoder=encoder).lessons([TALK], cache=tmp_path)
    assert encoder.read == 2 * len(SAID)
    assert taught[0].places[0] == 1


def test_a_conversation_of_nothing_teaches_nothing(tmp_path):
    empty = Conversation(id="e", memories=(), questions=QUESTIONS)
    (lessons,) = teacher().lessons([empty], cache=tmp_path)
    assert [len(lesson.places) for lesson in lessons] == [0, 0]


def test_one_candidate_teaches_no_order():
    with pytest.raises(ConfigError, match="candidates=1; needed: 2 or more"):
        teacher(candidates=1)


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "teacher").glob("*.yaml")))
def test_every_choice_teaches_a_head(name, tmp_path):
    if name == "cross_encoder":
        pytest.importorskip("onnxruntime")
    words = ["learner=head", f"+teacher@learner.teacher={name}", f"cache_dir={tmp_path}", "embedder=hashing"]
    made = build(load("train", words).learner.teacher)
    assert isinstance(made, Teacher)
    ((one, none),) = made.lessons([TALK], cache=tmp_path)
    assert one.places[0] == SAID.index("milk")
    assert sorted(one.places.tolist()) == sorted(none.places.tolist()) == list(range(len(SAID)))
    kept = [file for file in (tmp_path / "pairs").glob("*") if file.stat().st_size]
    assert bool(kept) == (name == "cross_encoder")


def test_the_experiment_is_the_published_head_with_a_teacher():
    config, plainly = load("train", ["experiment=embedder_distilled"]), load("train", ["experiment=embedder_2048"])
    assert config.learner.teacher.ranking.ranker.model == "packaged"
    config.learner.teacher = None
    assert config == plainly
