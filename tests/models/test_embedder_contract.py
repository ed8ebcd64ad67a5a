"""Every embedder under configs/embedder/ keeps the promises of ``Embedder``'s docstring. A new YAML enrols itself."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zlib import crc32

import numpy as np
import pytest
from omegaconf import OmegaConf

from memshadow.config import build, config_dir
from memshadow.errors import MissingExtraError
from memshadow.models.base import Embedder
from memshadow.models.lexical import TermStatistics, terms
from memshadow.models.pretrained import CARRIED
from memshadow.models.projected import ViewSettings, untrained, write_projection
from memshadow.types import Passage, Turn

NAMES = sorted(file.stem for file in (config_dir() / "embedder").glob("*.yaml"))
TEXTS = [
    "Caroline went to a pottery class",
    "the dog was lost in the hills",
    "what did the cat do last week?",
    "8 April 2023",
]
ODD = [
    "🎉",
    "漢字かな交じり文",
    "Привет, как дела?",
    "مرحبا بالعالم",
    "\ud83d lone \udc00",
    "\x00\x07",
    "\u200b",
    "e\u0301 é",
    "!?…",
]
BLANK = ["", " ", "\n\t\r\n", "\u3000"]
HEAD = ViewSettings(before=4, after=1, context_chars=400, k1=0.9, b=0.4, mean_length=12.0, copies=2, width=64)
LONG = "the dog went to the mountain with the child, " * 2223  # 100,035 characters
CHANGED = {
    "dim": lambda dim: dim * 2,
    "max_tokens": lambda n: n // 2,
    "max_chars": lambda n: n // 2,
    "k1": lambda k1: k1 + 0.1,
    "copies": lambda n: n + 1,
}


class _Endpoint(BaseHTTPRequestHandler):
    """Answers every text with a vector drawn from its checksum."""

    dim = 24

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        rows = [np.random.default_rng(crc32(text.encode())).normal(size=self.dim).tolist() for text in asked]
        body = json.dumps({"data": [{"index": i, "embedding": row} for i, row in enumerate(rows)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def composed(name):
    """Return a config of the folder with its ``choice@key`` defaults put in place."""
    node = OmegaConf.load(config_dir() / "embedder" / f"{name}.yaml")
    for line in node.pop("defaults", []):
        if isinstance(line, str):
            choice, _, key = line.partition("@")
        else:  # /embedder@key: choice
            ((place, choice),) = line.items()
            key = place.partition("@")[2]
        node[key] = composed(choice)
    return node


@pytest.fixture(scope="module")
def opened(tiny_bert, endpoint, tmp_path_factory):
    """Build an embedder by the name of its file, its encoder replaced by a small random one; each setting once."""
    cache, built = tmp_path_factory.mktemp("cache"), {}
    tiny_dim = json.loads((tiny_bert / "config.json").read_text())["hidden_size"]

    def shrink(node):
        if "alias" in node:  # what a title points at: a small head on the small encoder
            shrink(node.encoder)
            node.model = str(cache / "head")
            encoder = build(node.encoder)
            write_projection(cache / "head", untrained(encoder.dim, HEAD), HEAD, TermStatistics(), encoder)
        elif "encoder" in node:
            shrink(node.encoder)
            node.update({"model": None, "dim": tiny_dim + node.views.width})
        elif "embedder" in node:
            shrink(node.embedder)
        elif "model" in set(node) and (OmegaConf.is_missing(node, "model") or node.model in ("minilm", *CARRIED)):
            if not OmegaConf.is_missing(node, "model") and node.model in CARRIED:
                node.runtime = "auto"  # what is carried is a graph, the small one is weights
            node.model = str(tiny_bert)
            node.update({k: v for k, v in (("max_tokens", 64), ("batch_tokens", 2048), ("dim", 16)) if k in node})

    def open_embedder(name, **changes):
        node = composed(name)
        given = {"cache": str(cache), "url": endpoint, "dim": _Endpoint.dim} if "url" in node else {"cache": str(cache)}
        node.update({key: value for key, value in given.items() if OmegaConf.is_missing(node, key) or key in node})
        shrink(node)
        for key, change in changes.items():
            node[key] = change(node[key])
        key = OmegaConf.to_yaml(node)
        if key not in built:
            built[key] = _built(name, node)
        return built[key]

    return open_embedder


def _built(name, node):
    try:
        return build(node)
    except MissingExtraError as missing:
        if os.environ.get("CI"):
            raise
        return pytest.skip(f"embedder {name!r} needs what is not here: {missing}")


@pytest.fixture(params=NAMES)
def embedder(request, opened):
    return opened(request.param)


def passages(texts):
    return [Passage(text=text) for text in texts]


def both(embedder, texts):
    """Return what passages and what queries become."""
    return embedder.embed_passages(passages(texts)), embedder.embed_queries(texts)


def test_it_is_an_embedder(embedder):
    assert isinstance(embedder, Embedder)
    assert embedder.dim > 0
    assert embedder.name
    assert embedder.fingerprint


def test_rows_are_float32_and_finite_and_unit_where_promised(embedder):
    for rows in both(embedder, TEXTS):
        assert rows.dtype == np.float32
        assert rows.shape == (len(TEXTS), embedder.dim)
        assert np.isfinite(rows).all()
        if embedder.normalised:
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_order_is_kept_and_batch_mates_do_not_matter(embedder):
    tolerance = 2e-2 if "int8" in embedder.name or "bf16" in embedder.name else 1e-5
    for rows, turned in zip(both(embedder, [*TEXTS, *ODD]), both(embedder, [*TEXTS, *ODD][::-1]), strict=True):
        np.testing.assert_allclose(rows, turned[::-1], atol=tolerance)
    for side in (0, 1):
        alone = np.vstack([both(embedder, [text])[side] for text in TEXTS])
        np.testing.assert_allclose(both(embedder, TEXTS)[side], alone, atol=tolerance)


def test_the_same_call_gives_the_same_bits(embedder):
    for first, second in zip(both(embedder, TEXTS), both(embedder, TEXTS), strict=True):
        np.testing.assert_array_equal(first, second)


def test_nothing_gives_no_rows(embedder):
    for rows in both(embedder, []):
        assert rows.shape == (0, embedder.dim)
        assert rows.dtype == np.float32


def test_blank_text_scores_zero_against_everything(embedder):
    for rows in both(embedder, [*BLANK, TEXTS[0]]):
        assert not rows[: len(BLANK)].any()
        assert rows[len(BLANK)].any()
    told = Passage(text=" ", speaker="Ann", before=(Turn(text=TEXTS[0], speaker="Bo"),))
    assert not embedder.embed_passages([told]).any()


def test_any_string_is_accepted(embedder):
    for rows in both(embedder, ODD):
        assert np.isfinite(rows).all()
        if embedder.normalised:
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_hundred_thousand_characters_are_read_to_the_end(embedder):
    assert len(LONG) > 100_000
    rows = embedder.embed_passages(passages([LONG, LONG + "pottery class " * 2000]))
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1], atol=1e-6)


def test_statistics_may_be_given(embedder):
    rows = embedder.embed_queries(TEXTS, statistics=TermStatistics.of(map(terms, TEXTS)))
    assert rows.shape == (len(TEXTS), embedder.dim)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_changes_vectors_changes_the_fingerprint(name, opened):
    same = opened(name)
    node = composed(name)
    for key in CHANGED.keys() & set(node.keys()) - ({"dim"} if "model" in set(node) else set()):
        assert opened(name, **{key: CHANGED[key]}).fingerprint != same.fingerprint, key


def test_no_two_embedders_share_a_fingerprint(opened):
    from _pytest.outcomes import Skipped

    found = {}
    for name in NAMES:
        try:
            found[name] = opened(name)
        except Skipped:
            continue
    exact = {}
    for name, embedder in found.items():
        rows = embedder.embed_queries(TEXTS)
        for other, (print_, before) in exact.items():
            if print_ == embedder.fingerprint:
                np.testing.assert_allclose(rows, before, atol=1e-4, err_msg=f"{name} and {other}")
        exact[name] = embedder.fingerprint, rows
