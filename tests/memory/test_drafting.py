"""What a caller hands in: cleaned of what cannot be said again, or refused in words."""

import json

import pytest

from memshadow.errors import DataError
from memshadow.memory.drafting import drafted
from memshadow.types import Source

HALF = "\ud800"


def nested(levels):
    found = "deep"
    for _ in range(levels):
        found = {"in": found}
    return found


def test_half_surrogates_are_replaced_wherever_they_stand():
    draft = drafted(
        {
            "text": f"x{HALF}",
            "tags": [f"t{HALF}"],
            "source": {"tool": HALF},
            "metadata": {f"k{HALF}": [HALF, {"n": HALF}], "pair": "\ud83d\ude00"},
        }
    )
    assert (draft.text, draft.tags, draft.source) == ("x\ufffd", ("t\ufffd",), Source(tool="\ufffd"))
    assert draft.metadata == {"k\ufffd": ["\ufffd", {"n": "\ufffd"}], "pair": "😀"}
    json.dumps(draft.metadata, ensure_ascii=False).encode()


def test_metadata_keep_what_every_reader_of_json_can_hold():
    kept = {"least": -(2**63), "most": 2**64 - 1, "half": 0.5, "none": None, "yes": True, "deep": nested(49)}
    assert drafted("x", metadata=kept).metadata == kept
    assert drafted("x", metadata={1: (2, 3)}).metadata == {"1": [2, 3]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metadata": {"n": 2**64}}, "metadata hold 18446744073709551616; needed: whole numbers from -2"),
        ({"metadata": {"a": [{"n": -(2**63) - 1}]}}, "metadata hold -9223372036854775809"),
        ({"metadata": {"n": float("nan")}}, "what JSON can hold"),
        ({"metadata": nested(51)}, "deeper than 50"),
        ({"metadata": nested(100_000)}, "deeper than 50"),
        ({"tags": [["a"]]}, r"a tag must be text, got \['a'\]"),
        ({"tags": [5]}, "a tag must be text, got 5"),
        ({"id": "a\r\nSet-Cookie: b"}, "control characters"),
        ({"id": "a\x85"}, "control characters"),
        ({"id": ""}, "needed: one character or more"),
        ({"happened_at": "0001-01-01T00:00:00+10:00"}, "outside of what UTC can hold"),
    ],
)
def test_what_could_not_be_told_again_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        drafted("x", **given)


def test_an_id_may_be_of_any_script():
    assert drafted("x", id="日本 / ø").id == "日本 / ø"


def test_a_time_that_is_none_is_refused():
    """pandas' NaT, as an empty field of a table comes."""
    nat = pytest.importorskip("pandas").NaT
    with pytest.raises(DataError, match="happened_at=NaT is no time; leave it out"):
        drafted("x", happened_at=nat)
