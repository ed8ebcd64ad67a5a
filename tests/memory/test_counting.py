"""Tokens for a budget: never fewer because a tokenizer has no word for something."""

import pytest
from hypothesis import given, strategies as st

from memshadow.memory.counting import ByteCounter, FileCounter
from memshadow.models.pretrained import locate
from memshadow.models.tokens import Tokens


@pytest.fixture(scope="module")
def minilm():
    return FileCounter(model="minilm")


@pytest.fixture(scope="module")
def tokens():
    return Tokens(locate("minilm"))


def test_known_words_count_what_they_are_cut_into(minilm):
    assert minilm.count("I moved to Lisbon.") == 5
    assert minilm.count("") == ByteCounter().count("") == 0


@pytest.mark.parametrize("text", ["A1b2" * 5000, "สวัสดีชาวโลก", "🤷", "\ufffd" * 300, "\u0301" * 40])
def test_what_has_no_token_counts_by_its_bytes(minilm, text):
    assert minilm.count(text) >= len(text.encode()) - 3  # a mark over a letter may belong to the letter's token
    assert minilm.count(f"so {text} it is") >= minilm.count(text) + 3


def test_an_unknown_word_adds_to_the_words_around_it(minilm):
    assert minilm.count("I moved to 🤷.") == minilm.count("I moved to .") + 4


@given(text=st.text(max_size=80) | st.from_regex(r"[a-zA-Z ,.]{0,80}\Z"))
def test_it_is_never_below_what_the_model_reads(minilm, tokens, text):
    read = tokens([text])[0]
    assert minilm.count(text) >= len(read)
    if text.isascii() and text.isprintable() and tokens.unknown not in read:
        assert minilm.count(text) == len(read)
