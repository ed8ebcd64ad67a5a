"""A cache of rows: same rows, each text encoded once, and whatever a killed process leaves is mended."""

import math
import multiprocessing
import os

import numpy as np
import pytest

from memshadow.errors import MemshadowError
from memshadow.models import cached
from memshadow.models.base import Embedder
from memshadow.models.cached import CachedEmbedder
from memshadow.models.hashing import HashingEmbedder
from memshadow.types import Passage

TEXTS = [f"the dog ran {i} times into the hills" for i in range(7)]
KEY, DIM = 16, 8
ROW = DIM * 4


class Encoder(HashingEmbedder):
    """A tiny encoder that counts what it is asked."""

    def __init__(self):
        super().__init__(dim=DIM, k1=0.9, b=0.4, mean_length=5.0, copies=2)
        self.read = []

    def embed_passages(self, passages):
        self.read += [passage.text for passage in passages]
        return super().embed_passages(passages)

    def embed_queries(self, texts, *, statistics=None):
        self.read += texts
        return super().embed_queries(texts, statistics=statistics)


def opened(folder):
    encoder = Encoder()
    return CachedEmbedder(encoder=encoder, folder=str(folder)), encoder


def passages(texts=TEXTS):
    return [Passage(text=text) for text in texts]


def files(folder):
    (keys,), (rows,) = folder.glob("rows/*.keys"), folder.glob("rows/*.rows")
    return keys, rows


@pytest.fixture
def filled(tmp_path):
    opened(tmp_path)[0].embed_passages(passages())
    return tmp_path


def assert_right(folder, *, encoded=None):
    """The rows are the encoder's, and only ``encoded`` texts were asked of it again; then nothing is."""
    embedder, encoder = opened(folder)
    np.testing.assert_array_equal(embedder.embed_passages(passages()), Encoder().embed_passages(passages()))
    if encoded is not None:
        assert encoder.read == encoded
    embedder, encoder = opened(folder)
    np.testing.assert_array_equal(embedder.embed_passages(passages()), Encoder().embed_passages(passages()))
    assert encoder.read == []
    keys, rows = files(folder)
    assert (keys.stat().st_size % KEY, rows.stat().st_size % ROW) == (0, 0)
    assert keys.stat().st_size // KEY == rows.stat().st_size // ROW


def test_it_is_the_encoder_to_whoever_asks(tmp_path):
    embedder, encoder = opened(tmp_path)
    assert isinstance(embedder, Embedder)
    for name in ("name", "dim", "normalised", "fingerprint"):
        assert getattr(embedder, name) == getattr(encoder, name)


def test_rows_are_the_encoders_in_order_and_each_text_is_encoded_once(tmp_path):
    embedder, encoder = opened(tmp_path)
    texts = [*TEXTS, "", " ", "\ud83d lone", TEXTS[0], "🎉"]
    np.testing.assert_array_equal(embedder.embed_passages(passages(texts)), Encoder().embed_passages(passages(texts)))
    assert sorted(encoder.read) == sorted({*texts} - {" "})
    encoder.read.clear()
    np.testing.assert_array_equal(
        embedder.embed_passages(passages(texts[::-1])), Encoder().embed_passages(passages(texts[::-1]))
    )
    assert encoder.read == []
    assert embedder.embed_passages([]).shape == embedder.embed_queries([]).shape == (0, DIM)
    assert embedder.embed_passages([]).dtype == np.float32


def test_the_speaker_is_part_of_the_text(tmp_path):
    embedder, _ = opened(tmp_path)
    told = [
        Passage(text="the dog", speaker="Ann"),
        Passage(text="the dog", speaker="Bo"),
        Passage(text=" ", speaker="Bo"),
    ]
    np.testing.assert_array_equal(embedder.embed_passages(told), Encoder().embed_passages(told))


def test_a_query_is_not_a_passage(tmp_path):
    embedder, encoder = opened(tmp_path)
    text = "dog dog dog"
    row, asked = embedder.embed_passages(passages([text])), embedder.embed_queries([text])
    assert not np.array_equal(row, asked)
    np.testing.assert_array_equal(asked, Encoder().embed_queries([text]))
    assert encoder.read == [text, text]


def test_two_share_a_folder(tmp_path):
    (one, first), (other, second) = opened(tmp_path), opened(tmp_path)
    one.embed_passages(passages(TEXTS[:3]))
    other.embed_passages(passages(TEXTS[:5]))
    one.embed_passages(passages(TEXTS))
    other.embed_passages(passages(TEXTS))
    assert (first.read, second.read) == ([*TEXTS[:3], *TEXTS[5:]], TEXTS[3:5])
    assert_right(tmp_path, encoded=[])


def test_encoders_do_not_share_rows(filled):
    other = HashingEmbedder(dim=DIM, k1=0.9, b=0.4, mean_length=5.0, copies=3)
    rows = CachedEmbedder(encoder=other, folder=str(filled)).embed_passages(passages())
    np.testing.assert_array_equal(rows, other.embed_passages(passages()))
    assert len(list(filled.glob("rows/*.keys"))) == 2


def test_an_encoder_named_by_an_address_has_files_too(tmp_path):
    encoder = Encoder()
    encoder.fingerprint = "remote-1-https://host:8/v1-org/model-8"
    rows = CachedEmbedder(encoder=encoder, folder=str(tmp_path)).embed_passages(passages())
    np.testing.assert_array_equal(rows, Encoder().embed_passages(passages()))
    assert len(list((tmp_path / "rows").iterdir())) == 2


def test_many_texts_are_written_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(cached, "_AT_ONCE", 3)
    embedder, encoder = opened(tmp_path)
    real, calls = encoder.embed_passages, []

    def third_fails(given):
        calls.append(len(given))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(given)

    encoder.embed_passages = third_fails
    with pytest.raises(KeyboardInterrupt):
        embedder.embed_passages(passages())
    assert calls == [3, 3, 1]
    assert_right(tmp_path, encoded=TEXTS[6:])


@pytest.mark.parametrize("extra", [1, ROW - 1, ROW, 3 * ROW + 5])
def test_rows_without_keys_are_written_over(filled, extra):
    _, rows = files(filled)
    with rows.open("ab") as file:
        file.write(b"\xff" * extra)
    embedder, encoder = opened(filled)
    embedder.embed_passages(passages(["something new"]))
    assert encoder.read == ["something new"]
    assert_right(filled, encoded=[])


@pytest.mark.parametrize("lost", [1, ROW, 2 * ROW + 3])
def test_keys_without_rows_are_encoded_again(filled, lost):
    _, rows = files(filled)
    os.truncate(rows, rows.stat().st_size - lost)
    assert_right(filled, encoded=TEXTS[-math.ceil(lost / ROW) :])


@pytest.mark.parametrize("lost", [1, KEY - 1, KEY, KEY + 1])
def test_half_a_key_is_none(filled, lost):
    keys, _ = files(filled)
    os.truncate(keys, keys.stat().st_size - lost)
    assert_right(filled, encoded=TEXTS[-math.ceil(lost / KEY) :])


@pytest.mark.parametrize("gone", ["keys", "rows", "both"])
def test_a_file_that_is_gone_is_made_anew(filled, gone):
    for file in filled.glob("rows/*"):
        if gone in ("both", file.suffix[1:]):
            file.unlink()
    assert_right(filled, encoded=TEXTS)


def test_a_cache_deleted_under_a_running_process_is_begun_again(filled):
    embedder, _ = opened(filled)
    embedder.embed_passages(passages())
    for file in filled.glob("rows/*"):
        file.unlink()
    embedder.embed_passages(passages([*TEXTS, "new"]))
    embedder, encoder = opened(filled)
    np.testing.assert_array_equal(
        embedder.embed_passages(passages(["new"])), Encoder().embed_passages(passages(["new"]))
    )
    assert encoder.read == []
    assert_right(filled)


def test_a_kill_between_rows_and_keys_costs_the_rows_only(filled, monkeypatch):
    write, killed = cached._write_at, []

    def dies(file, place, content):
        if file.suffix == ".keys":
            killed.append(file)
            raise KeyboardInterrupt
        write(file, place, content)

    monkeypatch.setattr(cached, "_write_at", dies)
    with pytest.raises(KeyboardInterrupt):
        opened(filled)[0].embed_passages(passages(["new"]))
    monkeypatch.undo()
    keys, rows = files(filled)
    assert rows.stat().st_size // ROW == keys.stat().st_size // KEY + 1
    embedder, encoder = opened(filled)
    embedder.embed_passages(passages(["other"]))
    assert encoder.read == ["other"]
    assert_right(filled, encoded=[])


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(file, place, content):
        raise OSError(28, "No space left on device")

    embedder, _ = opened(tmp_path)
    monkeypatch.setattr(cached, "_write_at", full)
    with pytest.raises(MemshadowError, match=r"The disk is full: .*could not be written"):
        embedder.embed_passages(passages())


def _fill(folder, offset):
    embedder = CachedEmbedder(encoder=Encoder(), folder=folder)
    for i in range(20):
        embedder.embed_passages(passages([f"text {offset + i}", f"shared {i}"]))


def test_processes_write_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(str(tmp_path), offset)) for offset in (0, 100, 200)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    embedder, encoder = opened(tmp_path)
    texts = [f"text {offset + i}" for offset in (0, 100, 200) for i in range(20)] + [f"shared {i}" for i in range(20)]
    np.testing.assert_array_equal(embedder.embed_passages(passages(texts)), Encoder().embed_passages(passages(texts)))
    assert encoder.read == []
