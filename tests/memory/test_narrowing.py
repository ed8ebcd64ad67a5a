"""A filter says what may be a hit, and takes nothing of the context away; a scope and a moment bound what is read."""

import pytest
from small import hybrid, memory

from memshadow.memory.recall.rankers.trained import TreeRanker
from memshadow.memory.recall.staged import StagedRanking
from memshadow.memory.recall.viewing import Viewer
from memshadow.memory.service import Filter
from memshadow.types import Draft, Scope

TALK = (
    ("Ann", "Hello Bob, nice to see you again!", ("small",)),
    ("Bob", "Hello Ann, how was the summer?", ("small",)),
    ("Ann", "Where did you spend the week in July?", ("travel",)),
    ("Bob", "At the lake near Annecy.", ("travel",)),
    ("Ann", "Did you swim?", ()),
    ("Bob", "Every day, and the food was great.", ("food",)),
    ("Ann", "I stayed at home and painted the kitchen.", ("home",)),
    ("Bob", "Which colour did you paint the kitchen?", ("home",)),
    ("Ann", "A light green.", ("home",)),
)
QUESTION = "Where did Bob spend the week in July?"


def learned(**changed):
    given = {"k1": 0.9, "b": 0.4, "candidates": 100, "exact_below": 5000, "listed": 200}
    return StagedRanking(viewer=Viewer(**given | changed), ranker=TreeRanker(model="packaged"))


def talked(ranking, scope=None):
    m = memory(ranking=ranking)
    for who, text, tags in TALK:
        m.add(text, speaker=who, tags=tags, scope=scope or Scope(session="s"))
    return m


@pytest.fixture(params=[{}, {"exact_below": 2, "candidates": 9, "listed": 9}], ids=["small", "large"])
def talk(request):
    return talked(learned(**request.param))


def scores(hits):
    return {hit.text: hit.score for hit in hits}


@pytest.mark.parametrize(
    ("narrowed", "passing"),
    [
        ({"speakers": ["Bob"]}, [text for who, text, _ in TALK if who == "Bob"]),
        ({"tags": ["home"]}, [text for _, text, tags in TALK if "home" in tags]),
        ({"tags": ["travel"], "speakers": ["Bob"]}, ["At the lake near Annecy."]),
        ({"kinds": ["episodic"]}, [text for _, text, _ in TALK]),
        ({"kinds": ["procedural"]}, []),
        ({"speakers": ["Cy"]}, []),
    ],
)
def test_what_passes_scores_as_it_does_without_a_filter(talk, narrowed, passing):
    free, found = scores(talk.search(QUESTION, k=20)), scores(talk.search(QUESTION, k=20, **narrowed))
    assert found == {text: free[text] for text in passing}
    order = [text for text in free if text in passing]
    assert list(found) == order


def test_an_answer_is_found_by_the_question_that_it_follows_though_that_does_not_pass(talk):
    assert talk.search(QUESTION, k=1, speakers=["Bob"])[0].text == "At the lake near Annecy."


def test_ranks_are_told_among_what_may_be_a_hit(talk):
    hits = talk.search(QUESTION, k=20, tags=["home"], explain=True)
    for part in ("vector", "words", "context", "ranker"):
        assert all(1 <= hit.explanation.ranks[part] <= len(hits) for hit in hits)
    assert sorted(hit.explanation.ranks["ranker"] for hit in hits) == [1, 2, 3]


@pytest.mark.parametrize("scope", [Scope(session="s"), Scope(agent="one"), Scope(agent="one", session="s")])
@pytest.mark.parametrize("ranking", [learned(), hybrid()], ids=["learned", "hybrid"])
def test_nothing_outside_of_the_scope_is_context(scope, ranking):
    m = talked(ranking, scope)
    before = [scores(m.search(QUESTION, k=20, scope=scope, **some)) for some in ({}, {"speakers": ["Bob"]})]
    for other in (Scope(session="t"), Scope(agent="two"), Scope(user="else"), Scope(tenant="else")):
        m.add([Draft(text=f"Bob spent week {n} of July at the lake", speaker="Bob") for n in range(9)], scope=other)
    after = [scores(m.search(QUESTION, k=20, scope=scope, **some)) for some in ({}, {"speakers": ["Bob"]})]
    assert after == before


@pytest.mark.parametrize("some", [{}, {"speakers": ["Bob"]}, {"tags": ["travel"]}])
def test_what_was_forgotten_replaced_or_said_later_is_no_context(talk, some):
    moment = talk.recent(last=1, scope=Scope(session="s"))[0].ingested_at
    before = scores(talk.search(QUESTION, k=20, **some))
    later = talk.add("Bob spent the week of July at the sea", speaker="Bob", tags=("travel",), scope=Scope(session="s"))
    assert scores(talk.search(QUESTION, k=20, as_of=moment, **some)) == before
    talk.update(later.id, text="Nothing", tags=("none",), speaker="Ann")
    replaced = scores(talk.search(QUESTION, k=20, **some))
    talk.forget(later.id)
    assert scores(talk.search(QUESTION, k=20, **some)) == before
    talk.add("Nothing", speaker="Ann", tags=("none",), scope=Scope(session="s"))
    assert scores(talk.search(QUESTION, k=20, **some)) == pytest.approx(replaced)


def test_moments_bound_what_is_read_and_the_rest_only_what_may_be_a_hit():
    # Whoever adds a part to Filter decides here on which side it stands.
    assert set(Filter.__dataclass_fields__) == {
        "latest_only",
        "as_of",
        "between",
        "kinds",
        "tags",
        "speakers",
        "keys",
        "metadata",
    }
