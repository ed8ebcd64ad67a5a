"""``Client``: a served memory with the methods, results and errors of ``Memory``. Needs no framework."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload
from urllib.parse import quote, urlencode

from memshadow.errors import ConfigError, DataError
from memshadow.memory.drafting import drafted
from memshadow.memory.exchange import Imported
from memshadow.memory.filtering import filtered
from memshadow.serving.connection import Connections
from memshadow.serving.scoping import headers_of
from memshadow.serving.standing import Standing, standing_in
from memshadow.serving.wire import added_in, context_in, draft_out, hit_in, record_in, stats_in, time_out
from memshadow.types import Adaptation, Added, Context, Draft, Hit, Memory as Said, Record, Scope, Source, Stats

if TYPE_CHECKING:
    from memshadow.data.feedback import How

What = str | Draft | Said | Mapping[str, Any]
_PAGE = 1000
_PORTION = 64_000  # characters of an import that are sent at once


class Client:
    """A memory that ``memshadow serve`` serves. Methods, arguments, results and errors are those of ``Memory``.

    Safe to use from several threads. What the service cannot be blamed for, or does not explain, is a
    :class:`~memshadow.serving.connection.ServiceError`.

    Args:
        url: where the service answers, e.g. ``http://127.0.0.1:8765``.
        token: what lies in the file ``token`` of the memories' folder.
        scope: whose memories, where a call does not say; without a tenant, which the token decides.
        timeout_s: how long the service may be silent.

    Raises:
        ConfigError: the url is none, or a scope (here or in a call) names a tenant.
    """

    def __init__(self, url: str, *, token: str, scope: Scope | None = None, timeout_s: float = 60.0) -> None:
        self.scope = _untenanted(scope or Scope())
        self._connections = Connections(url, headers={"Authorization": f"Bearer {token}"}, timeout_s=timeout_s)

    def at(self, scope: Scope | None = None, **parts: str | None) -> Client:
        """Return this memory seen from another scope; ``parts`` replace single parts of the present one."""
        seen: Client = object.__new__(Client)
        seen.__dict__.update(self.__dict__)
        seen.scope = _untenanted(scope or replace(self.scope, **parts))  # type: ignore[arg-type]
        return seen

    @overload
    def add(self, what: What, *, scope: Scope | None = None, **said: Any) -> Added: ...
    @overload
    def add(
        self, what: Sequence[Draft | Said | Mapping[str, Any]] | list[str], *, scope: Scope | None = None, **said: Any
    ) -> list[Added]: ...
    def add(self, what: Any, *, scope: Scope | None = None, **said: Any) -> Added | list[Added]:
        """Remember one thing or many; many are remembered wholly or not at all."""
        if isinstance(what, (str, Draft, Said, Mapping)):
            return added_in(self._ask("POST", "/v1/memories", draft_out(drafted(what, **said)), scope=scope))
        drafts = [draft_out(drafted(one, **said)) for one in what]
        if not drafts:
            return []
        told = self._ask("POST", "/v1/memories/batch", {"memories": drafts}, scope=scope)
        return [added_in(one) for one in told["results"]]

    def get(self, memory_id: str, *, scope: Scope | None = None) -> Record:
        """Return the newest version of a memory."""
        return record_in(self._ask("GET", _path(memory_id), scope=scope))

    def history(self, memory_id: str, *, scope: Scope | None = None) -> list[Record]:
        """Return all versions of a memory, oldest first."""
        return _records(self._ask("GET", f"{_path(memory_id)}/history", scope=scope))

    def update(self, memory_id: str, *, scope: Scope | None = None, **changed: Any) -> Record:
        """Replace fields of a memory by a new version, which is returned."""
        refused = {"id", "supersedes"} & set(changed)
        if refused:
            raise DataError(f"{refused.pop()} cannot be changed; add a memory with it instead.")
        blank = {"text": "-", "image_caption": "-"}
        told = draft_out(drafted({**blank, **changed}))  # refuses unknown fields and wrong kinds before they travel
        body = {name: told.get(name, value) for name, value in changed.items()}
        return record_in(self._ask("PATCH", _path(memory_id), body, scope=scope))

    def forget(self, memory_id: str, *, scope: Scope | None = None) -> None:
        """Erase a memory."""
        self._ask("DELETE", _path(memory_id), scope=scope, again=False)

    def search(
        self, query: str, *, k: int = 10, scope: Scope | None = None, explain: bool = False, **narrowed: Any
    ) -> list[Hit]:
        """Return the ``k`` memories that answer the query best, best first."""
        body = {"query": str(query), "k": k, "explain": explain, **_narrowed(narrowed)}
        return [hit_in(one) for one in self._ask("POST", "/v1/search", body, scope=scope)["hits"]]

    def context(
        self, query: str, *, budget_tokens: int, scope: Scope | None = None, k: int = 50, **narrowed: Any
    ) -> Context:
        """Return what a prompt should hold to answer the query, within ``budget_tokens``."""
        body = {"query": str(query), "k": k, "budget_tokens": budget_tokens, **_narrowed(narrowed)}
        return context_in(self._ask("POST", "/v1/context", body, scope=scope))

    def feedback(
        self,
        query: str,
        useful: Sequence[str] | str,
        helpful: bool = True,
        *,
        shown: Sequence[str] = (),
        kind: How = "explicit",
        scope: Scope | None = None,
    ) -> Adaptation:
        """Note which memories answered a question, and adapt to it."""
        named = [useful] if isinstance(useful, str) else useful
        body = {"query": query, "useful": named, "helpful": helpful, "shown": shown, "kind": kind}
        return Adaptation(**self._ask("POST", "/v1/feedback", body, scope=scope))

    def adaptation(self, *, scope: Scope | None = None) -> Adaptation:
        """Return whether what a user answered moves that user's questions, and why (or why not)."""
        return Adaptation(**self._ask("GET", "/v1/adaptation", scope=scope))

    def adapt(self, *, scope: Scope | None = None) -> Adaptation:
        """Make the user's adapter anew of all that was answered."""
        return Adaptation(**self._ask("POST", "/v1/adaptation", scope=scope))

    def unadapt(self, *, scope: Scope | None = None) -> None:
        """Remove the user's adapter; the answers stay."""
        self._ask("DELETE", "/v1/adaptation", scope=scope)

    def recent(self, *, last: int = 20, scope: Scope | None = None) -> list[Record]:
        """Return the last memories of a scope, in the order of saying."""
        return _records(self._ask("GET", f"/v1/recent?last={last}", scope=scope))

    def recent_context(self, *, budget_tokens: int, last: int = 50, scope: Scope | None = None) -> Context:
        """Return the end of a session as text for a prompt."""
        body = {"budget_tokens": budget_tokens, "last": last}
        return context_in(self._ask("POST", "/v1/recent/context", body, scope=scope))

    def page(self, *, after: int = 0, limit: int = 100, scope: Scope | None = None, **narrowed: Any) -> list[Record]:
        """Return up to ``limit`` memories of a scope with ``seq > after``, ascending."""
        return _records(self._ask("GET", f"/v1/memories?{_query(after, limit, narrowed)}", scope=scope))

    def everything(self, *, scope: Scope | None = None, **narrowed: Any) -> Iterator[Record]:
        """Yield all memories of a scope, by seq, reading as it goes."""
        after = 0
        while found := self.page(after=after, limit=_PAGE, scope=scope, **narrowed):
            yield from found
            after = found[-1].seq

    def export(self, *, scope: Scope | None = None) -> Iterator[str]:
        """Yield everything of a scope, the past too, as lines of JSON."""
        return self._connections.lines("GET", "/v1/export", headers_of(_untenanted(scope or self.scope)))

    def import_(self, lines: Iterable[str], *, scope: Scope | None = None) -> Imported:
        """Bring in the lines of an export, or of another program; what is there stays once."""
        return Imported(**self._ask("POST", "/v1/import", _portions(lines), scope=scope, again=False))

    def embedder(self) -> Standing:
        """Return which embedder the service searches with, and how far the taking up of another one is."""
        return standing_in(self._ask("GET", "/v1/embedder", scope=None))

    def reembed(self, choice: str = "champion") -> Standing:
        """Let the service take up another embedder in the background; ``embedder()`` says how far that is.

        Raises:
            DataError: the service has no such choice.
            ServiceError: another one is being taken up (status 409).
        """
        return standing_in(self._ask("POST", "/v1/embedder", {"embedder": choice}, scope=None))

    def stats(self, *, scope: Scope | None = None) -> Stats:
        """Return what is kept for a scope's owner."""
        return stats_in(self._ask("GET", "/v1/stats", scope=scope))

    def close(self) -> None:
        """Close the connections; twice is once."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: Any = None, *, scope: Scope | None, again: bool = True) -> Any:
        headers = headers_of(_untenanted(scope or self.scope))
        if isinstance(body, dict):
            headers["Content-Type"] = "application/json"
            body = _encoded(body)
        return self._connections.ask(method, path, body, headers, again=again)


def _untenanted(scope: Scope) -> Scope:
    """Return a scope that names no tenant; refuse one that does, rather than answer from another tenant."""
    if scope.tenant != Scope().tenant:
        raise ConfigError(
            f"tenant={scope.tenant!r:.80} came, but a service's token decides the tenant; leave it out, and use the "
            "token of the service that is that tenant's (memshadow serve tenant=...)."
        )
    return scope


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, default=_said, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except ValueError as error:
        raise DataError(f"this cannot be said in JSON: {error}.") from None


def _said(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return asdict(value) if isinstance(value, Source) else time_out(value)


def _narrowed(narrowed: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters as they travel; unknown ones and wrong kinds are refused before."""
    given = filtered(**narrowed)
    return {name: dict(given.metadata) if name == "metadata" else getattr(given, name) for name in narrowed}


def _query(after: int, limit: int, narrowed: Mapping[str, Any]) -> str:
    asked: list[tuple[str, str]] = [("after", str(after)), ("limit", str(limit))]
    for name, value in _narrowed(narrowed).items():
        if name == "between":
            asked += [(name, time_out(at) if at else "") for at in value or ()]
        elif name == "metadata":
            asked.append((name, json.dumps(value)))
        elif isinstance(value, tuple):
            asked += [(name, one) for one in value]
        elif value is not None:
            asked.append((name, str(value).lower() if isinstance(value, bool) else time_out(value)))
    return urlencode(asked)


def _portions(lines: Iterable[str]) -> Iterator[bytes]:
    """Yield lines as bytes, many at once."""
    kept: list[str] = []
    size = 0
    for line in lines:
        kept.append(line if line.endswith("\n") else f"{line}\n")
        size += len(line)
        if size >= _PORTION:
            yield "".join(kept).encode("utf-8", "replace")
            kept, size = [], 0
    if kept:
        yield "".join(kept).encode("utf-8", "replace")


def _path(memory_id: str) -> str:
    return f"/v1/memories/{quote(memory_id, safe='')}"


def _records(told: Mapping[str, Any]) -> list[Record]:
    return [record_in(one) for one in told["memories"]]
