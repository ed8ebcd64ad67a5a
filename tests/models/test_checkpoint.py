"""A model folder: what was written comes back, what is damaged or newer says so."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from memshadow.errors import CheckpointError
from memshadow.models import checkpoint
from memshadow.models.checkpoint import read_model, restore, sign, write_model

TENSORS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array([1.5])}


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path, kind="head", settings={"dim": 3, "k": [1, 2]}, tensors=TENSORS)
    return tmp_path


def test_it_comes_back(folder):
    stored = read_model(folder)
    assert (stored.kind, stored.settings) == ("head", {"dim": 3, "k": [1, 2]})
    found = stored.tensors()
    assert found.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_the_fingerprint_is_of_what_changes_vectors(folder, tmp_path):
    before = read_model(folder).fingerprint
    sign(folder, {"commit": "abc"})
    sign(folder, {"metrics": {"val": 1.0}})
    after = read_model(folder)
    assert after.fingerprint == before
    assert after.origin == {"commit": "abc", "metrics": {"val": 1.0}}
    others = [("other", {"dim": 3, "k": [1, 2]}, TENSORS), ("head", {"dim": 4, "k": [1, 2]}, TENSORS)]
    others.append(("head", {"dim": 3, "k": [1, 2]}, {**TENSORS, "b": np.array([1.6])}))
    prints = {
        write_model(tmp_path / str(i), kind=kind, settings=settings, tensors=tensors)
        for i, (kind, settings, tensors) in enumerate(others)
    }
    assert len(prints | {before}) == 4


def test_restore_asks_the_callers_own_map(folder):
    assert restore(folder, {"head": lambda stored: stored.settings["dim"], "other": lambda _: None}) == 3
    with pytest.raises(CheckpointError, match="of kind 'head'; this place loads: encoder, table"):
        restore(folder, {"table": print, "encoder": print})


def changed(folder, **fields):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_newer_version_says_which_and_what_to_do(folder):
    changed(folder, format_version=3)
    with pytest.raises(CheckpointError, match=r"format version 3; this memshadow reads up to 1\. Update memshadow"):
        read_model(folder)


def test_an_older_version_is_migrated(folder, monkeypatch):
    changed(folder, format_version=0, settings={"width": 3, "k": [1, 2]})

    def renamed(body):
        settings = dict(body["settings"])
        return {**body, "settings": {"dim": settings.pop("width"), **settings}}

    monkeypatch.setitem(checkpoint._MIGRATIONS, 0, renamed)
    assert read_model(folder).settings == {"dim": 3, "k": [1, 2]}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: changed(f, settings={"dim": 4, "k": [1, 2]}), "is damaged"),
        (lambda f: changed(f, kind="other"), "is damaged"),
        (lambda f: (f / "model.json").write_text("{"), "is damaged"),
        (lambda f: (f / "model.json").write_text("[]"), "is damaged"),
        (lambda f: (f / "model.json").write_text('{"format_version": 1}'), "lacks a field"),
        (lambda f: (f / "model.json").unlink(), "holds no model"),
        (lambda f: (f / "model.safetensors").unlink(), "is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(pickle.dumps({"w": 1})), "is damaged"),
    ],
)
def test_damage_says_so(folder, damage, said):
    damage(folder)
    with pytest.raises(CheckpointError, match=said):
        read_model(folder)


def test_every_flipped_byte_is_noticed(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CheckpointError):
            read_model(folder)


def test_reading_a_model_loads_neither_torch_nor_hydra(folder):
    code = (
        "import sys; from pathlib import Path; from memshadow.models.checkpoint import read_model;"
        f"read_model(Path({str(folder)!r})).tensors();"
        "print([m for m in ('torch', 'hydra', 'omegaconf', 'pytorch_lightning') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
