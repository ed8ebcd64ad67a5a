"""How a text is put, in eight bytes: long or short, asking or telling, of oneself, with dates. Knows no meaning.

Worked out once, when a text is taken in, so that a ranker reads numbers and no texts. The lists of words are English: a
text in another language has its length, its marks, its digits and its capitals. All of it is counting, in one pass or
two over the first ``LOOKED_AT`` characters of a text; what stands behind them counts for nothing.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt64
from numpy import ndarray

VERSION: int = 1
"""Of what the bytes mean. Whoever raises it must see to it that columns that were kept are made again."""
LOOKED_AT = 20_000
"""So many characters of a text count."""
BYTES = ("length", "asking", "first_person", "phatic", "numbers", "dates", "names", "flags")
"""From the lowest byte up."""
FLAGS = tuple("holds_question ends_question image quotation exclamation begins_phatic address lines".split())
"""The bits of the last byte, from the lowest up."""

_SELF_WORDS = """
i i'm i've i'd i'll im ive me my mine myself we we're we've we'd we'll us our ours ourselves
"""
_PHATIC_WORDS = """
thanks thank thankyou thx ty cheers welcome wow whoa woah yay hooray awesome great cool nice amazing fantastic wonderful
lovely excellent perfect brilliant incredible impressive congrats congratulations kudos bravo glad sure yeah yep yup yes
ok okay alright absolutely totally definitely exactly indeed haha hahaha hehe lol aww aw oh ooh ah hmm mhm sounds hi hey
hiya hello howdy greetings bye goodbye goodnight
"""
_NUMBER_WORDS = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million dozen couple half once twice
first second third
"""
_DATE_WORDS = """
january february march april june july august september october november december monday tuesday wednesday thursday
friday saturday sunday yesterday today tomorrow tonight ago last next since day days week weeks weekend weekends month
months year years morning mornings afternoon afternoons evening evenings night nights summer summers winter winters
spring autumn fall
"""
_SELF, _PHATIC, _NUMBER, _DATE, _MAY = range(1, 6)
_KINDS = {
    written: kind
    for kind, words in enumerate((_SELF_WORDS, _PHATIC_WORDS, _NUMBER_WORDS, _DATE_WORDS, "may"), start=1)
    for word in words.split()
    for said in ((word, word + "'s") if kind == _DATE else (word,))
    for written in (said, said.capitalize(), said.upper())
}
"""Every word in the three ways in which it is written: looking up is all that is done to a token."""
del _KINDS["US"]  # a country

_MARKS = ".!?…。！？؟۔।\n"
_ASCII = "A-Za-z0-9_"
# Letters, digits, and the accents and vowel signs that scripts write as characters of their own.
_LETTERS = "\\w\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0970-\u0dff"
# A word, or a mark with all that stands between it and the next word.
_TOKEN = rf"[{{0}}]++(?:'[{{0}}]++|(?<=\d)[.,:]\d[{{0}}]*+)*+|[{_MARKS}][^{{0}}]*+"
_TOKENS, _ASCII_TOKENS = (re.compile(_TOKEN.format(letters)) for letters in (_LETTERS, _ASCII))  # the second is faster
_END = re.compile(rf"[{_MARKS}][{_MARKS}]*+(?!(?<=\d\.)\d)")
_DIGIT = re.compile(r"\d")
_YEAR = re.compile(r"(?:19|20)\d\d(?:'?s)?")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S*[^\s.,;:!?…)\]\"'”]", re.IGNORECASE)
# Scripts that put no space between words: kana, Han, Thai, Lao, Burmese, Khmer (their digits are not among these).
_UNSPACED = re.compile(
    "[\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff\u0e01-\u0e4e\u0e81-\u0ecd\u1000-\u103f\u1780-\u17d3]+"
)

_LENGTHS = np.expm1(np.arange(256) / 24).astype(np.float32)
_BITS = (1 << np.arange(8, dtype=np.uint8))[:, None]


def form(text: str, *, image: bool = False) -> int:
    """Return how a text is put, as eight bytes in an unsigned 64-bit number, the lowest first (see ``BYTES``).

    A word is a run of letters and digits with the apostrophes inside it, or two characters of a script without spaces.
    A sentence ends at a run of ``. ! ? …``, their like in other scripts, or a line's end, also behind an abbreviation;
    a dot between digits belongs to the number. Web addresses (``http://``, ``https://``, ``www.``) are set aside first.

    0. ``length``: 24 ln(1 + words), at most 255.
    1. ``asking``: the share of the characters in sentences whose end holds a question mark (``? ？ ؟``), of 255.
    2. ``first_person``: four times the share of the words that mean the speaker, at most 1, of 255.
    3. ``phatic``: the same for greetings, thanks, cheers and other words that keep a talk going.
    4. ``numbers``: how many tokens hold a digit or are a number's name, at most 255.
    5. ``dates``: how many words speak of time (days, months, seasons, ``ago``, ``last``, years from 1900 to 2099);
       ``may`` only beside a digit, or with a capital inside a sentence.
    6. ``names``: how many words have a capital without beginning a sentence or being first person, at most 255.
    7. ``flags``: see ``FLAGS``. A text ends with a mark (``?``, ``!``) that no word follows: a quote or an emoji may. A
       quotation stands between ``"`` and ``"`` or ``“`` and ``”``; ``lines``: there is more than one.

    A text without words and marks and no image gives 0, which an index also keeps where nothing is known.
    """
    said = _Said.read(text[:LOOKED_AT].replace("’", "'").strip())
    numerals = [token for place in said.odd if not (token := said.tokens[place]).isalpha() and _DIGIT.search(token)]
    dates = said.kinds.count(_DATE) + len(list(filter(_YEAR.fullmatch, numerals)))
    octets = (
        min(255, round(24 * math.log1p(said.words))),
        _asking(said.text),
        _scaled(said.kinds.count(_SELF), said.words),
        _scaled(said.kinds.count(_PHATIC), said.words),
        min(255, said.kinds.count(_NUMBER) + len(numerals)),
        min(255, dates + (_mays(said) if _MAY in said.kinds else 0)),
        min(255, _names(said)),
        _flags(said, image=image),
    )
    return int.from_bytes(octets, "little")


class _Said(NamedTuple):
    """A text taken apart. Tokens are words and marks, no two marks side by side."""

    text: str
    """Without addresses."""
    tokens: list[str]
    kinds: list[int]
    """Of the words that have one."""
    odd: list[int]
    """The places of the tokens that are not lower-case letters alone."""
    ends: set[int]
    """The places of marks."""
    words: int
    address: bool

    @classmethod
    def read(cls, text: str) -> _Said:
        bare = _ADDRESS.sub(" ", text) if "://" in text or "www." in text else text
        if bare.isascii():
            tokens, more = _ASCII_TOKENS.findall(bare), 0
        else:
            spaced, more = _spaced(bare)
            tokens = _TOKENS.findall(spaced)
        kinds = list(filter(None, map(_KINDS.get, tokens)))
        odd = [place for place, token in enumerate(tokens) if not (token.islower() and token.isalpha())]
        ends = {place for place in odd if tokens[place][0] in _MARKS}
        return cls(bare, tokens, kinds, odd, ends, len(tokens) - len(ends) + more, bare != text)


def _spaced(text: str) -> tuple[str, int]:
    """Return a text with one token in the place of each unspaced run, and how many words such runs hold beyond one."""
    runs = _UNSPACED.findall(text)
    return _UNSPACED.sub(" 一 ", text) if runs else text, sum((len(run) - 1) // 2 for run in runs)


def _asks(text: str) -> bool:
    return "?" in text or "？" in text or "؟" in text


def _asking(text: str) -> int:
    """Return the share, of 255, of the characters that stand in sentences ending with a question mark."""
    if not _asks(text):
        return 0
    asked = start = 0
    for end in _END.finditer(text):
        if _asks(end[0]):
            asked += end.end() - start
        start = end.end()
    return round(255 * asked / len(text))


def _scaled(found: int, count: int) -> int:
    return round(255 * min(1.0, 4 * found / count)) if found else 0


def _mays(said: _Said) -> int:
    """Return how often ``may`` is the month: beside a digit, or with a capital inside a sentence."""
    places = [place for place, token in enumerate(said.tokens) if _KINDS.get(token) == _MAY]
    capital = [said.tokens[place][0] == "M" and place > 0 and place - 1 not in said.ends for place in places]
    dated = [any(map(_DIGIT.search, said.tokens[max(0, place - 1) : place + 2])) for place in places]
    return sum(map(max, capital, dated))


def _names(said: _Said) -> int:
    """Return how many words have a capital, do not begin a sentence and do not mean the speaker."""
    inside = [said.tokens[place] for place in said.odd if place and place - 1 not in said.ends]
    return sum(token[0].isupper() and _KINDS.get(token) != _SELF for token in inside)


def _quotes(text: str) -> bool:
    return text.count('"') > 1 or 0 <= text.find("“") < text.rfind("”")


def _flags(said: _Said, *, image: bool) -> int:
    final = len(said.tokens) - 1
    closing = said.tokens[final] if final in said.ends else ""
    begins = said.tokens[0 in said.ends] if len(said.ends) <= final else ""
    return (
        _asks(said.text)
        | _asks(closing) << 1
        | image << 2
        | _quotes(said.text) << 3
        | ("!" in closing or "！" in closing) << 4
        | (_KINDS.get(begins) == _PHATIC) << 5
        | said.address << 6
        | ("\n" in said.text) << 7
    )


class Forms(NamedTuple):
    """What ``form`` counted, of many texts, one float32 array a number; flags are 0 or 1.

    ``length`` is in words, as near as a byte keeps it: within 2.2 % of words + 1. ``asking`` is a share in [0, 1],
    ``first_person`` and ``phatic`` four times a share, at most 1; ``numbers``, ``dates``, ``names`` are counts to 255.
    """

    length: Float32[ndarray, " n"]
    asking: Float32[ndarray, " n"]
    first_person: Float32[ndarray, " n"]
    phatic: Float32[ndarray, " n"]
    numbers: Float32[ndarray, " n"]
    dates: Float32[ndarray, " n"]
    names: Float32[ndarray, " n"]
    holds_question: Float32[ndarray, " n"]
    ends_question: Float32[ndarray, " n"]
    image: Float32[ndarray, " n"]
    quotation: Float32[ndarray, " n"]
    exclamation: Float32[ndarray, " n"]
    begins_phatic: Float32[ndarray, " n"]
    address: Float32[ndarray, " n"]
    lines: Float32[ndarray, " n"]

    @classmethod
    def unpacked(cls, packed: UInt64[ndarray, " n"]) -> Forms:
        """Return the numbers of packed forms; 0 gives zeros everywhere."""
        octets = np.ascontiguousarray(packed, dtype="<u8").view(np.uint8).reshape(-1, 8).T.copy()
        rows = np.empty((len(cls._fields), octets.shape[1]), dtype=np.float32)  # one array: many cost more page faults
        _LENGTHS.take(octets[0], out=rows[0], mode="clip")
        rows[1:7] = octets[1:7]
        rows[1:4] *= np.float32(1 / 255)
        rows[7:] = octets[7] & _BITS != 0
        return cls(*rows)
