"""What a folder remembers of the settings it was opened with: choices, never places of files or secrets."""

import json
import re
import stat

import pytest

from memshadow.config import as_overrides, config_dir, load
from memshadow.memory.settings import FILE, announce, announced, endpoints, keep, merged, remembered

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
    'embedder="remote"',
    "embedder='remote'",
    "embedder= remote",
    "embedder=./remote",
    "embedder=../embedder/remote",
    "embedder=static/../remote",
    "embedder=../../tmp/folder/evil",
    "index=../../tmp/folder/evil",
    'embedder@embedder.encoder="remote"',
    "embedder=static\n",
    "embedder.url=http${embedder.model}//example.org/v1",
    "embedder.url=example.org",
    "embedder.uri=runs/mlflow.db",
    "embedder.key_env=ANY_VARIABLE",
    "embedder.encoder.key_env=ANY_VARIABLE",
    "embedder.url.a=b",
    "embedder.model=${oc.env:HOME}",
    "embedder.model=\\${oc.env:HOME}",
    "embedder.model='${oc.env:HOME}'",
    "embedder.model='\\\\${oc.env:HOME}'",
    'embedder.model="\\${oc.env:HOME}"',
    "embedder.model='a' 'b'",
    "embedder.model=a://b",
    "embedder.views={k1:0.9}",
    "ranking.k1=choice(1,2)",
    "ranking.k1=1,2",
    "+embedder.more=1",
    "~ranking",
    "embedder._partial_=true",
    "ranker@ranking.ranker=remote",
    "ranker@ranking.ranker=../../tmp/folder/evil",
    "ranker@ranking.ranker='linear'",
    "ranker@ranking.ranker=linear,trees",
    "ranker@ranking.ranker=${oc.env:HOME}",
    "ranker@ranking.ranker=linear\n",
    "ranker@ranking.ranker._target_=memshadow.X",
    "crossencoder@ranking.second.make=remote",
    "crossencoder@ranking.second.make=/elsewhere/evil",
    "embedder@ranking.second.make=static",
    "embedder@ranking.ranker=static",
    "embedder@index=static",
    "embedder@_global_=remote",
    "experiment@_global_=quick",
    "store@ranking.ranker=embedded",
    "ranker@embedder=linear",
    "ranker@ranking=linear",
    "ranker@ranking.second=linear",
    "ranker@ranking.ranker@x=linear",
    "ranker@ranker=linear",
    "ranker=linear",
    "view=default",
    "second=cross_encoder",
    "+second@ranking.second=cross_encoder",
    "~second@ranking.second=cross_encoder",
    "ranking.ranker._target_=memshadow.X",
    "ranking.second.make._partial_=false",
    "ranking.second.make.url=example.org",
    "ranking.ranker.model=${oc.env:HOME}",
    "ranking.ranker.model=ftp://example.org/a",
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


@pytest.mark.parametrize("word", ["embedder.url=example.org", "index=../../tmp/folder/evil"])
@pytest.mark.parametrize("read", [remembered, announced])
def test_what_is_not_taken_is_told(tmp_path, caplog, word, read):
    said = {"format": 1, "overrides": ["ranking=vector", word], "announced": ["ranking=vector", word]}
    (tmp_path / FILE).write_text(json.dumps(said))
    assert read(tmp_path) == ["ranking=vector"]
    (told,) = caplog.messages
    assert told.startswith(f"{tmp_path / FILE} says '{word}', which a folder may not decide")
    assert "say it at each opening" in told
    keep(tmp_path, ["ranking=vector"])
    assert word not in (tmp_path / FILE).read_text()
    assert len(caplog.messages) == 1


def test_what_was_set_inside_a_choice_that_is_not_kept_goes_with_it(tmp_path):
    keep(tmp_path, ["ranking=vector", "embedder.dim=4", "embedder=remote", "embedder.model=any"])
    assert remembered(tmp_path) == ["ranking=vector"]


@pytest.mark.parametrize(
    "path",
    [
        "a b",
        "it's",
        "${oc.env:HOME}",
        "\\${folder}",
        "C:\\models\\x",
        "a\\",
        "[a], {b}",
        "$a",
        "é",
        "'\"",
        "\\\\${a}'\\",
    ],
)
def test_any_path_is_kept_as_config_writes_it_and_read_back(tmp_path, path):
    words = ["embedder=champion", *as_overrides("embedder", {"model": path, "version": 3})]
    keep(tmp_path, words)
    assert remembered(tmp_path) == words
    assert load("memory", remembered(tmp_path)).embedder.model == path


@pytest.mark.parametrize(
    "word",
    [
        "near_threshold=0.9",
        "index=exact_fp16",
        "index.first_dims=null",
        "store.precision=fp32",
        "ranking.method='rrf'",
        "ranking.k1=-1.2e-3",
        "embedder.model=runs/my model/one",
        "tokenizer.model=~/models/one",
        "embedder.encoder.model=minilm",
        "embedder@embedder.encoder=hashing",
        "view@ranking.viewer=default",
        "ranker@ranking.ranker=listwise",
        "second@ranking.second=cross_encoder",
        "crossencoder@ranking.second.make=my_own_2",
        "ranking.ranker.model=runs/my model/one",
        "ranking.second.make.max_tokens=64",
    ],
)
def test_what_users_say_is_kept(tmp_path, word):
    keep(tmp_path, [word])
    assert remembered(tmp_path) == [word]


def test_no_shipped_setting_that_is_an_address_or_from_the_environment_is_kept(tmp_path):
    kept = set()
    for file in sorted(config_dir().glob("*/*.yaml")):
        for line in file.read_text().splitlines():
            name, _, value = line.strip().partition(": ")
            if "://" in value or "oc.env" in value or name.endswith(("folder", "url", "uri", "key_env")):
                keep(tmp_path, [f"embedder.{name}=a"])
                kept |= {name} if remembered(tmp_path) else set()
    assert kept <= {"cache"}  # where a table is kept that can be made again


def test_an_embedder_behind_an_address_is_found_wherever_it_stands():
    remote = {"_target_": "memshadow.models.remote.RemoteEmbedder", "url": "u", "key_env": "k"}
    odd = {"_target_": "${somewhere}"}
    tree = {"embedder": {"_target_": "memshadow.X", "encoder": remote}, "index": [odd], "near_threshold": 1.0}
    assert list(endpoints(tree)) == [("embedder.encoder", "u", "k"), ("index.0", None, None)]


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


INSIDE = [
    "ranking=cross_encoder",
    "ranker@ranking.ranker=linear",
    "ranking.ranker.model=a",
    "ranking.viewer.k1=1.2",
    "crossencoder@ranking.second.make=transformers",
    "ranking.second.make.model=b",
    "ranking.second.k=4",
]


@pytest.mark.parametrize(
    ("new", "dropped"),
    [
        ("ranking=learned", INSIDE),
        ("ranking=cross_encoder", INSIDE),
        ("ranker@ranking.ranker=listwise", INSIDE[1:3]),
        ("ranking.ranker.model=c", INSIDE[2:3]),
        ("view@ranking.viewer=default", INSIDE[3:4]),
        ("second@ranking.second=cross_encoder", INSIDE[4:]),
        ("crossencoder@ranking.second.make=ms_marco_minilm", INSIDE[4:6]),
        ("rank=a", []),
        ("index=exact", []),
        ("ranking.viewer={b:0.4}", []),
    ],
)
def test_another_choice_drops_what_was_said_inside_the_old_one_and_nothing_else(new, dropped):
    old = ["embedder=hashing", *INSIDE]
    assert merged(old, [new]) == [*(word for word in old if word not in dropped), new]


def test_what_was_set_inside_a_ranker_that_is_not_kept_goes_with_it(tmp_path):
    keep(
        tmp_path, ["ranking=trained", "ranker@ranking.ranker=../evil", "ranking.ranker.model=a", "ranking.viewer.b=0.5"]
    )
    assert remembered(tmp_path) == ["ranking=trained", "ranking.viewer.b=0.5"]


def test_every_part_within_a_ranking_that_is_shipped_can_be_kept(tmp_path):
    words = [f"{group}@{place}={choice}" for group, place, choice in shipped_within("ranking", "ranking")]
    assert {word.partition("=")[0] for word in words} == {
        "view@ranking.viewer", "ranker@ranking.ranker", "second@ranking.second", "crossencoder@ranking.second.make",
    }  # fmt: skip
    for word in words:
        keep(tmp_path, [word])
        assert remembered(tmp_path) == [word]


def shipped_within(group, place):
    """Yield group, place and each choice of what the defaults of a group's choices name, however deep."""
    for file in sorted((config_dir() / group).glob("*.yaml")):
        for inner, key in re.findall(r"^  - /(\w+)@(\w+):", file.read_text(), re.MULTILINE):
            for choice in sorted((config_dir() / inner).glob("*.yaml")):
                yield inner, f"{place}.{key}", choice.stem
            yield from shipped_within(inner, f"{place}.{key}")
