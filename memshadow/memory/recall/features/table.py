"""All features in their order, and what of them a ranker is trained on. The order and the meaning have a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from memshadow.errors import CheckpointError, ConfigError
from memshadow.memory.recall.features import form, neighbours, own, scope, session, speaker, time
from memshadow.memory.recall.features.base import Feature
from memshadow.memory.recall.scene import Scene

VERSION = 1
"""Of what the features mean: raised when one is worked out otherwise under the same name."""
GROUPS: Mapping[str, Sequence[Feature]] = {
    "own": own.FEATURES,
    "neighbours": neighbours.FEATURES,
    "session": session.FEATURES,
    "form": form.FEATURES,
    "speaker": speaker.FEATURES,
    "time": time.FEATURES,
    "scope": scope.FEATURES,
}


class FeatureTable:
    """The features of some groups, and of no feature in ``without``; names are ``group/feature``.

    Raises:
        ConfigError: there is no such group or feature, or nothing is left.
    """

    def __init__(self, *, groups: Sequence[str] = tuple(GROUPS), without: Sequence[str] = ()) -> None:
        for group in groups:
            if group not in GROUPS:
                raise ConfigError(f"there is no group of features {group!r}; choose from {', '.join(GROUPS)}.")
        known = {f"{group}/{feature.name}": feature for group in GROUPS if group in groups for feature in GROUPS[group]}
        for name in without:
            if name not in known:
                raise ConfigError(f"there is no feature {name!r} to leave out; there are {', '.join(known)}.")
        self._features = {name: feature for name, feature in known.items() if name not in without}
        if not self._features:
            raise ConfigError("no feature is left; a ranker needs at least one.")
        self.names = tuple(self._features)

    @classmethod
    def named(cls, names: Sequence[str], fingerprint: str) -> FeatureTable:
        """Return the table that a trained ranker was trained on.

        Raises:
            CheckpointError: this program has no such features, or they mean something else now.
        """
        everything = cls()
        unknown = [name for name in names if name not in everything.names]
        if unknown:
            raise CheckpointError(f"the ranker needs the feature {unknown[0]!r}, which this program does not have.")
        table = cls(without=[name for name in everything.names if name not in names])
        if table.fingerprint != fingerprint:
            raise CheckpointError("the ranker was trained on features that meant something else; train it again.")
        return table

    @property
    def fingerprint(self) -> str:
        """Return what tells this table from any other, over names, order and version."""
        return blake2b("\n".join([str(VERSION), *self.names]).encode(), digest_size=8).hexdigest()

    @property
    def units(self) -> Mapping[str, str]:
        """Return what each feature counts."""
        return {name: feature.unit for name, feature in self._features.items()}

    def rows(self, scene: Scene) -> Float32[ndarray, "features c"]:
        """Return one row a feature, one column a candidate."""
        table = np.empty((len(self._features), len(scene.chosen)), dtype=np.float32)
        for row, feature in zip(table, self._features.values(), strict=True):
            row[:] = feature.of(scene)
        return table
