"""The trained model that holds a title in the model registry, as an embedder. Knows titles and folders; no store.

A title moves from model to model, rows do not: what a title points at is looked up once, when the embedder is made, and
``settled`` says what to write down so that the same weights are found again, wherever the title has gone since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError, ConfigError, MemshadowError
from memshadow.models.base import Embedder
from memshadow.models.checkpoint import read_model
from memshadow.models.lexical import TermStatistics
from memshadow.models.projected import KIND, ProjectedEmbedder
from memshadow.training.database import database_path
from memshadow.training.registry import ModelRegistry, RegisteredModel
from memshadow.types import Passage


class ChampionEmbedder:
    """What ``alias`` points at now, in the registry in ``uri``; or version ``version``; or the model in ``model``.

    Args:
        encoder: what a trained head is put on; a model that is an encoder itself does without.
        model: a trained model's folder, for which no registry is asked; ``version`` is then only what it is called by.
        version: of the registered model, in place of the one that the alias points at.
        registered: the model's name in the registry (``model_name`` in training).
        alias: the title.
        uri: the registry, ``sqlite:///PATH``.
        dim: width of a head's rows; None: as it was trained.

    Raises:
        ConfigError: there is no registry, or nobody holds the title.
        CheckpointError: the model's files are gone or damaged, or it was trained on another encoder.
        MissingExtraError: a registry must be asked, and MLflow is not installed.
    """

    def __init__(
        self,
        *,
        encoder: Embedder,
        model: str | None,
        version: int | None,
        registered: str,
        alias: str,
        uri: str,
        dim: int | None,
    ) -> None:
        if model is None:
            found = _looked_up(uri, registered, alias, version)
            model, version = str(found.folder.absolute()), int(found.version)
        self._inner = embedder_of(Path(model), encoder, dim=dim)
        self.name = self._inner.name if version is None else f"{alias}-v{version}-{self._inner.name}"
        self.dim, self.normalised, self.fingerprint = self._inner.dim, self._inner.normalised, self._inner.fingerprint
        self.settled: Mapping[str, str | int] = {"model": model} | ({} if version is None else {"version": version})
        """Arguments that name these very weights."""

    @property
    def reach(self) -> tuple[int, int]:
        """Return the model's."""
        return self._inner.reach

    def embed_passages(self, passages: Sequence[Passage]) -> Float32[ndarray, "n dim"]:
        """Return the model's rows."""
        return self._inner.embed_passages(passages)

    def embed_queries(
        self, texts: Sequence[str], *, statistics: TermStatistics | None = None
    ) -> Float32[ndarray, "n dim"]:
        """Return the model's rows."""
        return self._inner.embed_queries(texts, statistics=statistics)


def embedder_of(model: Path, encoder: Embedder, *, dim: int | None = None) -> Embedder:
    """Return the embedder in a model folder; a head is put on ``encoder``, at its trained width or at ``dim``."""
    stored = read_model(model)
    if stored.kind == KIND:
        width = encoder.dim + int(stored.settings["views"]["width"])
        return ProjectedEmbedder(encoder=encoder, model=str(model), dim=dim or width, views={})
    if stored.kind != "transformer":
        raise CheckpointError(f"{model} holds a {stored.kind!r} model; needed: {KIND!r} or 'transformer'")
    from memshadow.models.transformer import TransformerEmbedder

    return TransformerEmbedder(
        model=str(model),
        runtime="auto",
        device="auto",
        batch_tokens=1024,
        max_tokens=int(stored.settings["max_tokens"]),
        context_turns=int(stored.settings["context_turns"]),
        threads=0,
    )


def _looked_up(uri: str, registered: str, alias: str, version: int | None) -> RegisteredModel:
    path = database_path(uri)
    advice = "`memshadow train` makes models; embedder.model=FOLDER names one that has no title."
    if not path.is_file():
        raise ConfigError(f"there is no model registry in {path}, to look up {registered}@{alias}. {advice}")
    registry = ModelRegistry.open(uri)
    if version is None:
        found = registry.at(registered, alias)
        if found is None:
            raise ConfigError(f"no version of {registered!r} in {path} holds the title {alias!r}. {advice}")
        return found
    try:
        return registry.version(registered, str(version))
    except MemshadowError as error:
        known = "`memshadow runs list` shows all."
        raise ConfigError(f"{path} has no version {version} of {registered!r}; {known}") from error
