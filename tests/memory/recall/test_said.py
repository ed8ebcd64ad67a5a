"""The order of saying: sessions, turns, who follows whom, who speaks how."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from weakref import ref

import numpy as np
import pytest
from hypothesis import given, strategies as st
from place import block, chat, mask, told, turn

from memshadow.data.index.columns import UNKNOWN
from memshadow.memory.recall.said import ALIKE, SaidCache, said


def of(*spoken):
    """Return turns from (session, turn)."""
    return [turn(f"line {n}", session=session, turn=number) for n, (session, number) in enumerate(spoken)]


def test_one_session_after_the_other_stays_as_it_was_added():
    here = told(of(("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)))
    assert here.places.tolist() == [0, 1, 2, 3, 4]
    assert here.session.tolist() == [0, 0, 1, 1, 1]
    assert here.begins.tolist() == [0, 2]
    assert here.sizes.tolist() == [2, 3]
    assert here.follows.tolist() == [False, True, False, True, True]


def test_interleaved_sessions_are_told_apart_in_the_order_of_their_first_version():
    here = told(of(("b", 0), ("a", 0), ("b", 1), ("a", 1), ("b", 2)))
    assert here.places.tolist() == [0, 2, 4, 1, 3]
    assert here.session.tolist() == [0, 0, 0, 1, 1]
    assert here.begins.tolist() == [0, 3]


def test_a_new_version_of_a_turn_stands_where_the_old_one_stood():
    turns = of(("a", 0), ("a", 1), ("a", 2), ("a", 1))  # the last replaced the second
    assert told(turns, without=[1]).places.tolist() == [0, 3, 2]
    assert told(turns).places.tolist() == [0, 1, 3, 2]  # both: by the order of adding


def test_notes_are_sessions_of_their_own_also_between_the_turns_of_one():
    here = told(of(("a", 0), (None, 0), ("a", 1), (None, 0), (None, 0)))
    assert here.places.tolist() == [0, 2, 1, 3, 4]
    assert here.session.tolist() == [0, 0, 1, 2, 3]
    assert here.follows.tolist() == [False, True, False, False, False]
    assert told(of(*[(None, 0)] * 3)).sizes.tolist() == [1, 1, 1]


def test_what_is_not_allowed_is_not_there():
    here = told(of(("a", 0), ("a", 1), ("a", 2), ("b", 0)), without=[1, 3])
    assert here.places.tolist() == [0, 2]
    assert here.at.tolist() == [0, -1, 1, -1]
    assert here.follows.tolist() == [False, True]
    assert here.size == 2


def test_one_and_none():
    one = told(of(("a", 7)))
    assert (one.size, one.begins.tolist(), one.sizes.tolist(), one.follows.tolist()) == (1, [0], [1], [False])
    assert one.shares[:, 0].tolist() == [0.5] * len(ALIKE)
    for none in (told([]), told(of(("a", 0)), without=[0])):
        assert (none.size, none.begins.tolist(), none.sizes.tolist()) == (0, [], [])
        assert none.shares.shape == (len(ALIKE), 0)
        assert (none.first, none.last, none.chat) == (UNKNOWN, UNKNOWN, 0.0)


sessions = st.sampled_from([None, "a", "b", "c"])


@given(st.lists(st.tuples(sessions, st.integers(0, 3), st.booleans()), max_size=30))
def test_the_order_is_that_of_a_plain_sort(spoken):
    turns = of(*[(session, number) for session, number, _ in spoken])
    without = [n for n, (_, _, kept) in enumerate(spoken) if not kept]
    here = told(turns, without)
    kept = [n for n in range(len(turns)) if n not in without]
    name = {n: turns[n]["session"] or f"note {n}" for n in kept}
    first = {}
    for n in kept:
        first.setdefault(name[n], n)
    right = sorted(kept, key=lambda n: (first[name[n]], turns[n]["turn"], n))
    assert here.places.tolist() == right
    names = [name[n] for n in right]
    assert here.follows.tolist() == [n > 0 and names[n] == names[n - 1] for n in range(len(names))]
    assert here.session.tolist() == [list(dict.fromkeys(names)).index(one) for one in names]
    assert [names[n] for n in here.begins] == list(dict.fromkeys(names))
    assert here.sizes.sum() == len(right)


def test_lengths_and_windows_count_terms_within_a_session():
    here = told([turn("", words=["x"] * n, session=s) for n, s in ((3, "a"), (2, "a"), (5, "b"), (0, "b"))])
    assert here.lengths.tolist() == [3, 2, 5, 0]
    assert here.windows.tolist() == [3, 5, 5, 5]
    assert (here.mean_length, here.mean_window) == (2.5, 4.5)


def test_times_are_the_first_and_the_last_that_are_known():
    here = told([turn("a", day=3), turn("b"), turn("c", day=1)])
    assert here.last - here.first == 2 * 86_400_000_000
    assert here.happened[1] == UNKNOWN


def test_a_turn_is_compared_with_its_speaker_s_others_ties_by_half():
    texts = ["one two three", "one two three", "one", "four five six seven eight", "a b c d e f g"]
    here = told([turn(text, speaker=who) for text, who in zip(texts, ["Ann", "Ann", "Ann", "Ann", "Bob"], strict=True)])
    assert here.shares[ALIKE.index("length")].tolist() == [0.5, 0.5, 0.125, 0.875, 0.5]
    assert here.shares[ALIKE.index("dates")].tolist() == [0.5] * 5


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["Ann", "Bob", ""])), min_size=1, max_size=25))
def test_shares_are_as_counting_gives_them(spoken):
    here = told([turn("word " * count, speaker=who) for count, who in spoken])
    lengths = here.forms.length
    for n in range(here.size):
        own = lengths[here.speaker == here.speaker[n]]
        share = (np.count_nonzero(own < lengths[n]) + np.count_nonzero(own == lengths[n]) / 2) / len(own)
        assert here.shares[0, n] == pytest.approx(share, abs=1e-6)


def test_a_chat_is_short_turns_of_two():
    short, long = "hello there friend", "word " * 60
    assert told([turn(short), turn(short, speaker="Bob")]).chat == 1
    assert told([turn(short), turn(short)]).chat == 0
    assert told([turn(long), turn(long, speaker="Bob")]).chat == 0
    between = told([turn("", words=["x"] * 45), turn("", words=["x"] * 45, speaker="Bob")])
    assert between.chat == pytest.approx(0.5)


def test_the_same_arrays_are_worked_out_once():
    cache, here = SaidCache(), chat(30)
    allowed, same = mask(30), mask(30)
    first = cache.of(here, allowed)
    assert cache.of(here, allowed) is first
    assert cache.of(here, same) is not first  # equal is not the same
    assert cache.of(chat(30), allowed) is not first
    assert cache.of(here, allowed) is first


def test_arrays_that_may_change_are_not_kept():
    cache, here, allowed = SaidCache(), chat(30), np.ones(30, dtype=bool)
    assert cache.of(here, allowed).size == 30
    allowed[:10] = False
    assert cache.of(here, allowed).size == 20


def test_the_oldest_go_where_there_is_no_room():
    cache, blocks, allowed = SaidCache(most=70), [chat(30, seed=n) for n in range(3)], mask(30)
    first, second = (cache.of(here, allowed) for here in blocks[:2])
    assert cache.of(blocks[0], allowed) is first  # asked of late
    cache.of(blocks[2], allowed)
    assert cache.of(blocks[0], allowed) is first
    assert cache.of(blocks[1], allowed) is not second
    large, none = SaidCache(most=10), mask(30)
    assert large.of(blocks[0], none) is large.of(blocks[0], none)  # the last one stays, however large


def test_what_nobody_can_ask_for_again_goes():
    cache, allowed, made = SaidCache(), mask(30), []
    for n in range(5):  # snapshots, each in the place of the one before
        here = chat(30, seed=n)
        made.append(ref(cache.of(here, allowed).places))
    assert [one() is None for one in made] == [True] * 4 + [False]
    other, none = ref(cache.of(here, mask(30)).places), cache.of(chat(5), mask(5))  # its mask is gone at once
    assert none.size == 5
    assert other() is None
    assert made[-1]() is cache.of(here, allowed).places


def test_another_array_at_the_same_address_is_another():
    cache, here = SaidCache(), chat(30)
    cache._gone = deque(maxlen=0)  # as if nobody had told of the end yet
    for n in range(50):  # as soon as one mask is gone, the next one may lie where it lay
        assert cache.of(here, mask(30, range(n % 7))).size == 30 - n % 7


def test_threads_see_what_one_sees():
    cache, blocks, allowed = SaidCache(most=100), [chat(20 + n, seed=n) for n in range(8)], {}
    right = [said(here, allowed.setdefault(n, mask(here.size))).places.tolist() for n, here in enumerate(blocks)]

    def ask(n):
        return cache.of(blocks[n % 8], allowed[n % 8]).places.tolist()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(400))) == [right[n % 8] for n in range(400)]


def test_an_empty_block_has_no_order():
    assert said(block([]), np.zeros(0, dtype=bool)).size == 0
