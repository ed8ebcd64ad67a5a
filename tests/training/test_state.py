"""A state on disk: whatever a training holds comes back as it was; whatever happens, a good one is left."""

import errno
import json
import math
import os
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch

from memshadow.errors import CheckpointError, MemshadowError
from memshadow.training import atomic
from memshadow.training.randomness import random_state, seed_all, set_random_state
from memshadow.training.state import StateFolder, decode, encode


def same(one, other):
    if isinstance(one, torch.Tensor):
        return type(other) is type(one) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


STATES = {
    "plain": {"a": 1, "b": [True, None, "x", 0.1], "c": {"d": {}}, "e": []},
    "numbers": {"big": 2**70, "inf": [math.inf, -math.inf], "nan": math.nan, "tiny": 5e-324, "neg": -0.0},
    "keys": {"m": {0: "zero", "0": "text", None: 1, (1, "a"): 2, True: 3}, "~": "a tag as a key"},
    "kinds": {"t": (1, (2,), ()), "o": OrderedDict(b=1, a=2), "c": Counter("aab")},
    "tensors": {
        "f": torch.arange(6.0).reshape(2, 3),
        "view": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.ones(2, dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "none": [torch.zeros(0), torch.zeros(0)],
        "byte": torch.arange(9, dtype=torch.uint8),
        "slots": {0: {"step": torch.tensor(1.0)}, "0": {"step": torch.tensor(2.0)}},
    },
    "arrays": {"u32": np.arange(4, dtype=np.uint32), "f64": np.eye(2), "scalar": np.array(1.5)},
}


@pytest.mark.parametrize("name", STATES)
def test_what_goes_in_comes_out(tmp_path, name):
    StateFolder(tmp_path).save(STATES[name])
    assert same(STATES[name], StateFolder(tmp_path).load())


def test_shared_memory_is_written_once_per_name(tmp_path):
    tensor = torch.arange(3.0)
    StateFolder(tmp_path).save({"a": tensor, "b": tensor, "c": tensor[1:]})
    assert same({"a": tensor, "b": tensor, "c": tensor[1:]}, StateFolder(tmp_path).load())


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), 1j, b"x", np.array(["a"]), np.float64(1), torch.ones(2).to_sparse(), lambda: 0]
)
def test_what_cannot_be_written_is_refused_by_its_path(value):
    with pytest.raises(CheckpointError, match="state/deep/1"):
        encode({"deep": [0, value]}, {})


def test_random_generators_go_on_where_they_were(tmp_path):
    import random

    seed_all(3)
    random.gauss(0, 1)
    StateFolder(tmp_path).save(random_state())
    first = (random.gauss(0, 1), np.random.rand(), torch.rand(2).tolist())  # noqa: NPY002
    set_random_state(StateFolder(tmp_path).load())
    assert first == (random.gauss(0, 1), np.random.rand(), torch.rand(2).tolist())  # noqa: NPY002


def test_the_newest_two_are_kept(tmp_path):
    states = StateFolder(tmp_path, keep=2)
    for number in range(5):
        states.save({"n": number})
    assert states.numbers() == [4, 5]
    assert states.load() == {"n": 4}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a flipped bit in the weights": lambda folder: flip(folder / "tensors.safetensors"),
    "a flipped bit in the tree": lambda folder: flip(folder / "state.json"),
    "weights cut short": lambda folder: os.truncate(folder / "tensors.safetensors", 20),
    "a tree cut short": lambda folder: os.truncate(folder / "state.json", 20),
    "an empty tree": lambda folder: (folder / "state.json").write_text(""),
    "another tree": lambda folder: (folder / "state.json").write_text("[1]"),
    "no weights": lambda folder: (folder / "tensors.safetensors").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_the_state_before_taken(tmp_path, damage, caplog):
    states = StateFolder(tmp_path)
    states.save({"n": 1, "t": torch.ones(50)})
    states.save({"n": 2, "t": torch.ones(50)})
    DAMAGES[damage](tmp_path / "00000002")
    assert states.load()["n"] == 1
    assert "00000002 is damaged" in caplog.text
    DAMAGES[damage](tmp_path / "00000001")
    with pytest.raises(CheckpointError, match="no training state that is whole; start a new run"):
        states.load()


def test_a_newer_version_is_named_and_not_passed_over(tmp_path):
    states = StateFolder(tmp_path)
    states.save({"n": 1})
    states.save({"n": 2})
    path = tmp_path / "00000002" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 7}))
    with pytest.raises(CheckpointError, match="format version 7; this memshadow reads up to 1"):
        states.load()


@pytest.mark.parametrize("after", range(4))
def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch, after):
    states = StateFolder(tmp_path)
    states.save({"n": 1})
    left = [after]

    def full(path, sync=atomic.sync):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        sync(path)

    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(MemshadowError, match=r"The disk is full: .* untouched; make room"):
        states.save({"n": 2})
    monkeypatch.undo()
    assert states.load() == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    states.save({"n": 3})
    assert states.load() == {"n": 3}


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    (tmp_path / ".00000001.draft").mkdir()
    (tmp_path / ".00000001.draft" / "tensors.safetensors").write_bytes(b"half")
    StateFolder(tmp_path).save({"n": 1})
    assert StateFolder(tmp_path).load() == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]


def test_a_state_holds_no_pickle(tmp_path):
    StateFolder(tmp_path).save({"optimizer": {0: {"step": torch.tensor(1.0)}}})
    names = sorted(path.name for path in (tmp_path / "00000001").iterdir())
    assert names == ["state.json", "tensors.safetensors"]
    tree = json.loads((tmp_path / "00000001" / "state.json").read_text())["tree"]
    assert decode(tree, {"state/optimizer/0/step": torch.tensor(1.0)}) == {
        "optimizer": {0: {"step": torch.tensor(1.0)}}
    }
