"""A BERT of two layers with random weights, small enough for every law to be tried on it."""

import json
import string
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

DIM, INNER, LAYERS, HEADS, POSITIONS = 32, 64, 2, 4, 64
WORDS = "the a cat dog went to a hike mountain with pottery class and child love last week".split()


def write_tokenizer(folder: Path) -> int:
    """Write a WordPiece tokenizer that knows letters and some words; return the size of its vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = list(string.ascii_lowercase + string.digits)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters), ".", ",", *WORDS]
    vocabulary = {name: i for i, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def write_bert(folder: Path, *, seed: int = 0) -> Path:
    """Write a small random encoder in the usual form."""
    rng = np.random.default_rng(seed)
    size = write_tokenizer(folder)
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": DIM,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "vocab_size": size,
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}

    def linear(name, into, out):
        tensors[f"{name}.weight"] = rng.normal(0, 0.2, (out, into))
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, out)

    def norm(name):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = rng.normal(1, 0.1, DIM), rng.normal(0, 0.1, DIM)

    for name, rows in (("word", size), ("position", POSITIONS), ("token_type", 2)):
        tensors[f"embeddings.{name}_embeddings.weight"] = rng.normal(0, 1, (rows, DIM))
    norm("embeddings.LayerNorm")
    for i in range(LAYERS):
        at = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{at}.attention.self.{part}", DIM, DIM)
        linear(f"{at}.attention.output.dense", DIM, DIM)
        linear(f"{at}.intermediate.dense", DIM, INNER)
        linear(f"{at}.output.dense", INNER, DIM)
        norm(f"{at}.attention.output.LayerNorm")
        norm(f"{at}.output.LayerNorm")
    save_file({name: value.astype(np.float32) for name, value in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """The folder of a small random encoder."""
    pytest.importorskip("tokenizers")
    return write_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture
def another_bert(tmp_path) -> Path:
    """The same shape with other weights."""
    pytest.importorskip("tokenizers")
    folder = tmp_path / "another-bert"
    folder.mkdir()
    return write_bert(folder, seed=1)
