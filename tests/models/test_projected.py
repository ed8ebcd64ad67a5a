"""The trained embedder's rows: what they score, how they fold, what they are made of, and how they are kept."""

from dataclasses import replace

import numpy as np
import pytest

from memshadow.errors import CheckpointError, ConfigError
from memshadow.models.base import Embedder
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.lexical import TermStatistics, hashed, saturated, terms
from memshadow.models.projected import ProjectedEmbedder, Projection, ViewMaker, ViewSettings, write_projection
from memshadow.types import Memory, Passage, Turn, in_context

VIEWS = {
    "before": 2, "after": 1, "context_chars": 40, "k1": 0.9, "b": 0.4, "mean_length": 6.0, "copies": 4, "width": 128,
}  # fmt: skip
SETTINGS = ViewSettings(**VIEWS)
DENSE = 8
SAID = [
    ("Ann", "I went to a pottery class"),
    ("Bo", "How much was the class?"),
    ("Ann", "Forty dollars, the wheel included"),
    ("Bo", " "),
    ("Ann", "My dog ran off into the hills"),
    ("Bo", "Oh no! Is the dog back?"),
    ("Ann", "Back since Sunday, and hungry; she had eaten nothing for days and days on end"),
]
ASKED = ["What did the pottery class cost?", "Where did Ann's dog go?"]


class Encoder(HashingEmbedder):
    """A tiny encoder that counts what it is asked."""

    def __init__(self, dim=DENSE, copies=2):
        super().__init__(dim=dim, k1=0.9, b=0.4, mean_length=6.0, copies=copies)
        self.read = []

    def embed_passages(self, passages):
        self.read += [passage.text for passage in passages]
        return super().embed_passages(passages)


def passages(said=SAID, before=4, after=3):
    memories = [
        Memory(id=str(i), conversation_id="c", session_id="s", turn=i, speaker=speaker, text=text)
        for i, (speaker, text) in enumerate(said)
    ]
    return in_context(memories, before=before, after=after)


def untrained(dim=DENSE + 128, encoder=None, parts="both", **views):
    return ProjectedEmbedder(encoder=encoder or Encoder(), model=None, dim=dim, views=VIEWS | views, parts=parts)


def random_weights(seed=0, settings=SETTINGS):
    rng = np.random.default_rng(seed)
    shapes = {"query": (DENSE, DENSE), "turn": (DENSE, DENSE), "context": (DENSE, DENSE)}
    lags = len(settings.lags)
    shapes |= {"dense_lags": (lags,), "word_lags": (lags,), "scales": (4,)}
    return Projection(**{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


KNOWN = TermStatistics.of(terms(text) for _, text in SAID)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("projected")
    write_projection(folder, random_weights(), SETTINGS, KNOWN, Encoder())
    return folder


def trained(model, dim=DENSE + 128, encoder=None, parts="both"):
    return ProjectedEmbedder(encoder=encoder or Encoder(), model=str(model), dim=dim, views={}, parts=parts)


@pytest.fixture(params=["untrained", "trained"])
def embedder(request, model):
    return untrained() if request.param == "untrained" else trained(model)


def test_it_is_an_embedder(embedder):
    assert isinstance(embedder, Embedder)
    assert (embedder.name, embedder.dim, embedder.reach) == ("projected-136", 136, (2, 1))


def test_nothing_gives_no_rows(embedder):
    assert embedder.embed_passages([]).shape == embedder.embed_queries([]).shape == (0, 136)


def test_order_is_kept_and_batch_mates_change_nothing(embedder):
    near = passages()
    rows, asked = embedder.embed_passages(near), embedder.embed_queries(ASKED, statistics=KNOWN)
    assert rows.dtype == asked.dtype == np.float32
    np.testing.assert_allclose(embedder.embed_passages(near[::-1])[::-1], rows, atol=1e-5)
    np.testing.assert_allclose(np.vstack([embedder.embed_passages([p]) for p in near]), rows, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_queries(ASKED[1:], statistics=KNOWN), asked[1:], atol=1e-6)


def test_a_blank_passage_is_zero_though_its_neighbours_speak(embedder):
    rows = embedder.embed_passages(passages())
    assert [i for i, row in enumerate(rows) if not row.any()] == [3]
    assert not embedder.embed_queries(["", " \n", "\u3000"]).any()


@pytest.mark.parametrize(
    "text", ["\ud83d lone \udc00", "🎉", "漢字かな", "مرحبا", "\x00", "word " * 20_000, "a" * 100_000]
)
def test_any_text_gives_a_finite_row(embedder, text):
    told = Passage(text=text, speaker=text[:50], before=(Turn(text=text),), after=(Turn(text=text),))
    assert np.isfinite(embedder.embed_passages([told])).all()
    assert np.isfinite(embedder.embed_queries([text])).all()


def dense_of(text):
    return Encoder().embed_passages([Passage(text=text)])[0]


def words_of(text, width=128):
    counts = {term: terms(text).count(term) for term in terms(text)}
    return hashed(saturated(counts, mean_length=6.0, k1=0.9, b=0.4), width, copies=4)


def by_hand(p, said, i, question, width=128):
    """The score of one passage for one question, from the formula in the module's docstring."""
    if not said[i][1].strip():
        return 0.0
    dense, words = np.zeros(DENSE), np.zeros(width)
    for column, lag in enumerate((-2, -1, 0, 1)):
        if 0 <= i + lag < len(said) and said[i + lag][1].strip():
            speaker, text = said[i + lag]
            dense += p.dense_lags[column] * dense_of(f"{speaker}: {text}")
            words += p.word_lags[column] * words_of(text, width)
    own = f"{said[i][0]}: {said[i][1]}"
    before = f"{said[i - 1][0]}: {said[i - 1][1]}"[-40:]
    context = dense_of(f"{before}\n{own}" if i and len(own) <= 40 else own)
    stored = p.turn @ dense + p.scales[0] * (p.context @ context)
    name = hashed(dict.fromkeys(terms(said[i][0]), 1.0), width, copies=4)
    idf = {term: terms(question).count(term) * KNOWN.idf(term) for term in terms(question)}
    asked = Encoder().embed_queries([question])[0]
    meaning = p.scales[2] * (p.query @ asked) @ stored
    return meaning + p.scales[3] * hashed(idf, width, copies=4) @ (words + p.scales[1] * name)


def test_the_product_is_the_formula(model):
    embedder = trained(model)
    scores = embedder.embed_queries(ASKED, statistics=KNOWN) @ embedder.embed_passages(passages()).T
    expected = [[by_hand(random_weights(), SAID, i, question) for i in range(len(SAID))] for question in ASKED]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [64, 32, 16, 0])
def test_a_narrower_one_keeps_the_dense_block_and_folds_the_other(model, width):
    wide, narrow = trained(model), trained(model, dim=DENSE + width)
    rows = narrow.embed_passages(passages())
    assert rows.shape == (len(SAID), DENSE + width)
    np.testing.assert_array_equal(rows[:, :DENSE], wide.embed_passages(passages())[:, :DENSE])
    if width:
        scores = narrow.embed_queries(ASKED, statistics=KNOWN) @ rows.T
        expected = [[by_hand(random_weights(), SAID, i, q, width) for i in range(len(SAID))] for q in ASKED]
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_the_shipped_widths_score_alike_in_the_dense_block():
    encoder = Encoder(dim=384)
    asked = near = None
    for dim in (2048, 1216, 800, 592, 384):
        embedder = untrained(dim=dim, encoder=encoder, width=1664)
        asked_now = embedder.embed_queries(ASKED)[:, :384]
        near_now = embedder.embed_passages(passages())[:, :384]
        if asked is not None:
            np.testing.assert_array_equal(asked_now @ near_now.T, asked @ near.T)
        asked, near = asked_now, near_now


@pytest.mark.parametrize("dim", [0, DENSE - 1, DENSE + 127, DENSE + 256, 2048])
def test_a_width_that_it_does_not_fold_to_is_refused_with_those_it_does(model, dim):
    for make in (lambda: untrained(dim=dim), lambda: trained(model, dim=dim)):
        with pytest.raises(ConfigError, match=rf"dim={dim} is no width .* it folds to 136, 72, 40, 24, 8$"):
            make()


def test_a_model_without_a_lexical_block_has_one_width():
    assert untrained(dim=DENSE, width=0).embed_passages(passages()).shape == (len(SAID), DENSE)
    with pytest.raises(ConfigError, match=r"it folds to 8$"):
        untrained(dim=DENSE + 16, width=0)


@pytest.mark.parametrize(
    "wrong", [{"before": -1}, {"after": -1}, {"context_chars": -1}, {"width": -8}, {"copies": 0}, {"copies": 17}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        untrained(**wrong)


def test_parts_are_the_blocks_of_the_whole(model):
    with pytest.raises(ConfigError, match="parts='words'; choose both, dense or lexical"):
        untrained(parts="words")
    both, dense, lexical = (trained(model, parts=parts) for parts in ("both", "dense", "lexical"))
    for side in (lambda e: e.embed_passages(passages()), lambda e: e.embed_queries(ASKED)):
        np.testing.assert_array_equal(side(dense) + side(lexical), side(both))
        assert not side(dense)[:, DENSE:].any()
        assert not side(lexical)[:, :DENSE].any()
    assert len({both.fingerprint, dense.fingerprint, lexical.fingerprint}) == 3


def test_what_follows_changes_only_the_rows_before_it():
    embedder = untrained()
    before, after = embedder.embed_passages(passages(SAID[:-1])), embedder.embed_passages(passages())
    changed = [i for i, (one, other) in enumerate(zip(before, after, strict=False)) if not np.array_equal(one, other)]
    assert changed == [len(SAID) - 2]


def test_turns_out_of_reach_are_not_read():
    embedder = untrained()
    near, far = passages(before=2, after=1), passages(before=9, after=9)
    np.testing.assert_array_equal(embedder.embed_passages(near), embedder.embed_passages(far))


def test_missing_and_blank_neighbours_add_nothing_to_the_mixed_views():
    embedder = untrained(context_chars=0)
    alone = Passage(text="My dog ran off", speaker="Ann")
    among = replace(alone, before=(Turn(text=" ", speaker="Bo"),), after=(Turn(text="", speaker="Bo"),))
    np.testing.assert_array_equal(embedder.embed_passages([alone]), embedder.embed_passages([among]))


def test_the_joint_view_reads_the_end_of_the_previous_turn_of_a_short_one_only():
    encoder = Encoder()
    maker = ViewMaker(encoder, SETTINGS)
    earlier = Turn(text="x" * 100 + " the end", speaker="Bo")
    maker.views([Passage(text="Yes!", speaker="Ann", before=(earlier,))])
    (joint,) = (text for text in encoder.read if "\n" in text)
    before, _, own = joint.partition("\n")
    assert own == "Ann: Yes!"
    assert (len(before), before[-8:]) == (40, " the end")
    encoder.read.clear()
    maker.views([Passage(text="a turn of more than forty characters, by itself", before=(earlier,))])
    assert not any("\n" in text for text in encoder.read)


def test_a_turn_is_encoded_once_and_forgotten_in_the_end():
    encoder = Encoder()
    maker = ViewMaker(encoder, replace(SETTINGS, context_chars=0), remembered_turns=4)
    said = [(f"speaker{i}", f"text{i}") for i in range(9)]
    first = maker.views(passages(said))
    assert len(encoder.read) == 9
    maker.views(passages(said)[6:])
    assert encoder.read[9:] == ["speaker4: text4"]  # it stands two before turn 6; the others are the last four
    np.testing.assert_array_equal(maker.views(passages(said)).turns, first.turns)


def test_what_is_written_gives_the_same_rows_again(model, tmp_path):
    one = trained(model)
    fingerprint = write_projection(tmp_path, random_weights(), SETTINGS, KNOWN, Encoder())
    other = trained(tmp_path)
    assert (one.trained, one.fingerprint) == (True, other.fingerprint)
    assert fingerprint in one.fingerprint
    np.testing.assert_array_equal(one.embed_passages(passages()), other.embed_passages(passages()))
    np.testing.assert_array_equal(one.embed_queries(ASKED), other.embed_queries(ASKED))
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_a_query_without_a_scope_takes_idf_from_the_training_corpus(model):
    embedder = trained(model)
    np.testing.assert_array_equal(embedder.embed_queries(ASKED), embedder.embed_queries(ASKED, statistics=KNOWN))
    other = embedder.embed_queries(ASKED, statistics=TermStatistics.of([["dog"]] * 9))
    assert not np.array_equal(embedder.embed_queries(ASKED), other)


def test_another_encoder_is_refused(model):
    with pytest.raises(
        CheckpointError, match=r"was trained on the encoder hashing-8 .*\. Choose that encoder, or train"
    ):
        trained(model, encoder=Encoder(copies=3))


def test_another_kind_of_model_is_refused(tmp_path):
    from memshadow.models.checkpoint import write_model

    write_model(tmp_path, kind="transformer", settings={}, tensors={"a": np.zeros(1)})
    with pytest.raises(CheckpointError, match="holds a 'transformer' model; needed: 'projected'"):
        trained(tmp_path)


@pytest.mark.parametrize("change", [{"k1": 1.0}, {"before": 1}, {"context_chars": 7}, {"copies": 3}])
def test_settings_that_change_rows_change_the_fingerprint(change):
    assert untrained(**change).fingerprint != untrained().fingerprint


def test_weights_that_change_rows_change_the_fingerprint(model, tmp_path):
    write_projection(tmp_path, random_weights(seed=1), SETTINGS, KNOWN, Encoder())
    prints = {trained(model).fingerprint, trained(tmp_path).fingerprint, trained(model, dim=DENSE + 64).fingerprint}
    assert len(prints) == 3
