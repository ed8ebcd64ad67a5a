"""Terms and their weights: the lexical half of every score."""

import math
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from snowballstemmer.english_stemmer import EnglishStemmer

from memshadow.models import lexical
from memshadow.models.lexical import BM25, TermStatistics, buckets, fold, hashed, saturated, terms

TEXTS = [
    "Caroline went to a pottery class with her kids",
    "Melanie's dog ran off into the hills, and the dog came back; the dog!",
    "We hiked the canyon at sunrise",
    "",
    "The class cost forty dollars, pottery wheel included",
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \n\t", []),
        ("?! … --", []),
        ("🎉🐶", []),
        ("\ud83d \udc00", []),
        ("dog\ud83dcat", ["dog", "cat"]),
        ("The the THE and", []),
        ("Straße STRASSE", ["strass", "strass"]),
        ("snake_case 3 kids'", ["snake", "case", "3", "kid"]),
        ("Привет мир", ["привет", "мир"]),
        ("مرحبا", ["مرحبا"]),
        ("漢字かな", ["漢字", "字か", "かな"]),
        ("猫", ["猫"]),
        ("한국어", ["한국", "국어"]),
    ],
)
def test_terms_of_any_script(text, found):
    assert terms(text) == found


def test_word_forms_meet_and_order_is_kept():
    assert terms("Hiking hiked HIKES, she hikes") == ["hike"] * 4
    assert terms("zebra apple zebra") == ["zebra", "appl", "zebra"]


def test_a_word_of_a_hundred_thousand_letters_is_one_term():
    (term,) = terms("a" * 100_000)
    assert len(term) <= 64


def test_threads_do_not_mix_the_words_they_stem(monkeypatch):
    words = [a + b for a in ("nation", "gener", "relat", "oper", "bak") for b in ("ing", "ation", "fulness", "ed")]
    alone = {word: EnglishStemmer().stemWord(word) for word in words}
    monkeypatch.setattr(lexical, "_STEMMER", EnglishStemmer())  # the one in C holds the interpreter's lock anyway
    monkeypatch.setattr(lexical, "_stem", lexical._stem.__wrapped__)
    pause = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: terms(" ".join(words)), range(80)))
    finally:
        sys.setswitchinterval(pause)
    assert all(stems == list(alone.values()) for stems in found)


def textbook(texts, query, *, k1, b):
    """BM25 as a textbook writes it: a loop over documents and over the words of the query."""
    documents = [terms(text) for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        total = 0.0
        for term in terms(query):
            holding = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            tf = document.count(term)
            total += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(document) / mean)) if tf else 0.0
        scores.append(total)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75), (2.0, 0.0), (0.5, 1.0)])
def test_bm25_is_the_textbooks(k1, b):
    index = BM25(TEXTS, k1=k1, b=b)
    for query in ("the pottery class", "dog dog hills", "hiking kids", "nothing known", "", "🎉"):
        np.testing.assert_allclose(index.scores(query), textbook(TEXTS, query, k1=k1, b=b), rtol=1e-6)


@pytest.mark.parametrize("texts", [[], ["", "?"]])
def test_a_collection_without_terms_scores_zero(texts):
    np.testing.assert_array_equal(BM25(texts, k1=0.9, b=0.4).scores("dog"), np.zeros(len(texts)))


def test_statistics_count_documents_not_occurrences():
    known = TermStatistics.of([["a", "a", "b"], ["b"], []])
    assert (known.documents, known.mean_length, dict(known.document_frequency)) == (3, 4 / 3, {"a": 1, "b": 2})
    assert known.idf("c") > known.idf("a") > known.idf("b") > 0
    assert TermStatistics().idf("x") == pytest.approx(math.log(2))


def test_saturation_grows_with_count_towards_a_bound_and_falls_with_length():
    one, many = (saturated({"a": n}, mean_length=0.0, k1=0.9, b=0.4)["a"] for n in (1, 1000))
    assert one == pytest.approx(1)
    assert many == pytest.approx(1.9, rel=1e-2)
    short = saturated({"a": 1}, mean_length=10, k1=0.9, b=0.4)["a"]
    assert short > saturated({"a": 1, "b": 30}, mean_length=10, k1=0.9, b=0.4)["a"]


def test_buckets_are_the_same_in_every_process_and_release():
    places, signs = buckets("hike", 4)
    assert places.tolist() == [1867722929, 878023498, 1050278399, 1715299410]
    assert signs.tolist() == [1, -1, 1, -1]
    places, signs = buckets("漢字", 2)
    assert (places.tolist(), signs.tolist()) == ([1960571642, 621407960], [-1, 1])
    assert buckets("\ud83d", 1)[0].tolist() != buckets("\ud83e", 1)[0].tolist()


def test_hashed_rows_are_the_same_in_every_process_and_release():
    half = math.sqrt(0.5)
    row = hashed({"hike": 2.0, "dog": 1.0}, 8, copies=2)
    np.testing.assert_allclose(row, [0, -half, 0, 0, -half, 2 * half, 0, 0], atol=1e-6)


def test_one_copy_stands_in_one_place_with_its_weight():
    row = hashed({"hike": 3.0}, 64, copies=1)
    assert np.count_nonzero(row) == 1
    assert abs(row).max() == 3
    assert float(hashed({"hike": 3.0}, 4096, copies=8) @ hashed({"hike": 2.0}, 4096, copies=8)) == pytest.approx(6)


@pytest.mark.parametrize("copies", [1, 4])
def test_the_dot_product_is_the_sparse_one_without_bias(copies):
    rng, errors, dim = np.random.default_rng(0), [], 128
    for trial in range(400):
        one, other = (
            {f"{trial}w{i}": float(rng.uniform(0.5, 2)) for i in rng.choice(30, 12, replace=False)} for _ in range(2)
        )
        exact = sum(weight * other.get(term, 0.0) for term, weight in one.items())
        errors.append(float(hashed(one, dim, copies=copies) @ hashed(other, dim, copies=copies)) - exact)
    spread = np.std(errors)
    assert abs(np.mean(errors)) < 3 * spread / math.sqrt(len(errors))
    assert spread < 2.5 * 12 * 1.25**2 / math.sqrt(dim)


def test_copies_trade_rare_large_errors_for_small_ones():
    def collisions(copies):
        rows = np.stack([hashed({f"term{i}": 1.0}, 256, copies=copies) for i in range(300)])
        products = rows @ rows.T
        return products[~np.eye(len(rows), dtype=bool)]

    one, many = collisions(1), collisions(8)
    assert abs(one).max() == 1
    assert abs(many).max() < 0.7
    assert np.mean(many**2) == pytest.approx(np.mean(one**2), rel=0.2)


@pytest.mark.parametrize(("wide", "narrow"), [(64, 32), (96, 32), (1664, 208), (64, 64)])
def test_folding_gives_what_hashing_narrower_gives(wide, narrow):
    weights = {f"term{i}": 1 + i / 7 for i in range(40)}
    folded = fold(hashed(weights, wide, copies=4)[None], narrow)
    np.testing.assert_allclose(folded[0], hashed(weights, narrow, copies=4), atol=1e-5)


def test_folding_to_nothing_and_to_no_divisor():
    block = np.ones((3, 12), dtype=np.float32)
    assert fold(block, 0).shape == (3, 0)
    assert fold(block[:0], 4).shape == (0, 4)
    with pytest.raises(ValueError, match="width 12 fold to a divisor of 12, not to 5"):
        fold(block, 5)


@pytest.mark.parametrize(("weights", "dim"), [({}, 8), ({"a": 1.0}, 0)])
def test_no_terms_or_no_width_give_an_empty_row(weights, dim):
    row = hashed(weights, dim, copies=4)
    assert row.shape == (dim,)
    assert not row.any()


def test_sparse_weights_hashed_widely_enough_are_bm25():
    known, query = TermStatistics.of(map(terms, TEXTS)), Counter(terms("the dog took a pottery class"))
    asked = hashed({term: n * known.idf(term) for term, n in query.items()}, 2**20, copies=8)
    sides = [saturated(Counter(terms(text)), mean_length=known.mean_length, k1=0.9, b=0.4) for text in TEXTS]
    rows = np.stack([hashed(side, 2**20, copies=8) for side in sides])
    expected = BM25(TEXTS, k1=0.9, b=0.4).scores("the dog took a pottery class")
    np.testing.assert_allclose(rows @ asked, expected, atol=1e-2)
