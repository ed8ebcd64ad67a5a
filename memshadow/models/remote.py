"""An embedder that lives behind an OpenAI-compatible ``/v1/embeddings`` endpoint. Knows HTTP; knows no model.

The key is read from an environment variable when a request is made: it stands in no config, no fingerprint, no message.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import ConfigError, MemshadowError
from memshadow.models.chunking import joined, unit, windows
from memshadow.models.lexical import TermStatistics
from memshadow.models.reading import reading
from memshadow.models.tokens import wellformed
from memshadow.types import Passage

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 30.0


class RemoteError(MemshadowError):
    """The endpoint refused, answered something else than embeddings, or could not be reached."""


class _Passing(Exception):  # noqa: N818
    """A failure that another try may cure; ``after_s`` is what the server asked us to wait."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class _NoRedirect(HTTPRedirectHandler):
    """A redirect could carry the key to another host: refuse it."""

    def redirect_request(self, *_: Any) -> None:
        return None


class RemoteEmbedder:
    """Embeds by asking an endpoint; rows come back at norm 1.

    Args:
        url: the base (``http://host:port/v1``) or the full address ending in ``/embeddings``.
        model: the model's name as the endpoint knows it.
        dim: the width the endpoint must answer with; anything else is an error.
        key_env: name of the environment variable that holds the API key; empty for an endpoint without one.
        batch_size: texts a request.
        max_chars: a longer text is cut into equal pieces whose unit vectors are averaged, weighted by length.
        timeout_s: seconds to wait for one answer.
        retries: how often a request is repeated after 408, 429, 5xx or a broken connection, waiting ``backoff_s``,
            twice that, and so on (or what ``Retry-After`` says), never more than 30 s.
        backoff_s: the first wait in seconds.
        context_turns: how many turns of ``Passage.before`` are put in front of a passage.

    A remote model may change behind its name: its fingerprint covers address, name and settings, no more than that.
    """

    normalised = True

    def __init__(
        self,
        *,
        url: str,
        model: str,
        dim: int,
        key_env: str,
        batch_size: int,
        max_chars: int,
        timeout_s: float,
        retries: int,
        backoff_s: float,
        context_turns: int,
    ) -> None:
        self._url = _endpoint(url)
        if min(dim, batch_size, max_chars) < 1 or timeout_s <= 0 or retries < 0 or backoff_s < 0 or context_turns < 0:
            raise ConfigError(
                "remote needs dim, batch_size, max_chars >= 1, timeout_s > 0, retries, backoff_s, context_turns >= 0; "
                f"got {dim=}, {batch_size=}, {max_chars=}, {timeout_s=}, {retries=}, {backoff_s=}, {context_turns=}"
            )
        self.name, self.dim = f"remote-{model}", dim
        self.fingerprint = f"remote-1-{self._url}-{model}-{dim}-{max_chars}-{context_turns}"
        self._model, self._key_env, self._batch_size, self._max_chars = model, key_env, batch_size, max_chars
        self._timeout_s, self._retries, self._backoff_s = timeout_s, retries, backoff_s
        self._context_turns = context_turns
        self._sleep: Callable[[float], None] = time.sleep
        self._open = build_opener(_NoRedirect).open

    @property
    def reach(self) -> tuple[int, int]:
        """Return the turns of context in front, and none behind."""
        return self._context_turns, 0

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return one unit row per passage; a blank one gives zeros. Raises RemoteError."""
        return self._embed([reading(passage, context_turns=self._context_turns) for passage in passages])

    def embed_queries(
        self,
        texts: Sequence[str],
        *,
        statistics: TermStatistics | None = None,  # noqa: ARG002 (no idf here)
    ) -> Float32[ndarray, "n dim"]:
        """Return one unit row per query; a blank one gives zeros, ``statistics`` are ignored. Raises RemoteError."""
        return self._embed(texts)

    def _embed(self, texts: Sequence[str]) -> Float32[ndarray, "n dim"]:
        pieces, owners, sizes = [], [], []
        for owner, text in enumerate(texts):
            for window in windows(len(text), self._max_chars) if text.strip() else ():
                if piece := text[window].strip():
                    pieces.append(wellformed(piece))
                    owners.append(owner)
                    sizes.append(len(piece))
        starts = range(0, len(pieces), self._batch_size)
        rows = [self._batch(pieces[start : start + self._batch_size]) for start in starts]
        whole = np.concatenate(rows) if rows else np.zeros((0, self.dim), dtype=np.float32)
        return joined(whole, owners, sizes, len(texts))

    def _batch(self, texts: list[str]) -> Float32[ndarray, "n dim"]:
        for attempt in range(self._retries + 1):
            try:
                return self._rows(self._ask(texts), len(texts))
            except _Passing as failure:
                if attempt == self._retries:
                    raise RemoteError(
                        f"{self._url} failed {attempt + 1} times, last: {failure}; "
                        "see that it runs, or raise timeout_s or retries"
                    ) from None
                self._sleep(min(_LONGEST_WAIT_S, max(failure.after_s, self._backoff_s * 2**attempt)))
        raise AssertionError("unreachable: the last try returns or raises")

    def _ask(self, texts: list[str]) -> Any:
        body = json.dumps({"model": self._model, "input": texts, "encoding_format": "float"}).encode()
        request = Request(self._url, data=body, headers=self._headers(), method="POST")  # noqa: S310 (scheme checked)
        try:
            with self._open(request, timeout=self._timeout_s) as answer:
                return json.load(answer)
        except HTTPError as refusal:
            with refusal:
                self._refused(refusal.code, refusal.headers)
        except (URLError, HTTPException, TimeoutError, ConnectionError) as broken:
            raise _Passing(f"no answer within {self._timeout_s:g} s ({getattr(broken, 'reason', broken)})") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise RemoteError(
                f"{self._url} answered something that is not JSON; is it an /v1/embeddings endpoint?"
            ) from None

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key_env:
            key = os.environ.get(self._key_env, "").strip()
            if not key:
                raise ConfigError(
                    f"the API key is read from the environment variable {self._key_env}, which is not set"
                )
            headers["Authorization"] = f"Bearer {key}"
        return headers

    def _refused(self, code: int, headers: Message) -> None:
        """Raise what an HTTP status means. The answer's text is not repeated: some servers echo the key in it."""
        if code in _PASSING:
            said = headers.get("Retry-After", "")
            raise _Passing(f"HTTP {code}", float(said) if said.isdigit() else 0.0)
        advice = {
            401: f"the key in {self._key_env or 'key_env'} was not accepted",
            403: f"the key in {self._key_env or 'key_env'} may not use this model",
            404: f"no such address, or no model {self._model!r}",
        }.get(code, "a redirect: give the final address" if 300 <= code < 400 else "the request was not understood")
        raise RemoteError(f"{self._url} answered HTTP {code}: {advice}")

    def _rows(self, answer: Any, count: int) -> Float32[ndarray, "n dim"]:
        """Return the vectors by their ``index`` (an endpoint may answer in any order)."""
        try:
            found = {int(item["index"]): np.asarray(item["embedding"], dtype=np.float32) for item in answer["data"]}
        except (KeyError, TypeError, ValueError):
            raise RemoteError(f"{self._url} answered without data[].index and data[].embedding") from None
        if sorted(found) != list(range(count)):
            raise RemoteError(f"{self._url} answered {len(found)} vectors for {count} texts")
        rows = [found[place] for place in range(count)]
        if wrong := {row.shape for row in rows} - {(self.dim,)}:
            raise RemoteError(f"{self._url} answers vectors of shape {min(wrong)}, the config says dim={self.dim}")
        stacked = np.stack(rows)
        if not np.isfinite(stacked).all():
            raise RemoteError(f"{self._url} answered numbers that are not finite")
        if not stacked.any(axis=1).all():
            raise RemoteError(f"{self._url} answered a vector of zeros for a text that is not blank")
        return unit(stacked)


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"url={url!r} is no address; give one like http://localhost:8080/v1")
    if parts.username or parts.password:
        raise ConfigError(
            "url holds a name or password; put the key into an environment variable and name it in key_env"
        )
    return url if url.rstrip("/").endswith("/embeddings") else f"{url.rstrip('/')}/embeddings"
