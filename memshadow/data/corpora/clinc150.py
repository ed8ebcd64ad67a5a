"""CLINC150: utterances in 150 classes of 10 domains, and some out of scope (Larson et al. 2019, arXiv 1909.02027)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from memshadow.data.corpora.lines import fingerprint, json_file, require
from memshadow.data.corpora.original import github
from memshadow.data.home import located
from memshadow.errors import DataError
from memshadow.types import LabelledText

SPLITS = ("train", "val", "test", "oos_train", "oos_val", "oos_test")
_FILES = ("data_full.json", "domains.json")
_SOURCE = ("clinc/oos-eval", "828f8093932c8fe6ca7936c3d2e52903b1c523de")
_SHA256 = {
    "data_full.json": "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
    "domains.json": "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
}


class Clinc150Corpus:
    """22,500 utterances (15,000 train, 3,000 val, 4,500 test) and 1,200 out of scope (label "oos", no domain).

    The ten domains are a natural way to give every federated client another kind of talk.
    """

    name = "clinc150"
    licence = "CC BY 3.0"
    weights_may_ship = True
    home = "https://github.com/clinc/oos-eval"
    originals = tuple(github(*_SOURCE, f"data/{name}", to=name, sha256=_SHA256[name]) for name in _FILES)
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
        """Yield the utterances split by split, in the order of the file."""
        data_file, domains_file = self.files()
        domain_of = {label: domain for domain, labels in json_file(domains_file).items() for label in labels}
        data = json_file(data_file)
        if not isinstance(data, dict) or (missing := [split for split in SPLITS if split not in data]):
            lacks = f"it lacks {', '.join(missing)}" if isinstance(data, dict) else "it holds no object"
            raise DataError(f"{data_file}: the splits {', '.join(SPLITS)} were needed; {lacks}. Fetch it again.")
        for split in SPLITS:
            for text, label in data[split]:
                yield LabelledText(text=text, label=label, split=split, domain=domain_of.get(label, ""))

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Copy the two files as they are."""
        for name in _FILES:
            shutil.copyfile(downloads / name, folder / name)
