"""BANKING77: questions of bank customers in 77 classes (Casanueva et al. 2020, arXiv 2003.04807)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from memshadow.data.corpora.lines import csv_rows, damaged, fingerprint, require
from memshadow.data.corpora.original import github
from memshadow.data.home import located
from memshadow.types import LabelledText

SPLITS = ("train", "test")
_FILES = tuple(f"{split}.csv" for split in SPLITS)
_SOURCE = ("PolyAI-LDN/task-specific-datasets", "57ec275d8078af65b7731c2a98be812d844a6d6b")
_SHA256 = {
    "train.csv": "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "test.csv": "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
}


class Banking77Corpus:
    """10,003 train and 3,080 test utterances."""

    name = "banking77"
    licence = "CC BY 4.0"
    weights_may_ship = True
    home = "https://github.com/PolyAI-LDN/task-specific-datasets"
    originals = tuple(github(*_SOURCE, f"banking_data/{name}", to=name, sha256=_SHA256[name]) for name in _FILES)
    reference: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *, folder: str | None) -> None:
        self.folder = located(self.name, folder)

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the two files' contents."""
        return fingerprint(*self.files())

    def files(self) -> list[Path]:
        """Return the paths of its files; raise ``DataError`` where one is absent."""
        return require(self.folder, _FILES, corpus=self.name)

    def utterances(self) -> Iterator[LabelledText]:
        """Yield the utterances of train, then of test, in the order of the file."""
        for split, path in zip(SPLITS, self.files(), strict=True):
            rows = csv_rows(path, columns=2)
            head = next(rows, (1, []))
            if head[1] != ["text", "category"]:
                raise damaged(path, head[0], f"the head text,category was needed, {','.join(head[1])!r} came")
            for _, (text, label) in rows:
                yield LabelledText(text=text, label=label, split=split)

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Copy the two files as they are."""
        for name in _FILES:
            shutil.copyfile(downloads / name, folder / name)
