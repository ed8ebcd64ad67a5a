"""``memshadow.open``: a folder, and nothing else."""

import threading

import pytest

import memshadow
from memshadow import Scope
from memshadow.errors import ConfigError, StoreError
from memshadow.memory.asynchronous import AsyncMemory
from memshadow.memory.settings import merged

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]


def test_what_was_added_is_there_after_reopening(tmp_path):
    folder = tmp_path / "it's a = folder, with [odd] characters"
    with memshadow.open(folder, overrides=LIGHT) as memory:
        added = memory.add("I moved to Lisbon in May", speaker="Ann")
    with memshadow.open(folder) as memory:
        assert memory.embedder.name == "hashing-2048"
        assert memory.search("Lisbon")[0].record.id == added.id


def test_the_folder_has_one_holder_and_one_embedder(tmp_path):
    with memshadow.open(tmp_path, overrides=LIGHT) as memory:
        memory.add("tea")
        with pytest.raises(StoreError, match=r"holds|held"):
            memshadow.open(tmp_path)
    with pytest.raises(StoreError, match="reembed"):
        memshadow.open(tmp_path, overrides=["embedder.dim=1024"])
    with memshadow.open(tmp_path) as memory:  # the refused setting was not remembered
        assert memory.embedder.dim == 2048


def test_a_slip_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError, match="ranking"):
        memshadow.open(tmp_path / "new", overrides=["rankin=vector"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "settings.json").write_text('{"format": 9, "overrides": []}')
    with pytest.raises(ConfigError, match="format 9"):
        memshadow.open(tmp_path)


def test_another_choice_of_a_part_drops_what_was_set_inside_the_old_one():
    old = ["embedder=projected", "embedder.model=a", "ranking=vector", "ranking.k1=1"]
    assert merged(old, ["embedder=minilm"]) == ["ranking=vector", "ranking.k1=1", "embedder=minilm"]
    assert merged(old, ["embedder.model=b"])[-1] == "embedder.model=b"


def test_writers_and_readers_at_once_lose_nothing(tmp_path):
    with memshadow.open(tmp_path, overrides=LIGHT) as memory:
        wrong = []

        def writer(name):
            mine = memory.at(user=name, session="s")
            for i in range(15):
                added = mine.add(f"{name} said number {i}")
                if added.id not in [hit.record.id for hit in mine.search(f"number {i}", k=20)]:
                    wrong.append((name, i))

        threads = [threading.Thread(target=writer, args=(name,)) for name in ("ann", "bo", "cy", "ann")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        turns = [record.turn for record in memory.recent(last=100, scope=Scope(user="ann", session="s"))]
        assert turns == list(range(15))  # the same words twice are one memory, and turns have one order
    with memshadow.open(tmp_path) as memory:
        assert memory.stats(scope=Scope(user="bo")).memories == 15


def test_the_same_calls_can_be_awaited(tmp_path):
    import asyncio

    async def talk():
        async with AsyncMemory(memshadow.open(tmp_path, overrides=LIGHT)) as memory:
            await asyncio.gather(*(memory.add(f"note {i}") for i in range(5)))
            hits = await memory.search("note 3", k=1)
            return hits[0].text, (await memory.stats()).memories

    assert asyncio.run(talk()) == ("note 3", 5)
