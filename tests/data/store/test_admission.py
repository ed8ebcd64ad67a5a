"""What any store takes: what it can give back, and nothing else."""

from dataclasses import replace

import pytest
from small_store import NOW, OWNER, insert

from memshadow.data.store.admission import admitted
from memshadow.data.store.base import End, Insert
from memshadow.errors import StoreError
from memshadow.types import Source

ENDED = {"ended_at": NOW, "ended_by": "supersede", "superseded_by": "other"}


def test_what_is_whole_comes_back():
    given = insert("a")
    assert admitted(given).record == given.record
    ended = replace(given, record=replace(given.record, **ENDED))
    assert admitted(ended).record == ended.record


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 5},
        {"id": ""},
        {"version": "1"},
        {"version": True},
        {"turn": 1.5},
        {"digest": "7"},
        {"ingested_at": "2026-01-01"},
        ENDED | {"ended_by": "weird"},
        ENDED | {"ended_by": ["x"]},
        ENDED | {"superseded_by": 5},
        ENDED | {"superseded_by": "\ud800"},
        ENDED | {"superseded_by": "a"},
        ENDED | {"superseded_by": None},
        ENDED | {"ended_at": 5},
    ],
)
def test_a_record_of_wrong_kinds_is_refused(wrong):
    given = insert("a")
    with pytest.raises(StoreError, match="needed"):
        admitted(replace(given, record=replace(given.record, **wrong)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": None},
        {"speaker": 5},
        {"role": None},
        {"kind": ["episodic"]},
        {"provenance": b"x"},
        {"key": 5},
        {"image_caption": 5},
        {"supersedes": 5},
        {"tags": (5,)},
        {"tags": "home"},
        {"source": {"tool": "x"}},
        {"source": Source(tool=5)},
        {"importance": "high"},
        {"importance": float("nan")},
        {"happened_at": "2026-01-01"},
        {"metadata": [1]},
    ],
)
def test_content_of_wrong_kinds_is_refused(wrong):
    given = insert("a")
    draft = replace(given.record.draft, **wrong)
    with pytest.raises(StoreError, match="needed"):
        admitted(Insert(record=replace(given.record, draft=draft), rows=given.rows))


@pytest.mark.parametrize(
    "wrong", [{"by": "weird"}, {"by": ["x"]}, {"superseded_by": 5}, {"superseded_by": None}, {"at": "now"}]
)
def test_an_end_of_wrong_kinds_is_refused(wrong):
    good = End(owner=OWNER, seq=1, at=NOW, by="supersede", superseded_by="b")
    assert admitted(good) == good
    with pytest.raises(StoreError, match="needed"):
        admitted(replace(good, **wrong))


def test_a_time_that_microseconds_cannot_tell_is_refused():
    """pandas' NaT passes for a datetime; its Timestamp is one."""
    pandas = pytest.importorskip("pandas")
    given = insert("a")
    untimely = [
        replace(given.record, ingested_at=pandas.NaT),
        replace(given.record, **ENDED | {"ended_at": pandas.NaT}),
        replace(given.record, draft=replace(given.record.draft, happened_at=pandas.NaT)),
    ]
    for change in (*(replace(given, record=record) for record in untimely),
                   End(owner=OWNER, seq=1, at=pandas.NaT, by="update")):  # fmt: skip
        with pytest.raises(StoreError, match="needed"):
            admitted(change)
    admitted(replace(given, record=replace(given.record, ingested_at=pandas.Timestamp(NOW))))


def test_a_version_that_has_not_ended_has_no_write_that_ended_it():
    given = insert("a")
    assert admitted(replace(given, record=replace(given.record, ended_seq=9))).record == given.record
