"""The holder of a title is taken up by its weights: the title may move on, the folder stays until it is told."""

import json
from dataclasses import replace

import pytest

import memshadow
from memshadow.cli import main
from memshadow.config import build, load
from memshadow.errors import CheckpointError, ConfigError, StoreError
from memshadow.memory.champion import ChampionEmbedder
from memshadow.memory.settings import remembered
from memshadow.models.checkpoint import write_model
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.lexical import TermStatistics
from memshadow.models.projected import ViewSettings, untrained, write_projection

ENCODER = {"dim": 2048, "k1": 0.9, "b": 0.4, "mean_length": 12.0, "copies": 4}
VIEWS = ViewSettings(before=1, after=1, context_chars=100, k1=0.9, b=0.4, mean_length=12.0, copies=2, width=32)
CHAMPION = ["embedder=champion", "embedder@embedder.encoder=hashing"]
LIGHT = ["ranking=vector", "tokenizer=bytes"]


class Registry:
    """A model registry; ``crown`` gives the title to a new model."""

    def __init__(self, folder):
        from memshadow.training.database import open_client
        from memshadow.training.registry import ModelRegistry

        self.folder, self.uri = folder, f"sqlite:///{folder / 'mlflow.db'}"
        client = open_client(self.uri)
        home = client.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
        self.run = client.create_run(home).info.run_id
        self._registry = ModelRegistry(client=client, path=folder / "mlflow.db")

    def crown(self, weight):
        folder = self.folder / f"model-{weight}"
        trained_head(folder, weight)
        version = self._registry.register("memshadow", folder, run_id=self.run, tags={})
        self._registry.set_alias("memshadow", "champion", version)
        return folder


def trained_head(folder, weight):
    encoder = HashingEmbedder(**ENCODER)
    start = untrained(encoder.dim, VIEWS)
    write_projection(folder, replace(start, scales=start.scales * weight), VIEWS, TermStatistics(), encoder)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(tmp_path_factory.mktemp("runs"))


def made(**given):
    plain = {"model": None, "version": None, "registered": "memshadow", "alias": "champion", "dim": None}
    return ChampionEmbedder(encoder=HashingEmbedder(**ENCODER), **{**plain, "uri": "sqlite:///none/mlflow.db", **given})


def test_a_folder_stays_with_the_weights_when_the_title_moves_on(registry, tmp_path, capsys):
    champion = [*CHAMPION, f"embedder.uri={registry.uri}"]
    registry.crown(1.0)
    with memshadow.open(tmp_path, overrides=[*champion, *LIGHT]) as memory:
        assert memory.embedder.name == "champion-v1-projected-2080"
        memory.add(["I moved to Lisbon", "My dog is called Rex"])
        first = memory.embedder.fingerprint
    assert "://" not in (tmp_path / "settings.json").read_text()
    registry.crown(2.0)
    with memshadow.open(tmp_path) as memory:
        assert (memory.embedder.name, memory.embedder.fingerprint) == ("champion-v1-projected-2080", first)
    with pytest.raises(StoreError, match=r"champion-v1-.* came\. Leave .* out.*memshadow reembed folder=") as refusal:
        memshadow.open(tmp_path, overrides=champion)
    assert "champion-v2-projected-2080 (2080 dims" in str(refusal.value)
    assert main(["reembed", f"folder={tmp_path}", *champion]) == 0
    assert "now searched with champion-v2-projected-2080 (2080 dims)" in capsys.readouterr().out
    with memshadow.open(tmp_path, overrides=champion) as memory:
        assert memory.embedder.fingerprint != first
        assert memory.search("Rex", k=1)[0].text == "My dog is called Rex"
        assert [known.fingerprint for known in memory.store.embeddings()] == [memory.embedder.fingerprint]


def test_a_version_can_be_named_where_another_one_holds_the_title(registry):
    folder = registry.crown(1.0)  # what was registered before is no new version
    registry.crown(3.0)
    named = made(uri=registry.uri, version=1)
    assert named.name == "champion-v1-projected-2080"
    assert named.fingerprint == made(model=str(folder)).fingerprint != made(uri=registry.uri).fingerprint


def test_who_is_not_there_is_told_and_nothing_is_made_by_looking(registry, tmp_path):
    with pytest.raises(ConfigError, match=r"there is no model registry in .*memshadow train"):
        made(uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="holds the title 'queen'"):
        made(uri=registry.uri, alias="queen")
    with pytest.raises(ConfigError, match="no version 99"):
        made(uri=registry.uri, version=99)
    with pytest.raises(CheckpointError, match="holds no model"):
        made(model=str(tmp_path))
    write_model(tmp_path / "odd", kind="odd", settings={}, tensors={})
    with pytest.raises(CheckpointError, match="holds a 'odd' model"):
        made(model=str(tmp_path / "odd"))


def test_a_models_folder_asks_no_registry(tmp_path):
    trained_head(tmp_path / "model", 1.0)
    words = [*CHAMPION, f"embedder.model={tmp_path / 'model'}"]
    assert build(load("memory", words).embedder).name == "projected-2080"
    with memshadow.open(tmp_path / "memories", overrides=[*words, "embedder.dim=2064", *LIGHT]) as memory:
        assert memory.embedder.dim == 2064
    told = json.loads((tmp_path / "memories" / "settings.json").read_text())["overrides"]
    assert "embedder@embedder.encoder=hashing" in told
    assert remembered(tmp_path / "memories") == told
