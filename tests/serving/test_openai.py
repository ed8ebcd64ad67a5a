"""OpenAI's own client speaks to ``/v1/embeddings`` as it does to OpenAI."""

import os
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from memshadow.memory.counting import FileCounter
from memshadow.memory.service import Memory

TEXTS = ["I moved to Lisbon", "unbelievably, the dog sings", "tea 🍵"]


@pytest.fixture(scope="module")
def openai() -> Any:
    try:
        import openai
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("the package openai is not installed: that its client is understood was NOT tested")
    return openai


@pytest.fixture
def memory(make: Any) -> Memory:
    memory: Memory = make(counter=FileCounter(model="minilm"))
    return memory


@pytest.fixture
def asking(openai: Any, url: str, token: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_vectors_are_what_the_memory_is_searched_with(asking: Any, memory: Memory, form: dict[str, str]) -> None:
    told = asking.embeddings.create(model="any", input=TEXTS, extra_body={"input_type": "query"}, **form)
    found = np.stack([_row(one.embedding) for one in told.data])
    np.testing.assert_array_equal(found, memory.embedder.embed_queries(TEXTS))
    assert [one.index for one in told.data] == [0, 1, 2]
    assert told.model == memory.embedder.name


def _row(embedding: Any) -> Any:
    """Return the numbers: asked for base64, the client hands on the text."""
    if isinstance(embedding, str):
        return np.frombuffer(b64decode(embedding), "<f4")
    return np.array(embedding, dtype=np.float32)


def test_usage_counts_the_tokens_of_the_services_tokenizer(asking: Any, memory: Memory) -> None:
    told = asking.embeddings.create(model="any", input=TEXTS)
    assert told.usage.prompt_tokens == told.usage.total_tokens == sum(memory.counter.count(text) for text in TEXTS)
    assert told.usage.prompt_tokens > sum(len(text.split()) for text in TEXTS)  # pieces, not words
    one = asking.embeddings.create(model="any", input="tea")
    assert (len(one.data), one.usage.prompt_tokens) == (1, 1)


def test_its_errors_are_raised_as_its_own(openai: Any, asking: Any, url: str) -> None:
    for wrong, says in (({"input": "tea", "dimensions": 3}, "makes 256"), ({"input": []}, "0 texts came")):
        with pytest.raises(openai.UnprocessableEntityError) as refusal:
            asking.embeddings.create(model="any", **wrong)
        assert says in refusal.value.body["detail"]
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.embeddings.create(model="any", input="tea")
