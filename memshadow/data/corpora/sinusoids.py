"""Sine waves as a choice of data: tasks without any text, drawn on demand (Finn et al. 2017, arXiv 1703.03400, 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from memshadow.data.episodes import SinusoidEpisodes
from memshadow.errors import DataError

PARTS = ("train", "valid", "test")


class Sinusoids:
    """Waves y = a sin(x - p); each part draws from a stream of its own, so no task of one is met in another.

    Args:
        amplitude: Lowest and highest a.
        phase: Lowest and highest p, in radians.
        inputs: Lowest and highest x.

    Raises:
        DataError: A range runs backwards.
    """

    name = "sinusoids"
    licence = "MIT (made by this project)"
    weights_may_ship = True

    def __init__(self, *, amplitude: Sequence[float], phase: Sequence[float], inputs: Sequence[float]) -> None:
        self._ranges = {"amplitude": tuple(amplitude), "phase": tuple(phase), "inputs": tuple(inputs)}
        self.episodes("train", shots=1, queries=1)  # a range that runs backwards is refused here

    @property
    def fingerprint(self) -> str:
        """Return a hash of the ranges."""
        return blake2b(repr(sorted(self._ranges.items())).encode(), digest_size=8).hexdigest()

    def episodes(self, part: str, *, shots: int, queries: int) -> SinusoidEpisodes:
        """Return the tasks of ``train``, ``valid`` or ``test``; another word raises ``DataError``."""
        if part not in PARTS:
            raise DataError(f"the parts are {', '.join(PARTS)}; {part!r} came")
        return SinusoidEpisodes(shots=shots, queries=queries, stream=PARTS.index(part), **self._ranges)
