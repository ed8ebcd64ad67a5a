"""STS-B, English: pairs of sentences and how alike people found them (Cer et al. 2017, arXiv 1708.00055)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from memshadow.data.corpora.lines import csv_rows, damaged, fingerprint, require
from memshadow.data.corpora.original import github
from memshadow.data.home import located
from memshadow.types import TextPair

SPLITS = ("train", "dev", "test")
_FILES = tuple(f"stsb-en-{split}.csv" for split in SPLITS)
_HIGHEST = 5.0
_SOURCE = ("PhilipMay/stsb-multi-mt", "30de0dec4ee199b7f42351d3f1a0b19592955385")
_SHA256 = {
    "stsb-en-train.csv": "e1e84fec60bbb598735552f54a35f4949904a484750fd2cb11e2720e49f63da6",
    "stsb-en-dev.csv": "d29586e96558c4eb52cf5ea5d14e9c24d3bf0e44f111b017caba43a5adc33226",
    "stsb-en-test.csv": "11523b625219e94e9ca05d2816b5f02cac1614c5894fe657376fa0806378d053",
}


class StsbCorpus:
    """5,749 train, 1,500 dev and 1,379 test pairs; the gold 0..5 is scaled to 0..1."""

    name = "stsb"
    licence = "CC BY-SA 4.0"
    weights_may_ship = True
    home = "https://github.com/PhilipMay/stsb-multi-mt"
    originals = tuple(github(*_SOURCE, f"data/{name}", to=name, sha256=_SHA256[name]) for name in _FILES)
    reference: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *, folder: str | None) -> None:
        self.folder = located(self.name, folder)

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the three files' contents."""
        return fingerprint(*self.files())

    def files(self) -> list[Path]:
        """Return the paths of its files; raise ``DataError`` where one is absent."""
        return require(self.folder, _FILES, corpus=self.name)

    def pairs(self) -> Iterator[TextPair]:
        """Yield the pairs of train, dev and test, each in the order of its file."""
        for split, path in zip(SPLITS, self.files(), strict=True):
            for number, (first, second, score) in csv_rows(path, columns=3):
                try:
                    similarity = float(score) / _HIGHEST
                except ValueError as error:
                    raise damaged(path, number, f"a score was needed, {score!r} came") from error
                if not 0 <= similarity <= 1:
                    raise damaged(path, number, f"a score of 0 to {_HIGHEST:g} was needed, {score} came")
                yield TextPair(first=first, second=second, similarity=similarity, split=split)

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Copy the three files as they are."""
        for name in _FILES:
            shutil.copyfile(downloads / name, folder / name)
