"""Lists of words: BM25 in three ways, held to loops that anyone can read."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from place import block, mask, turn

from memshadow.memory.recall.lists import words
from memshadow.memory.recall.said import said

K1, B = 0.9, 0.4


def met(here, terms, names=(), without=()):
    return words(here, said(here, mask(here.size, without)), terms, frozenset(names), k1=K1, b=B).at()


def bm25(documents, asked):
    """Return the scores of lists of terms, by equation 3.15."""
    mean = sum(map(len, documents)) / len(documents) or 1.0
    scores = []
    for document in documents:
        score = 0.0
        for term in asked:  # a term that is asked twice counts twice
            score += (
                idf(documents, term)
                * document.count(term)
                * (K1 + 1)
                / (document.count(term) + K1 * (1 - B + B * len(document) / mean))
            )
        scores.append(score)
    return scores


def idf(documents, term):
    having = sum(term in document for document in documents)
    return math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))


term = st.sampled_from("abcdef")
lines = st.tuples(st.lists(term, max_size=6), st.sampled_from([None, "s", "t"]), st.integers(0, 9).map(bool))


@given(st.lists(lines, min_size=1, max_size=15), st.lists(term, max_size=6), st.sets(term, max_size=3))
def test_every_list_is_as_the_plain_loops_give_it(spoken, asked, names):
    turns = [turn("", words=said_, session=session, turn=n) for n, (said_, session, _) in enumerate(spoken)]
    without = [n for n, (_, _, kept) in enumerate(spoken) if not kept]
    here = block(turns)
    order = said(here, mask(here.size, without))
    found = met(here, asked, names, without)
    documents = [spoken[place][0] for place in order.places]
    if not documents:
        assert all(len(part) == 0 for part in found)
        return
    kept = [one for one in asked if one not in names] or asked
    pairs = [(documents[n - 1] if order.follows[n] else []) + documents[n] for n in range(len(documents))]
    weights = {one: idf(documents, one) for one in kept}
    total, most = sum(weights.values()) or 1.0, max(weights.values(), default=0) or 1.0
    held = [[one for one in weights if one in document] for document in documents]
    np.testing.assert_allclose(found.whole, bm25(documents, asked), atol=1e-12)
    np.testing.assert_allclose(found.bare, bm25(documents, kept), atol=1e-12)
    np.testing.assert_allclose(found.window, bm25(pairs, kept), atol=1e-12)
    np.testing.assert_allclose(found.covered, [sum(map(weights.get, one)) / total for one in held], atol=1e-12)
    np.testing.assert_allclose(found.matched, [len(one) / (len(weights) or 1) for one in held], atol=1e-12)
    np.testing.assert_allclose(found.rarest, [max(map(weights.get, one), default=0) / most for one in held], atol=1e-12)


def test_a_window_reaches_back_one_turn_and_not_over_the_end_of_a_session():
    here = block([turn("", words=[one], session=s) for one, s in zip("xyzx", "aaab", strict=True)])
    assert (met(here, ["x"]).window > 0).tolist() == [True, True, False, True]
    assert (met(here, ["z"]).window > 0).tolist() == [False, False, True, False]


def test_names_are_left_out_but_where_nothing_else_is_asked():
    here = block([turn("", words=["ann", "tea"]), turn("", words=["ann"]), turn("", words=["tea"])])
    both = met(here, ["ann", "tea"], ["ann"])
    assert (both.bare > 0).tolist() == [True, False, True]
    assert (both.whole > 0).all()
    assert both.matched.tolist() == [1, 0, 1]
    alone = met(here, ["ann"], ["ann"])
    np.testing.assert_array_equal(alone.bare, alone.whole)
    assert alone.covered.tolist() == [1, 1, 0]


def test_what_is_forbidden_is_counted_nowhere():
    said_ = [["tea"], ["tea", "milk"], ["rain"], ["tea"]]
    some = met(block([turn("", words=one) for one in said_]), ["tea", "rain"], without=[1, 3])
    alone = met(block([turn("", words=one) for one in (said_[0], said_[2])]), ["tea", "rain"])
    for here, there in zip(some, alone, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("terms", [[], ["nowhere"]])
def test_what_nobody_says_scores_nothing(terms):
    found = met(block([turn("tea"), turn("rain")]), terms)
    assert all(part.tolist() == [0, 0] for part in found)


def test_turns_without_terms_are_no_error():
    found = met(block([turn("", words=[]), turn("", words=[])]), ["tea"])
    assert all(part.tolist() == [0, 0] for part in found)
