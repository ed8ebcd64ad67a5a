"""A model folder's digest is worked out once, and never believed where the files may have changed."""

import json
import os
import time

import pytest

from memshadow.errors import CheckpointError
from memshadow.models import fingerprint
from memshadow.models.fingerprint import fingerprint_of


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def hashed(monkeypatch, tmp_path):
    """Remember small and young files too; return the list of settings that were hashed for."""
    worked = []
    true = fingerprint._digest
    monkeypatch.setattr(fingerprint, "_digest", lambda folder, said: worked.append(said) or true(folder, said))
    monkeypatch.setattr(fingerprint, "_WORTH_BYTES", 0)
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", -1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return worked


def notes(tmp_path):
    return sorted((tmp_path / "cache" / "memshadow" / "fingerprints").iterdir())


def test_it_is_what_it_always_was(model):
    assert fingerprint_of(model, "packed-1", 256) == "0d3d4582ae09c9da097cf127ba34d25c"


def test_it_is_worked_out_once(model, hashed, tmp_path):
    first = fingerprint_of(model, 1)
    assert [fingerprint_of(model, 1) for _ in range(3)] == [first] * 3
    assert hashed == [(1,)]
    assert fingerprint_of(model, 2) != first
    assert [note.stat().st_mode & 0o777 for note in notes(tmp_path)] == [0o600, 0o600]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "1_Pooling/config.json"])
def test_other_bytes_are_seen_even_behind_the_same_size_and_time(name, model, hashed):
    path = model / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"one")
    before, stat = fingerprint_of(model), path.stat()
    time.sleep(0.02)  # the clock of the file system ticks
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint_of(model) != before
    path.write_bytes(b"one")
    assert fingerprint_of(model) == before


def test_a_file_that_is_replaced_is_seen(model, hashed, tmp_path):
    before = fingerprint_of(model)
    (tmp_path / "other").write_bytes(b"WEIGHTS")
    (tmp_path / "other").replace(model / "model.safetensors")
    assert fingerprint_of(model) != before


def test_files_of_a_moment_ago_are_not_remembered(model, hashed, monkeypatch, tmp_path):
    monkeypatch.setattr(fingerprint, "_SETTLED_NS", 60_000_000_000)
    fingerprint_of(model)
    assert notes(tmp_path) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff", "cut", "changed", "other files"])
def test_a_damaged_note_is_written_anew(damage, model, hashed, tmp_path):
    right = fingerprint_of(model)
    (note,) = notes(tmp_path)
    content, said = note.read_bytes(), json.loads(note.read_bytes())
    said["files"][0][0] += 1
    damaged = {
        "cut": content[:-9],
        "changed": content.replace(right.encode(), b"0" * 32),
        "other files": json.dumps(said).encode(),
    }
    note.write_bytes(damaged.get(damage, damage))
    assert fingerprint_of(model) == right
    assert note.read_bytes() == content
    assert len(hashed) == 2


def test_a_folder_that_others_may_write_to_is_not_believed(model, hashed, tmp_path):
    fingerprint_of(model)
    (note,) = notes(tmp_path)
    note.parent.chmod(0o777)
    fingerprint_of(model)
    assert len(hashed) == 2


@pytest.mark.parametrize("change", [lambda note: note.chmod(0o622), lambda note: note.chmod(0o660)])
def test_a_note_that_others_may_write_to_is_not_believed(change, model, hashed, tmp_path):
    right = fingerprint_of(model)
    (note,) = notes(tmp_path)
    change(note)
    assert fingerprint_of(model) == right
    assert len(hashed) == 2
    assert note.stat().st_mode & 0o777 == 0o600  # written anew


def test_a_note_of_another_user_is_not_believed(model, hashed, tmp_path, monkeypatch):
    fingerprint_of(model)
    (note,) = notes(tmp_path)
    true = os.fstat
    monkeypatch.setattr(
        os, "fstat", lambda handle: os.stat_result([*true(handle)[:4], os.getuid() + 1, *true(handle)[5:]])
    )
    assert fingerprint._recalled(note, [fingerprint._seen(model / name) for name in fingerprint._FILES]) is None


def test_a_relative_cache_folder_is_ignored(model, hashed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fingerprint_of(model)
    assert not (tmp_path / "here").exists()
    assert len(list((tmp_path / "home/.cache/memshadow/fingerprints").iterdir())) == 1


def _homeless():
    raise RuntimeError("Could not determine home directory.")


def test_who_has_no_home_has_no_notes(model, hashed, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(fingerprint.Path, "home", _homeless)
    assert fingerprint_of(model) == fingerprint_of(model)
    assert len(hashed) == 2


def test_where_files_have_no_owner_nothing_is_believed(model, hashed, monkeypatch):
    monkeypatch.delattr(os, "getuid")
    assert fingerprint_of(model) == fingerprint_of(model)
    assert len(hashed) == 2


def test_a_file_in_the_place_of_a_folder_is_told(model):
    (model / "1_Pooling").write_text("a file")
    with pytest.raises(CheckpointError, match=r"1_Pooling is a file; needed: a folder"):
        fingerprint_of(model)
    with pytest.raises(CheckpointError, match=r"config\.json is a file"):
        fingerprint_of(model / "config.json")


def test_without_a_cache_it_is_worked_out_each_time(model, hashed, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file, where a folder would be")
    assert fingerprint_of(model) == fingerprint_of(model)
    assert len(hashed) == 2


def test_small_models_are_not_worth_a_note(model, hashed, monkeypatch, tmp_path):
    monkeypatch.setattr(fingerprint, "_WORTH_BYTES", 1_000)
    fingerprint_of(model)
    assert not (tmp_path / "cache").exists()
