"""How a text is put: each byte by example, and any text at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from memshadow.models import form as module
from memshadow.models.form import BYTES, FLAGS, LOOKED_AT, Forms, form


def octet(name: str, text: str) -> int:
    return form(text) >> 8 * BYTES.index(name) & 255


def flags(text: str, *, image: bool = False) -> set[str]:
    last = form(text, image=image) >> 56
    return {name for bit, name in enumerate(FLAGS) if last >> bit & 1}


def words(text: str) -> int:
    return round(float(Forms.unpacked(np.array([form(text)], dtype=np.uint64)).length[0]))


def share(text: str, name: str) -> float:
    return float(getattr(Forms.unpacked(np.array([form(text)], dtype=np.uint64)), name)[0])


@pytest.mark.parametrize("text", ["", " \n\t", "🎉🐶", "-- ,", "\ud83d \udc00"])
def test_a_text_without_words_and_marks_is_zero(text: str) -> None:
    assert form(text) == 0
    assert flags(text, image=True) == {"image"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Hi", 1),
        ("I'm sure we’d go", 4),
        ("snake_case costs 1,000.50 euros at 10:30", 6),
        ("wait... what?!", 2),
        ("猫", 1),
        ("我喜欢徒步", 3),
        ("I like 徒步旅行 a lot", 6),
        ("สวัสดีครับ", 5),
        ("안녕하세요 여러분", 2),
        ("हिन्दी में लिखा", 3),
        ("e\u0301te\u0301 ici", 2),
        ("look at https://example.org/a?b=c#d now", 3),
    ],
)
def test_words_are_counted(text: str, count: int) -> None:
    assert words(text) == count


def test_the_length_is_a_logarithm() -> None:
    assert octet("length", "a") == round(24 * np.log(2))
    assert octet("length", "a " * 99) == round(24 * np.log(100))
    for count in (1, 2, 5, 17, 60, 300, 9_000):
        assert abs(share("a " * count, "length") - count) < 0.022 * (count + 1)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Where is it?", 1),
        ("I know. Do you?", 8 / 15),
        ("Really?! Yes.", 8 / 13),
        ("Is it 3.5 miles? Far!", 16 / 21),
        ("どこですか？はい。", 6 / 9),
        ("أين أنت؟", 1),
        ("Πού είσαι;", 0),
        ("Not at all.", 0),
        ("one\ntwo?", 0.5),
        ("see https://example.org/?a=b", 0),
    ],
)
def test_the_share_of_questions(text: str, asked: float) -> None:
    assert octet("asking", text) == round(255 * asked)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("i went there", 1),
        ("I’m not going to say what I'VE seen there", 8 / 9),
        ("one two three four five six seven eight ours", 4 / 9),
        ("they went to the US", 0),
        ("", 0),
    ],
)
def test_first_person_words(text: str, found: float) -> None:
    assert octet("first_person", text) == round(255 * found)


@pytest.mark.parametrize(
    ("text", "found"), [("Wow! THANKS", 1), ("oh that took a few more hours than planned", 4 / 9), ("a dog", 0)]
)
def test_phatic_words(text: str, found: float) -> None:
    assert octet("phatic", text) == round(255 * found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("two dogs, a DOZEN cats and 3 hens", 3),
        ("at 10:30 for 1,000.50 on 2023-05-08", 5),
        ("the 5th of covid19", 2),
        ("Half of it, Once", 2),
        ("٣ كتب", 1),
        ("2023年5月8日", 3),
        ("none", 0),
        ("7 " * 300, 255),
    ],
)
def test_numbers(text: str, count: int) -> None:
    assert octet("numbers", text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Last week on Friday", 3),
        ("on 8 May, 2023", 2),
        ("it happened in May", 1),
        ("May I? You may. may5", 0),
        ("May 5th", 1),
        ("yesterday's news of the 1990s and 2023's", 3),
        ("in 1899, 2100 and 12023", 0),
        ("TOMORROW", 1),
        ("2023年5月8日", 1),
        ("a dog", 0),
    ],
)
def test_dates(text: str, count: int) -> None:
    assert octet("dates", text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Then Ann and I'm told Bob met We", 2),
        ("Ann left. Bob stayed! Cy? Dan", 0),
        ("“Go” said Élodie to NASA", 2),
        ("he lives in Berlin… Or so", 1),
        ("first line\nSecond line of Ann", 1),
        ("version 3.5 of Windows", 1),
        ("Nothing here", 0),
    ],
)
def test_names(text: str, count: int) -> None:
    assert octet("names", text) == count


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a dog", set()),
        ("Is it? Yes.", {"holds_question"}),
        ("Is it? 😊", {"holds_question", "ends_question"}),
        ('Is it?!" 🎉 !', {"holds_question", "ends_question", "exclamation"}),
        ("本当？", {"holds_question", "ends_question"}),
        ("本当？はい", {"holds_question"}),
        ("so 太好了！", {"exclamation"}),
        ('she said "no" to it', {"quotation"}),
        ("she said “no” to it", {"quotation"}),
        ('12" wide ”no“', set()),
        ("Stop! it", set()),
        ("... Wow, a dog", {"begins_phatic"}),
        ("a wow", set()),
        ("have you seen www.example.org/x?", {"holds_question", "ends_question", "address"}),
        ("HTTPS://EXAMPLE.ORG?q=1", {"address"}),
        ("one\ntwo", {"lines"}),
        (" one \n", set()),
    ],
)
def test_flags(text: str, held: set[str]) -> None:
    assert flags(text) == held
    assert flags(text, image=True) == held | {"image"}


def test_the_layout_is_fixed() -> None:
    """Change ``VERSION`` of form.py together with this value, and with it that of the index's files."""
    text = 'Thanks! I saw "two" dogs with Ann last May 5th.\nSee www.example.org, did you?'
    packed = form(text, image=True)
    assert list(packed.to_bytes(8, "little")) == [63, 61, 78, 78, 2, 2, 2, 0b11101111]
    assert module.VERSION == 1


odd_texts = st.text(st.characters() | st.sampled_from("\ud800\udfff?!.'’\"“”\n 1aAIİßé漢ーกاе́😊"), max_size=80)


@given(odd_texts, st.booleans())
def test_any_text_has_a_form(text: str, image: bool) -> None:
    packed = form(text, image=image)
    assert 0 <= packed < 2**64
    assert packed == form(text, image=image)
    shown = Forms.unpacked(np.array([packed], dtype=np.uint64))
    assert all(np.isfinite(array).all() and (array >= 0).all() for array in shown)
    assert max(shown.asking[0], shown.first_person[0], shown.phatic[0]) <= 1
    assert shown.ends_question <= shown.holds_question
    assert shown.image[0] == image
    assert bool(text.split()) or not packed >> 8 * 7 & 0b11111011


@pytest.mark.parametrize(
    "piece", [".", "?", "“", '"', "a", "a'", "1.", "1,", "http://", "www.?", "漢", "ก", "a? ", "\n"]
)
def test_a_long_text_is_looked_at_in_part(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert form(text) == form(text[:LOOKED_AT])


def test_many_are_unpacked_at_once() -> None:
    packed = np.array([form("Wow! I saw 2 dogs."), 0, 2**64 - 1], dtype=np.uint64)
    shown = Forms.unpacked(packed)
    assert shown._fields == (*BYTES[:-1], *FLAGS)
    assert all(array.dtype == np.float32 and array.shape == (3,) for array in shown)
    assert [float(array[1]) for array in shown] == [0.0] * 15
    assert [float(array[2]) for array in shown[1:]] == [1.0] * 3 + [255.0] * 3 + [1.0] * 8
    assert shown.numbers.tolist()[0] == 1
    assert shown.begins_phatic.tolist() == [1, 0, 1]
    assert shown.exclamation.tolist() == [0, 0, 1]
    assert Forms.unpacked(packed[::-1]).begins_phatic.tolist() == [1, 0, 1]
    assert Forms.unpacked(packed[::2]).names.tolist() == [0, 255]
    assert Forms.unpacked(packed[:0]).length.shape == (0,)
    assert Forms.unpacked(packed.astype(">u8")).numbers.tolist() == shown.numbers.tolist()
