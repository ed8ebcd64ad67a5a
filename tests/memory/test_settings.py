"""What a folder remembers of the settings it was opened with: choices, never places of files or secrets."""

import json
import stat

import pytest

from memshadow.memory.settings import FILE, announce, announced, keep, merged, remembered

FOREIGN = [
    "index.folder=/elsewhere",
    "store.folder=/elsewhere",
    "embedder.encoder.folder=/elsewhere",
    "index._target_=memshadow.data.index.reference.ReferenceIndex",
    "embedder.encoder={_target_:memshadow.models.hashing.HashingEmbedder}",
    "embedder.url=https://ann:secret@example.org/v1",
    "embedder.url='https://secret@example.org/v1'",
    "folder=/elsewhere",
    "embedder=remote",
    "embedder@embedder.encoder=remote",
    "embedder.url=https://example.org/v1",
    "embedder.url=${oc.env:ADDRESS}/a@b",
    "embedder.key_env=${oc.env:HOME}",
]
KEPT = ["embedder=static", "embedder.views.k1=0.9", "ranking=vector"]


def test_places_and_secrets_are_not_kept(tmp_path):
    keep(tmp_path, [*KEPT, *FOREIGN])
    assert remembered(tmp_path) == KEPT
    assert json.loads((tmp_path / FILE).read_text())["overrides"] == KEPT
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("word", FOREIGN)
def test_places_and_secrets_are_not_taken(tmp_path, word):
    (tmp_path / FILE).write_text(json.dumps({"format": 1, "overrides": ["ranking=vector", word]}))
    assert remembered(tmp_path) == ["ranking=vector"]


def test_a_path_leads_to_the_same_from_every_folder(tmp_path, monkeypatch):
    place = tmp_path / "it's here"
    for name in ("runs/one/model", "minilm", "vector"):
        (place / name).mkdir(parents=True)
    monkeypatch.chdir(place)
    keep(
        tmp_path,
        [
            "ranking=vector",
            "ranking.method=vector",
            "embedder.model=runs/one/model",
            "tokenizer.model='runs/one/model'",
            "embedder.encoder.model=minilm",
            "embedder.cache=not/there",
        ],
    )
    assert remembered(tmp_path) == [
        "ranking=vector",
        "ranking.method=vector",
        f'embedder.model="{place}/runs/one/model"',
        f'tokenizer.model="{place}/runs/one/model"',
        "embedder.encoder.model=minilm",
        "embedder.cache=not/there",
    ]


def test_what_is_announced_stays_until_it_is_settled(tmp_path):
    keep(tmp_path, ["ranking=vector"])
    announce(tmp_path, ["embedder=static", *FOREIGN])
    assert (remembered(tmp_path), announced(tmp_path)) == (["ranking=vector"], ["embedder=static"])
    keep(tmp_path, ["ranking=hybrid"])  # opened meanwhile
    assert (remembered(tmp_path), announced(tmp_path)) == (["ranking=hybrid"], ["embedder=static"])
    keep(tmp_path, ["embedder=static"], settled=True)
    assert (remembered(tmp_path), announced(tmp_path)) == (["embedder=static"], [])
    assert "announced" not in (tmp_path / FILE).read_text()


def test_the_encoder_of_a_head_is_kept_with_it_and_goes_with_it():
    old = ["embedder=champion", "embedder@embedder.encoder=static", "embedder.model=a"]
    assert merged(old, ["ranking=vector"]) == [*old, "ranking=vector"]
    assert merged(old, ["embedder=minilm"]) == ["embedder=minilm"]
