"""What a user answered moves that user's questions, where it finds more; nobody else's, and not a bit without it."""

import numpy as np
import pytest
from small import hashing, memory

from memshadow.data.feedback import FeedbackLog
from memshadow.errors import CheckpointError, ConfigError, NotFoundError
from memshadow.memory.adapting import UserAdapters
from memshadow.memory.ranking import VectorRanking
from memshadow.meta.adapter import Start, read_adapter, write_start
from memshadow.types import Adaptation, Scope

ANN, BOB = Scope(user="ann"), Scope(user="bob")
DIM = 64
WORDS = ["boat", "piano", "garden", "bakery", "rocket", "violin", "tunnel", "castle", "meadow", "island"]


@pytest.fixture
def start(tmp_path):
    """A start of no use: all turns on what was answered."""
    folder = tmp_path / "start"
    given = Start(
        matrix=np.zeros((DIM, DIM), dtype=np.float32),
        temperature=10.0,
        rate=2.0,
        steps=5,
        embedder=hashing(DIM).fingerprint,
        fingerprint="",
    )
    write_start(folder, given)
    return folder


@pytest.fixture
def adapters(start, tmp_path):
    return UserAdapters(model=str(start), folder=str(tmp_path / "adapters"), most=32)


@pytest.fixture
def kept(tmp_path, adapters):
    """Memories that questions ask for in words of their own, one set for each of two users."""
    found = memory(
        embedder=hashing(DIM),
        ranking=VectorRanking(),
        feedback=FeedbackLog(file=tmp_path / "feedback.jsonl"),
        adapters=adapters,
    )
    for scope in (ANN, BOB):
        found.add([{"text": f"the answer is {word} {word}", "id": word} for word in WORDS], scope=scope)
        found.add([f"some other thing, number {number}" for number in range(20)], scope=scope)
    return found


def asking(number):
    """Return a question whose words are nearly all those of a memory that is not the answer."""
    return f"some other thing, number {number}, some other thing: {WORDS[number]}"


def teach(kept, scope=ANN, questions=6):
    """Say what answers the first questions."""
    for number in range(questions):
        kept.feedback(asking(number), WORDS[number], scope=scope)
    return kept.adaptation(scope=scope)


def places(kept):
    """Return where the answers of questions stand that nobody answered yet."""
    return [[one for one, _ in ids(kept, asking(n), k=30)].index(WORDS[n]) for n in (6, 7, 8, 9)]


def ids(kept, query, scope=ANN, k=10):
    return [(hit.record.id, hit.score) for hit in kept.search(query, scope=scope, k=k)]


def test_answers_move_other_questions_of_the_same_user_alone(kept):
    before, others = places(kept), ids(kept, asking(8), BOB)
    found = teach(kept)
    assert found.used, found.reason
    assert found.adapted > found.without
    assert (found.answered, found.size_bytes) == (6, 6 * 2 * DIM * 2)
    assert sum(places(kept)) < sum(before)
    assert ids(kept, asking(8), BOB) == others
    assert kept.adaptation(scope=BOB) == Adaptation()


def test_explanations_say_that_a_question_was_moved(kept):
    teach(kept)
    (hit, *_) = kept.search(asking(9), scope=ANN, explain=True)
    assert "moved by 6 answered questions" in hit.explanation.notes


def test_without_answers_results_are_those_without_adapters_to_the_bit(kept, tmp_path):
    plain = memory(embedder=hashing(DIM), ranking=VectorRanking())
    plain.add([{"text": f"the answer is {word} {word}", "id": word} for word in WORDS], scope=ANN)
    plain.add([f"some other thing, number {number}" for number in range(20)], scope=ANN)
    mine, theirs = ([s for _, s in ids(m, "number thing castle")] for m in (kept, plain))
    assert mine == theirs
    assert not (tmp_path / "adapters").exists()


def test_too_few_answers_are_kept_and_not_used(kept):
    found = teach(kept, questions=2)
    assert (found.used, found.answered) == (False, 2)
    assert "from 3 questions" in found.reason


def test_an_adapter_that_finds_no_more_is_refused_and_says_so(kept, adapters):
    query = "number thing castle"
    before = ids(kept, query)
    for word in WORDS[:4]:  # found first already: nothing can be gained
        found = kept.feedback(f"the answer is {word} {word}", [word], scope=ANN)
    assert not found.used
    assert "does not find more" in found.reason
    assert kept.adaptation(scope=ANN) == found
    assert ids(kept, query) == before


def test_what_was_wrong_is_kept_and_counts_with_what_was_right(kept):
    teach(kept, questions=5)
    wrong = kept.search(asking(7), scope=ANN)[0].record.id
    found = kept.feedback(asking(7), wrong, False, scope=ANN)
    assert found.answered == 6
    kept.feedback(asking(7), wrong, scope=ANN)  # a change of mind
    with pytest.raises(NotFoundError):
        kept.feedback("number", "nobody knows it", False, scope=ANN)


def test_forgetting_a_memory_takes_it_out_of_the_adapter(kept, adapters):
    teach(kept)
    kept.forget(WORDS[0], scope=ANN)
    found = kept.adaptation(scope=ANN)
    assert found.answered == 5
    kept.forget(WORDS[1], scope=BOB)
    assert kept.adaptation(scope=ANN) == found


def test_an_adapter_keeps_nothing_of_a_memory_that_was_never_an_answer(kept, tmp_path):
    teach(kept)
    (gone,) = [hit.record.id for hit in kept.search("some other thing, number 15", k=1, scope=ANN)]
    kept.forget(gone, scope=ANN)
    (file,) = (tmp_path / "adapters").glob("*.safetensors")
    made = read_adapter(file, dim=DIM).values
    kept.adapt(scope=ANN)
    np.testing.assert_array_equal(read_adapter(file, dim=DIM).values, made)


def test_it_can_be_removed_and_made_again(kept, tmp_path):
    query, found = asking(9), teach(kept)
    moved = ids(kept, query)
    files = list((tmp_path / "adapters").iterdir())
    assert {file.suffix for file in files} == {".safetensors", ".json"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    kept.unadapt(scope=ANN)
    assert list((tmp_path / "adapters").iterdir()) == []
    assert ids(kept, query) != moved
    assert kept.adapt(scope=ANN) == found
    assert ids(kept, query) == moved
    kept.unadapt(scope=BOB)  # there is none


def test_a_memory_opened_later_uses_it_and_a_damaged_one_is_left_aside(kept, start, tmp_path, caplog):
    query = asking(9)
    plain = ids(kept, query)
    teach(kept)
    moved = ids(kept, query)
    (file,) = (tmp_path / "adapters").glob("*.safetensors")
    for content, expected in ((file.read_bytes(), moved), (b"torn", plain)):
        file.write_bytes(content)
        later = UserAdapters(model=str(start), folder=str(tmp_path / "adapters"), most=32)
        later.bind(kept._parts)
        kept._adapters = later
        assert ids(kept, query) == expected
    assert "is no adapter" in caplog.text
    assert "damaged" in kept.adaptation(scope=ANN).reason


def test_only_the_last_answers_make_it(start, tmp_path, kept):
    few = UserAdapters(model=str(start), folder=str(tmp_path / "few"), most=4)
    few.bind(kept._parts)
    teach(kept)
    log = FeedbackLog(file=tmp_path / "feedback.jsonl")
    assert few.learn(ANN.owner, log.of(ANN.owner, last=99)).answered == 4


def test_another_embedder_has_no_start(start, tmp_path):
    kept = memory(
        embedder=hashing(32),
        feedback=FeedbackLog(file=tmp_path / "other.jsonl"),
        adapters=UserAdapters(model=str(start), folder=str(tmp_path / "others"), most=32),
    )
    kept.add("tea, no sugar", id="tea")
    found = kept.feedback("what to drink?", "tea")
    assert not found.used
    assert "there is no start for the embedder" in found.reason


def test_a_full_disk_costs_the_adapter_and_not_the_answer(kept, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memshadow.memory.adapting.write_bytes", full)
    assert "No space left" in teach(kept, questions=1).reason or not kept.adaptation(scope=ANN).used
    assert len(FeedbackLog(file=tmp_path / "feedback.jsonl").of(ANN.owner, last=99)) == 1


def test_an_answer_that_was_superseded_teaches_nothing_and_breaks_nothing(kept):
    teach(kept)
    kept.add("now it is another boat", id="newer", supersedes=WORDS[0], scope=ANN)
    assert kept.adapt(scope=ANN).answered == 5
    kept.forget("newer", scope=ANN)
    assert kept.feedback(asking(9), WORDS[9], scope=ANN).answered == 6


def test_settings_that_cannot_be_are_told(start, tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        UserAdapters(model=str(start), folder=str(tmp_path), most=0)
    with pytest.raises(CheckpointError):
        UserAdapters(model=str(tmp_path / "nothing"), folder=str(tmp_path), most=1)
