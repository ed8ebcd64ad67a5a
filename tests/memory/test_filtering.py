"""Loose words of a caller as a filter; a typing error is told, not answered with nothing."""

import pytest

from memshadow.errors import DataError
from memshadow.memory.filtering import filtered


def test_loose_words_become_a_filter():
    found = filtered(kinds=["semantic"], tags={"a"}, metadata={"n": None, "b": "x\ud800"}, latest_only=False)
    assert (found.kinds, found.tags, found.latest_only) == (("semantic",), ("a",), False)
    assert found.metadata == (("n", None), ("b", "x\ufffd"))
    assert filtered(speakers=["\udc00"]).speakers == ("\ufffd",)


@pytest.mark.parametrize(
    ("narrowed", "message"),
    [
        ({"kinds": ["episodik"]}, "kinds hold 'episodik'; choose episodic, semantic, procedural, prospective"),
        ({"kinds": [["episodic"]]}, "kinds must be text"),
        ({"speakers": [5]}, "speakers must be text, got 5"),
        ({"tags": [None]}, "tags must be text"),
        ({"keys": [b"home"]}, "keys must be text"),
        ({"metadata": "mood"}, "metadata must be a mapping"),
        ({"metadata": {"n": [1]}}, r"metadata.n=\[1\]; needed: text, a number"),
        ({"metadata": {"n": 2**64}}, "metadata.n=18446744073709551616"),
        ({"metadata": {5: 1}}, "metadata.5"),
        ({"latest_only": "false"}, "latest_only='false'; needed: true or false"),
        ({"latest_only": None}, "latest_only=None"),
        ({"moods": ["x"]}, "no filter 'moods'"),
    ],
)
def test_what_could_match_nothing_is_refused(narrowed, message):
    with pytest.raises(DataError, match=message):
        filtered(**narrowed)
