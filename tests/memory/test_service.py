"""Remember, recall, change, forget: what a caller may count on, on the reference store and index."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from small import contextual, hashing, hybrid, memory

from memshadow.data.index.reference import ReferenceIndex
from memshadow.errors import ConfigError, DataError, NotFoundError, StoreError
from memshadow.memory.intake import passages_of
from memshadow.memory.ranking import VectorRanking
from memshadow.types import Draft, Memory as Said, Scope


def texts(hits):
    return [hit.text for hit in hits]


def test_what_was_said_is_found_by_the_next_call():
    m = memory()
    first = m.add("I moved to Lisbon in May", speaker="Ann", happened_at="2024-05-03")
    m.add(["My dog is called Rex", "I work as a nurse"], tags=("pets",))
    hit = m.search("where did Ann move", k=1)[0]
    assert hit.record.id == first.id
    assert hit.record.draft.happened_at == datetime(2024, 5, 3, tzinfo=UTC)
    assert m.get(first.id).text == "I moved to Lisbon in May"


def test_the_same_thing_is_kept_once_and_a_like_one_is_reported():
    m = memory(embedder=unit_embedder())
    first = m.add("tea at noon", speaker="Ann")
    again = m.add("tea at noon", speaker="Ann")
    assert (again.id, again.duplicate) == (first.id, True)
    assert not m.add("tea at noon", speaker="Bo").duplicate
    both = m.add(["rice", "rice"])
    assert both[0].id == both[1].id
    assert [one.duplicate for one in both] == [False, True]
    near = m.add("tea at noon!", speaker="Ann")
    assert first.id in near.near
    assert not near.duplicate


def unit_embedder():
    """Return a hashing embedder at norm 1, as encoders are."""
    inner = hashing()

    class Unit:
        name, dim, normalised, fingerprint, reach = "unit", inner.dim, True, "unit-1", (0, 0)

        def embed_passages(self, passages):
            rows = inner.embed_passages(passages)
            return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

        def embed_queries(self, texts, *, statistics=None):
            return inner.embed_queries(texts)

    return Unit()


def test_an_update_keeps_the_past_and_a_forgotten_memory_leaves_none():
    m = memory()
    added = m.add("My dog is called Rex", speaker="Ann")
    new = m.update(added.id, text="My dog is called Max")
    assert (new.version, [r.text for r in m.history(added.id)]) == (2, ["My dog is called Rex", "My dog is called Max"])
    assert texts(m.search("dog")) == ["My dog is called Max"]
    assert texts(m.search("dog Rex", latest_only=False))[0] == "My dog is called Rex"
    before = m.history(added.id)[0].ingested_at
    assert texts(m.search("dog", as_of=before)) == ["My dog is called Rex"]
    assert m.update(added.id, text="My dog is called Max").version == 2  # nothing changed
    m.forget(added.id)
    assert m.search("dog", latest_only=False) == []
    for call in (m.get, m.history, m.forget):
        with pytest.raises(NotFoundError, match="no memory"):
            call(added.id)


def test_a_key_has_one_current_memory_and_callers_may_name_another():
    m = memory()
    old = m.add("home is Porto", key="home")
    new = m.add("home is Faro", key="home")
    assert new.superseded == (old.id,)
    assert m.get(old.id).superseded_by == new.id
    assert texts(m.search("home")) == ["home is Faro"]
    both = m.add([Draft(text="car is red", key="car"), Draft(text="car is blue", key="car")])
    assert [text for text in texts(m.search("car")) if "car" in text] == ["car is blue"]
    assert m.get(both[0].id).superseded_by == both[1].id
    chosen = m.add("we sold it", supersedes=both[1].id)
    assert chosen.superseded == (both[1].id,)
    with pytest.raises(NotFoundError, match="supersedes"):
        m.add("nothing", supersedes="no such")
    with pytest.raises(DataError, match="was superseded by"):
        m.update(old.id, text="home is Braga")


def test_no_scope_sees_another():
    m = memory()
    ann, bo = m.at(user="ann"), m.at(user="bo")
    secret = ann.add("the code is 4711")
    bo.add("I know no code")
    assert texts(bo.search("code", k=10)) == ["I know no code"]
    for call in (bo.get, bo.history, bo.forget, m.get):
        with pytest.raises(NotFoundError):
            call(secret.id)
    with pytest.raises(NotFoundError):
        bo.update(secret.id, text="x")
    with pytest.raises(NotFoundError):
        bo.add("mine now", supersedes=secret.id)
    assert ann.get(secret.id).text == "the code is 4711"
    inside = ann.at(agent="helper", session="s1")
    inside.add("said to the helper")
    assert texts(inside.search("helper code", k=10)) == ["said to the helper"]
    assert len(ann.search("helper code", k=10)) == 2
    assert m.stats(scope=Scope(user="bo")).memories == 1


def test_filters_hold_before_ranking():
    m = memory()
    for day in range(1, 21):
        m.add(
            f"walk number {day}", happened_at=f"2024-01-{day:02}", tags=["even"] if day % 2 == 0 else [], speaker="Ann"
        )
    m.add("walk of unknown time", speaker="Bo", kind="semantic", metadata={"mood": "gay"})
    found = m.search("walk", k=5, between=("2024-01-10", "2024-01-12"))
    assert sorted(texts(found)) == ["walk number 10", "walk number 11"]
    assert len(m.search("walk", k=10, tags=["even"])) == 10
    assert texts(m.search("walk", speakers=["Bo"])) == ["walk of unknown time"]
    assert texts(m.search("walk", kinds=["semantic"])) == ["walk of unknown time"]
    assert texts(m.search("walk", metadata={"mood": "gay"})) == ["walk of unknown time"]
    assert m.search("walk", metadata={"mood": "sad"}) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.add(""), "says something"),
        (lambda m: m.add({"speaker": "Ann"}), "needs text"),
        (lambda m: m.add("x", mood="gay"), "no field 'mood'"),
        (lambda m: m.add("x", importance=2), "from 0 to 1"),
        (lambda m: m.add("x", kind="dream"), "choose episodic"),
        (lambda m: m.add("x", happened_at="yesterday"), "ISO 8601"),
        (lambda m: m.add("x", tags="one"), "list of words"),
        (lambda m: m.add("x", metadata={"a": object()}), "JSON"),
        (lambda m: m.add(3), "int came"),
        (lambda m: m.add(["fine", 3]), "int came"),
        (lambda m: m.add(["fine", ""]), "says something"),
        (lambda m: m.add([Draft(text="a", id="1"), Draft(text="b", id="1")]), "came twice"),
        (lambda m: m.search(" "), "words to look for"),
        (lambda m: m.search("x", k=0), "1 to 1000"),
        (lambda m: m.search("x", k="5"), "1 to 1000"),
        (lambda m: m.search(5), "words to look for"),
        (lambda m: m.search("x", colour="red"), "no filter 'colour'"),
        (lambda m: m.search("x", between="2024"), "two times"),
        (lambda m: m.search("x", between=("2024-02-01", "2024-01-01")), "before it begins"),
        (lambda m: m.at(user=""), "names no scope"),
    ],
)
def test_bad_input_is_told_and_nothing_is_kept(call, message):
    m = memory()
    with pytest.raises((DataError, ValueError), match=message):
        call(m)
    assert m.stats().versions == 0


def test_an_id_is_one_memory():
    m = memory()
    m.add("first", id="a")
    assert m.add("first", id="a").duplicate
    with pytest.raises(DataError, match="is taken"):
        m.add("second", id="a")


def test_every_hit_is_explained_on_request():
    m = memory()
    m.add(["red tea", "green tea", "black coffee"])
    best = m.search("green tea", explain=True)[0]
    assert best.explanation.ranks == {"vector": 1, "words": 1}
    assert m.search("green tea")[0].explanation is None


def test_a_session_goes_on():
    m = memory()
    today = m.at(session="s", agent="claude")
    today.add(["Hi", "My name is Ann"], speaker="Ann")
    tomorrow = m.at(session="s", agent="gpt")
    tomorrow.add("Back again", speaker="Ann")
    whole = m.at(session="s")
    assert [(r.turn, r.text) for r in whole.recent()] == [(0, "Hi"), (1, "My name is Ann"), (2, "Back again")]
    assert "My name is Ann" in whole.recent_context(budget_tokens=500).text


def test_corpus_memories_go_in_as_they_are():
    m = memory(ranking=VectorRanking())
    said = Said(id="1", conversation_id="c", session_id="s", turn=0, speaker="Bo", text="Look", image_caption="a kite")
    m.add(said)
    assert m.search("kite")[0].record.draft.image_caption == "a kite"


def test_another_embedder_is_refused_and_can_be_taken_up():
    first = memory()
    first.add(["green tea", "black coffee"])
    with pytest.raises(StoreError, match="memshadow reembed"):
        memory(embedder=contextual(), store=first.store)
    seen = first.at(session="s")
    seen.add(["one tea", "two tea"])
    first.reembed(contextual(), index=ReferenceIndex(), ranking=VectorRanking())
    assert [known.fingerprint for known in first.store.embeddings()] == [contextual().fingerprint]
    assert seen.embedder.dim == 64
    assert texts(first.search("coffee", k=1)) == ["black coffee"]
    first.add("a third tea", scope=Scope(session="s"))
    check_rows(first)


def check_rows(m):
    """Every stored row is what the embedder makes of the session as it stands now."""
    for owner, _ in m.store.owners():
        rows = {one.record.seq: one for one in m.store.stored(owner, m.embedder.fingerprint)}
        sessions = {}
        for one in rows.values():
            if one.record.ended_by != "update":
                sessions.setdefault(one.record.scope.session or one.record.id, []).append(one)
        for session in sessions.values():
            session.sort(key=lambda one: (one.record.turn, one.record.seq))
            turns = [one.record.draft.said() for one in session]
            passages = passages_of(turns, m.embedder.reach, places=range(len(turns)))
            wanted = m.embedder.embed_passages(passages)
            np.testing.assert_allclose([one.vector for one in session], wanted, atol=1e-5)
        past = [one for one in rows.values() if one.record.ended_by == "update"]
        if past:  # alone: no trace of neighbours, which may be forgotten
            turns = [one.record.draft.said() for one in past]
            wanted = m.embedder.embed_passages(passages_of(turns, (0, 0), places=range(len(turns))))
            np.testing.assert_allclose([one.vector for one in past], wanted, atol=1e-5)


def test_a_cut_off_reembedding_goes_on_with_what_changed_meanwhile():
    m = memory()
    m.add(["one apple", "two pears", "three figs", "four kiwis"], scope=Scope(session="s"))
    m.add(["elsewhere"], scope=Scope(user="bo"))

    def cut(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        m.reembed(contextual(), index=ReferenceIndex(), progress=cut)
    m.forget(m.search("two pears", k=1)[0].record.id)  # its neighbours' new rows are made by nobody
    m.add("five plums", scope=Scope(session="s"))
    assert m.search("figs", k=1)[0].text == "three figs"
    m.reembed(contextual(), index=ReferenceIndex(), ranking=VectorRanking())
    check_rows(m)


def test_two_cuts_leave_no_row_of_a_neighbour_that_is_gone():
    m = memory()
    m.add(["one apple", "two pears", "three figs"], scope=Scope(user="al", session="s"))
    m.add([f"number {i}" for i in range(400)], scope=Scope(user="bo", session="s"))

    def cut(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        m.reembed(contextual(), index=ReferenceIndex(), progress=cut)
    m.forget(m.search("two pears", k=1, scope=Scope(user="al"))[0].record.id, scope=Scope(user="al"))
    portions = iter(range(2))  # what was done before, and the first portion of what was not

    with pytest.raises(StopIteration):
        m.reembed(contextual(), index=ReferenceIndex(), progress=lambda _: next(portions))
    m.reembed(contextual(), index=ReferenceIndex(), ranking=VectorRanking())
    check_rows(m)


def test_nobody_is_shown_an_index_that_is_not_ready():
    m = memory()
    m.add(["tea", "rice"])
    told = []

    def asked():
        told.extend([m.stats().memories, len(m.recent()), len(m.search("tea"))])

    class Slow(ReferenceIndex):
        def attach(self, *given, **named):
            other.start()
            other.join(timeout=0.2)  # it must wait until this is done
            super().attach(*given, **named)

    other = threading.Thread(target=asked)
    m.reembed(contextual(), index=Slow())
    other.join()
    assert told == [2, 2, 2]


def test_an_index_that_does_not_take_the_rows_is_refused_before_anything_is_done():
    class Narrow(ReferenceIndex):
        def check(self, dim):
            raise ConfigError(f"not {dim}")

    m = memory()
    m.add(["tea", "rice"])
    with pytest.raises(ConfigError, match="not 64"):
        m.reembed(contextual(), index=Narrow())
    assert [known.fingerprint for known in m.store.embeddings()] == [hashing().fingerprint]
    assert texts(m.search("rice", k=1)) == ["rice"]


def test_a_switch_that_fails_leaves_the_old_embedder_alone_in_charge():
    class Broken(ReferenceIndex):
        def attach(self, *given, **named):
            raise OSError("no room")

    m = memory()
    m.add(["tea", "rice"])
    with pytest.raises(OSError, match="no room"):
        m.reembed(contextual(), index=Broken())
    added = m.add("milk")
    assert texts(m.search("milk", k=1)) == ["milk"]
    lacking = m.store.unembedded(contextual().fingerprint, after=0, limit=10)
    assert [record.id for record in lacking] == [added.id]  # nobody makes rows for it any more
    m.reembed(contextual(), index=ReferenceIndex(), ranking=VectorRanking())
    check_rows(m)


def test_one_embedder_is_taken_up_at_a_time():
    m = memory()
    m.add("tea")

    def another(_):
        m.reembed(contextual(), index=ReferenceIndex())

    with pytest.raises(StoreError, match="already"):
        m.reembed(contextual(), index=ReferenceIndex(), progress=another)


def test_a_store_whose_embedder_lacks_rows_is_filled():
    m = memory()
    added = m.add(["tea", "rice"])
    store = m.store
    seqs = [m.get(one.id).seq for one in added]
    del store._state.vectors[seqs[0], hashing().fingerprint]  # as a salvage leaves it
    for name, known in store._state.embeddings.items():
        store._state.embeddings[name] = replace(known, active=False)
    assert texts(memory(store=store).search("tea", k=1)) == ["tea"]


def test_an_interrupt_while_writing_leaves_no_memory_that_is_not_found():
    m = memory()
    m.add("first")
    submit = m.store.submit

    def interrupted(changes):
        done = submit(changes)

        class Broken(type(done)):
            def result(self, timeout=None):
                raise KeyboardInterrupt

        done.__class__ = Broken
        return done

    m.store.submit = interrupted
    with pytest.raises(KeyboardInterrupt):
        m.add("second")
    m.store.submit = submit
    assert m.add("second").duplicate
    assert texts(m.search("second", k=1)) == ["second"]


def test_ranks_are_told_among_all_that_was_ranked():
    m = memory()
    m.add([f"tea number {i} tea" for i in range(20)] + ["nothing alike at all"])
    hits = m.search("nothing tea", k=21, explain=True)
    for part in ("vector", "words"):
        scores = sorted((hit.explanation.scores[part] for hit in hits), reverse=True)
        for hit in m.search("nothing tea", k=2, explain=True):
            assert hit.explanation.ranks[part] == 1 + scores.index(hit.explanation.scores[part])


def test_the_recent_ones_are_those_that_hold():
    m = memory()
    m.add(["kept one", "kept two"], scope=Scope(session="z"))
    m.add([Draft(text=f"old {i}", key="k") for i in range(30)], scope=Scope(session="z"))
    m.add("last", scope=Scope(session="a"))
    assert [r.text for r in m.recent(last=3)] == ["kept two", "old 29", "last"]
    assert [r.text for r in m.at(session="z").recent(last=3)] == ["kept one", "kept two", "old 29"]
    assert m.at(Scope(user="owner"), session="a").recent()[0].text == "last"


def test_a_session_is_told_in_the_order_of_saying_whatever_its_times():
    m = memory().at(session="s")
    m.add("said first", happened_at="2025-05-01")
    m.add("said second, of long ago", happened_at="2001-05-01")
    text = m.recent_context(budget_tokens=600).text
    assert text.index("said first") < text.index("said second")


def test_supersession_has_no_circles_and_tells_only_what_it_did():
    m = memory()
    with pytest.raises(DataError, match="by itself"):
        m.add("x", id="x", supersedes="x")
    with pytest.raises(DataError, match="before it"):
        m.add([Draft(text="a", id="a", supersedes="b"), Draft(text="b", id="b", supersedes="a")])
    assert m.stats().versions == 0
    old, new = m.add("lives in Porto"), m.add("lives in Faro")
    assert m.add("lives in Faro", supersedes=old.id).superseded == (old.id,)  # said before, but not that it supersedes
    assert not m.get(old.id).current
    assert m.add("lives in Braga", supersedes=old.id).superseded == ()
    assert m.get(new.id).current


def test_an_agent_ends_only_what_it_sees_but_a_key_is_the_owners():
    m = memory()
    mine, other = m.at(agent="a"), m.at(agent="b")
    theirs = other.add("said to b", key="k")
    with pytest.raises(NotFoundError):
        mine.add("mine", supersedes=theirs.id)
    assert mine.add("newer", key="k").superseded == (theirs.id,)


def test_a_key_that_an_update_brings_counts():
    m = memory()
    old, other = m.add("blue", key="colour"), m.add("it is red")
    m.update(other.id, key="colour")
    assert m.get(old.id).superseded_by == other.id


def test_an_export_is_of_one_moment_and_a_broken_import_keeps_what_came_before():
    m = memory()
    first = m.add([f"note {i}" for i in range(1005)])[0]
    lines = m.export()
    taken = [next(lines) for _ in range(5)]
    m.update(first.id, text="changed meanwhile")
    other = memory()
    other.import_([*taken, *lines])
    assert other.stats().memories == 1005
    broken = ['{"text": "a"}', '{"text": "b"}', "nonsense", '{"text": "c"}']
    with pytest.raises(DataError, match="line 3"):
        m.import_(broken, scope=Scope(user="bo"))
    assert m.stats(scope=Scope(user="bo")).versions == 2


class Sessions(RuleBasedStateMachine):
    """Rows depend on neighbours: however a session came about, they are those of the session as it stands."""

    @initialize()
    def begin(self):
        self.memory, self.count = memory(embedder=contextual(), near=2.0), 0

    def said(self):
        self.count += 1
        return f"word{self.count} and word{self.count % 5}"

    @rule(session=st.sampled_from(["a", "b", None]), many=st.integers(1, 4), key=st.sampled_from(["k", None]))
    def add(self, session, many, key):
        self.memory.add([self.said() for _ in range(many)], scope=Scope(session=session), key=key)

    @rule(place=st.integers(0, 30))
    def update(self, place):
        if ids := [r.id for r in self.memory.everything()]:
            self.memory.update(ids[place % len(ids)], text=self.said())

    @rule(place=st.integers(0, 30))
    def forget(self, place):
        if ids := [r.id for r in self.memory.everything(latest_only=False)]:
            self.memory.forget(ids[place % len(ids)])

    @rule()
    def reopen(self):
        self.memory = memory(embedder=contextual(), near=2.0, store=self.memory.store)

    @rule()
    def move(self):
        other = memory(embedder=contextual(), near=2.0)
        other.import_(list(self.memory.export())) if self.memory.stats().versions else None
        assert other.stats().memories == self.memory.stats().memories
        check_rows(other)

    @invariant()
    def rows_are_of_now(self):
        check_rows(self.memory)


Sessions.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestSessions = Sessions.TestCase


def test_ranking_few_candidates_of_many_finds_what_ranking_all_finds():
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(60)]
    said = [" ".join(rng.choice(words, 5)) for _ in range(300)]
    whole, few = memory(), memory(ranking=hybrid(exact_below=10, candidates=100))
    for m in (whole, few):
        m.add([Draft(text=text, id=str(i)) for i, text in enumerate(said)])
    for asked in said[:20]:
        assert texts(few.search(asked, k=1)) == texts(whole.search(asked, k=1))
