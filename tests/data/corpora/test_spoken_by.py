"""A corpus with only what some speakers said."""

import pytest

from memshadow.data.corpora.base import ConversationCorpus
from memshadow.data.corpora.spoken_by import SpokenBy
from memshadow.types import Conversation, Memory, Question


class Talk:
    """One conversation of a user and an assistant, and one in which the assistant speaks alone."""

    name, licence, weights_may_ship, fingerprint = "talk", "CC0", True, "abc"

    def conversations(self):
        said = [("user", "I moved"), ("assistant", "Where to?"), ("user", "Rome")]
        memories = tuple(self._memory("a", i, *turn) for i, turn in enumerate(said))
        asked = (
            Question(id="both", conversation_id="a", text="Where?", evidence=("a2", "a1", "a0")),
            Question(id="lost", conversation_id="a", text="Asked what?", evidence=("a1",)),
            Question(id="none", conversation_id="a", text="Unanswerable?"),
        )
        yield Conversation(id="a", memories=memories, questions=asked)
        yield Conversation(id="b", memories=(self._memory("b", 0, "assistant", "Hello?"),))

    def _memory(self, talk, i, speaker, text):
        return Memory(id=f"{talk}{i}", conversation_id=talk, session_id="s", turn=i, speaker=speaker, text=text)


@pytest.fixture
def corpus():
    return SpokenBy(corpus=Talk(), speakers=["user"])


def test_it_is_a_corpus_of_its_own_name_and_the_same_licence(corpus):
    assert isinstance(corpus, ConversationCorpus)
    assert (corpus.name, corpus.licence, corpus.weights_may_ship) == ("talk_user", "CC0", True)


def test_what_others_said_is_gone_and_the_order_stays(corpus):
    first, second = corpus.conversations()
    assert [m.text for m in first.memories] == ["I moved", "Rome"]
    assert (second.id, second.memories) == ("b", ())
    assert list(corpus.conversations()) == [first, second]


def test_evidence_is_what_remains_of_it_and_no_question_is_dropped(corpus):
    first, _ = corpus.conversations()
    assert {q.id: q.evidence for q in first.questions} == {"both": ("a2", "a0"), "lost": (), "none": ()}


def test_all_speakers_give_the_corpus_itself():
    assert list(SpokenBy(corpus=Talk(), speakers=["assistant", "user"]).conversations()) == list(Talk().conversations())


def test_the_fingerprint_is_of_corpus_and_speakers_not_of_their_order():
    prints = [SpokenBy(corpus=Talk(), speakers=s).fingerprint for s in (["a", "b"], ["b", "a"], ["a"], ["ab"])]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    other = Talk()
    other.fingerprint = "def"
    assert SpokenBy(corpus=other, speakers=["a"]).fingerprint not in prints
