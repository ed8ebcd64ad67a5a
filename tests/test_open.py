"""``memshadow.open``: a folder, and nothing else."""

import asyncio
import json
import shutil
import threading
from pathlib import Path

import pytest

import memshadow
from memshadow import Scope
from memshadow.data.index.blocks import ExactIndex
from memshadow.errors import ConfigError, DataError, StoreError
from memshadow.memory import settings
from memshadow.memory.asynchronous import AsyncMemory
from memshadow.memory.recall.rankers.fusions import MinMaxRanker, ReciprocalRanker
from memshadow.memory.recall.rankers.trained import TreeRanker
from memshadow.memory.service import Memory
from memshadow.memory.settings import merged, remembered
from memshadow.models.hashing import HashingEmbedder

LIGHT = ["embedder=hashing", "ranking=vector", "tokenizer=bytes"]
DICTS = ["store=reference", "~store.folder", "index.precision=fp16"]


def test_what_was_added_is_there_after_reopening(tmp_path):
    folder = tmp_path / "it's a = folder, with [odd] characters ${oc.env:HOME} ${folder}"
    with memshadow.open(folder, overrides=LIGHT) as memory:
        added = memory.add("I moved to Lisbon in May", speaker="Ann")
    with memshadow.open(folder) as memory:
        assert memory.embedder.name == "hashing-2048"
        assert memory.search("Lisbon")[0].record.id == added.id
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_copied_folder_is_itself(tmp_path):
    with memshadow.open(tmp_path / "one", overrides=LIGHT) as memory:
        memory.add("of the first")
    (tmp_path / "copied").mkdir()
    said = {"format": 1, "overrides": [*LIGHT, f"store.folder={tmp_path / 'one'}"]}
    (tmp_path / "copied" / "settings.json").write_text(json.dumps(said))
    with memshadow.open(tmp_path / "copied") as memory:
        assert memory.stats().memories == 0


def test_settings_can_be_tried_out(tmp_path):
    memshadow.open(tmp_path, overrides=LIGHT).close()
    memshadow.open(tmp_path, overrides=["ranking=hybrid"], remember=False).close()
    assert "ranking=vector" in remembered(tmp_path)


def test_after_another_embedder_was_taken_up_it_is_said_what_opens_the_folder(tmp_path):
    with memshadow.open(tmp_path, overrides=LIGHT) as memory:
        memory.add("tea")
        new = {"k1": 0.9, "b": 0.4, "mean_length": 12.0, "copies": 4}
        index = ExactIndex(folder=str(tmp_path / "index"), precision="fp16", cache_mb=8, save_every=100, rebuild=True)
        memory.reembed(HashingEmbedder(dim=1024, **new), index=index)
        assert memory.stats().warnings == ()
    with pytest.raises(
        StoreError, match=r"embedded with hashing-1024 .* hashing-2048 .* came.*open\(.*embedder=hashing"
    ):
        memshadow.open(tmp_path)
    memshadow.open(tmp_path, overrides=["embedder=hashing", "embedder.dim=1024"]).close()
    with memshadow.open(tmp_path) as memory:
        assert memory.search("tea")[0].text == "tea"


def test_the_folder_has_one_holder_and_one_embedder(tmp_path):
    with memshadow.open(tmp_path, overrides=LIGHT) as memory:
        memory.add("tea")
        with pytest.raises(StoreError, match=r"holds|held"):
            memshadow.open(tmp_path)
    with pytest.raises(StoreError, match="reembed"):
        memshadow.open(tmp_path, overrides=["embedder.dim=1024"])
    with memshadow.open(tmp_path) as memory:  # the refused setting was not remembered
        assert memory.embedder.dim == 2048


REMOTE = ["embedder=remote", "embedder.url=http://127.0.0.1:9/v1", "embedder.model=any", "embedder.dim=4"]


@pytest.mark.parametrize("choice", ["embedder=remote", 'embedder="remote"', "embedder=static/../remote"])
def test_a_folder_sends_nothing_away(tmp_path, caplog, choice):
    said = {"format": 1, "overrides": [choice, *REMOTE[1:], "embedder.key_env=HOME", *LIGHT[1:]]}
    (tmp_path / "settings.json").write_text(json.dumps(said))
    with memshadow.open(tmp_path, overrides=["embedder.context_turns=0"]) as memory:
        assert memory.embedder.name.startswith("minilm")
    assert "may not decide" in caplog.text
    with memshadow.open(tmp_path / "own", overrides=[*REMOTE, *LIGHT[1:]]) as memory:  # who says so may
        assert memory.embedder.name == "remote-any"
    assert remembered(tmp_path / "own") == LIGHT[1:]
    with pytest.raises(StoreError, match=r"remote-any .*say so at each opening"):
        memshadow.open(tmp_path / "own")
    memshadow.open(tmp_path / "own", overrides=REMOTE).close()


@pytest.mark.parametrize("announced", [False, True])
def test_a_second_bolt_holds_where_the_first_does_not(tmp_path, monkeypatch, announced):
    """Whatever a folder's file gets past the first one, this call must have said where texts go."""
    monkeypatch.setattr(settings, "_kept", list)
    memshadow.open(tmp_path, overrides=LIGHT).close()
    said = {"format": 1, "overrides": REMOTE}
    if announced:
        said = {"format": 1, "overrides": ["embedder=hashing", "embedder.dim=64"], "announced": REMOTE}
    (tmp_path / "settings.json").write_text(json.dumps(said))
    for words in ([], ["ranking=vector"]):
        with pytest.raises(ConfigError, match=r"behind an address \(embedder\).* did not say so"):
            memshadow.open(tmp_path, overrides=words)
    with pytest.raises(StoreError, match=r"remote-any .* came"):  # said; refused for its vectors only
        memshadow.open(tmp_path, overrides=REMOTE)


def test_an_announcement_that_was_given_up_goes_with_the_next_opening(tmp_path):
    memshadow.open(tmp_path, overrides=LIGHT).close()
    settings.announce(tmp_path, ["embedder=static"])
    memshadow.open(tmp_path).close()
    assert (remembered(tmp_path), settings.announced(tmp_path)) == (LIGHT, [])


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


def test_what_was_useful_lies_in_the_folder_and_goes_with_the_memory(tmp_path):
    file = tmp_path / "feedback.jsonl"
    with memshadow.open(tmp_path, overrides=LIGHT) as memory:
        added = memory.add("I moved to Lisbon")
        assert not file.exists()
        memory.feedback("where does Ann live?", [added.id])
        assert added.id in file.read_text()
        assert "where does Ann live" not in "".join(memory.export())

    async def forgotten():
        async with AsyncMemory(memshadow.open(tmp_path)) as memory:
            await memory.feedback("who moved?", [added.id], shown=[added.id], kind="click")
            assert file.read_text().count(added.id) == 3
            await memory.forget(added.id)

    asyncio.run(forgotten())
    assert file.read_text() == ""


def test_it_lies_beside_the_store_and_nowhere_without_one(tmp_path):
    with memshadow.open(tmp_path / "a", overrides=[*LIGHT, f"store.folder={tmp_path / 'b'}"]) as memory:
        memory.feedback("where?", [memory.add("here").id])
    assert (tmp_path / "b" / "feedback.jsonl").is_file()
    with memshadow.open(tmp_path / "c", overrides=[*LIGHT, *DICTS]) as memory:
        added = memory.add("here")
        with pytest.raises(ConfigError, match="lies in no folder"):
            memory.feedback("where?", [added.id])
    assert not list((tmp_path / "c").rglob("feedback*"))


def test_the_same_calls_can_be_awaited(tmp_path):
    async def talk():
        async with AsyncMemory(memshadow.open(tmp_path, overrides=LIGHT)) as memory:
            await asyncio.gather(*(memory.add(f"note {i}") for i in range(5)))
            hits = await memory.search("note 3", k=1)
            return hits[0].text, (await memory.stats()).memories

    assert asyncio.run(talk()) == ("note 3", 5)


def test_everything_can_be_awaited(tmp_path):
    own = {"store", "embedder", "counter", "scope"}
    assert {name for name in vars(Memory) if not name.startswith("_")} - own <= set(vars(AsyncMemory))

    async def talk():
        async with AsyncMemory(memshadow.open(tmp_path, overrides=LIGHT)) as memory:
            ann = memory.at(user="ann", session="s")
            await ann.add([f"note {i}" for i in range(3)])
            lines = [line async for line in ann.export()]
            assert (await memory.import_(lines, scope=Scope(user="bo"))).added == 3
            assert (await memory.import_(ann.export(), scope=Scope(user="cy"))).added == 3
            bo = [record.text async for record in memory.everything(scope=Scope(user="bo"))]
            assert bo == [record.text async for record in ann.everything()] == ["note 0", "note 1", "note 2"]
            assert "note 2" in (await ann.recent_context(budget_tokens=500)).text
            new = HashingEmbedder(dim=64, k1=0.9, b=0.4, mean_length=12.0, copies=1)
            index = ExactIndex(folder=None, precision="fp16", cache_mb=8, save_every=100, rebuild=True)
            await memory.reembed(new, index=index)
            return (await ann.stats()).dim

    assert asyncio.run(talk()) == 64


def test_lines_that_come_one_by_one_are_all_read_and_what_stops_them_is_told(tmp_path):
    async def lines(count, error):
        for i in range(count):
            await asyncio.sleep(0)
            yield json.dumps({"text": f"line {i}"})
        if error:
            raise ZeroDivisionError("the source broke")

    async def talk():
        async with AsyncMemory(memshadow.open(tmp_path, overrides=LIGHT)) as memory:
            assert (await memory.import_(lines(1201, error=False))).added == 1201
            with pytest.raises(ZeroDivisionError, match="the source broke"):
                await memory.import_(lines(3, error=True), scope=Scope(user="bo"))
            with pytest.raises(DataError, match="no line came"):
                await memory.import_(lines(0, error=False))
            return (await memory.stats()).memories, (await memory.stats(scope=Scope(user="bo"))).memories

    assert asyncio.run(talk()) == (1201, 3)


def test_what_runs_is_finished_before_it_closes(tmp_path, monkeypatch):
    begun, order = threading.Event(), []

    async def talk():
        memory = AsyncMemory(memshadow.open(tmp_path, overrides=LIGHT))
        await memory.add("tea")

        def slow(query, **_):
            begun.set()
            threading.Event().wait(0.2)
            order.append(memory.memory.stats().memories)
            return []

        monkeypatch.setattr(memory.memory, "search", slow)
        searches = [asyncio.ensure_future(memory.search("tea")) for _ in range(6)]  # more than there are threads
        await asyncio.to_thread(begun.wait)
        await memory.close()
        order.append("closed")
        await memory.close()
        return await asyncio.gather(*searches)

    assert asyncio.run(talk()) == [[]] * 6
    assert order == [1] * 6 + ["closed"]


SHIPPED = "memshadow/memory/recall/rankers/shipped"


def test_the_ranker_within_a_ranking_is_remembered_and_goes_with_it(tmp_path):
    shutil.copytree(Path(memshadow.__file__).parent.parent / SHIPPED, tmp_path / "my ranker")
    words = ["ranking=trained", f"ranking.ranker.model='{tmp_path / 'my ranker'}'"]
    memshadow.open(tmp_path / "m", overrides=[LIGHT[0], LIGHT[2], *words]).close()
    with memshadow.open(tmp_path / "m", overrides=["ranking.viewer.candidates=7"]) as memory:
        assert (memory._parts.ranking.ranker.name, memory._parts.ranking.ranker.fingerprint) == (
            "trees",
            TreeRanker(model="packaged").fingerprint,
        )
    memshadow.open(tmp_path / "m", overrides=["ranker@ranking.ranker=reciprocal"]).close()
    with memshadow.open(tmp_path / "m") as memory:
        assert isinstance(memory._parts.ranking.ranker, ReciprocalRanker)
    assert remembered(tmp_path / "m")[2:] == [
        "ranking=trained", "ranking.viewer.candidates=7", "ranker@ranking.ranker=reciprocal"
    ]  # fmt: skip
    memshadow.open(tmp_path / "m", overrides=["ranking=vector"]).close()
    assert remembered(tmp_path / "m") == [LIGHT[0], LIGHT[2], "ranking=vector"]


@pytest.mark.parametrize(
    "word",
    ["ranker@ranking.ranker=../../evil", "embedder@ranking.ranker=remote", "ranking.ranker._target_=memshadow.open"],
)
def test_a_folder_builds_no_ranker_of_its_own(tmp_path, caplog, word):
    said = {"format": 1, "overrides": [LIGHT[0], LIGHT[2], "ranking=context", word]}
    (tmp_path / "settings.json").write_text(json.dumps(said))
    with memshadow.open(tmp_path) as memory:
        assert isinstance(memory._parts.ranking.ranker, MinMaxRanker)
    assert "may not decide" in caplog.text
    assert word not in (tmp_path / "settings.json").read_text()
