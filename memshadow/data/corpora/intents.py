"""Four intent sets, their classes split for few-shot episodes (Dopierre et al. 2021, arXiv 2105.12995)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from memshadow.data.corpora.lines import fingerprint, json_lines, require, text_lines
from memshadow.data.corpora.original import Original, github
from memshadow.data.home import located
from memshadow.errors import DataError
from memshadow.types import LabelledText

SETS = ("BANKING77", "HWU64", "Liu", "OOS")
PARTS = ("train", "valid", "test")
CLASS_SPLITS = (1, 2, 3, 4, 5)
_SOURCE = ("tdopierre/ProtAugment", "6352ababa740133708daed815666b5bf39850d98")


def _originals() -> Iterator[Original]:
    for name in SETS:
        yield github(*_SOURCE, f"data/{name}/full.jsonl", to=f"{name}/full.jsonl")
        for number in CLASS_SPLITS:
            for part in PARTS:
                path = f"data/{name}/few_shot/{number:02d}/labels.{part}.txt"
                yield github(*_SOURCE, path, to=f"{name}/labels.{number:02d}.{part}.txt")


class IntentsCorpus:
    """One of BANKING77, HWU64, Liu and OOS, its *classes* (not utterances) split into train, valid and test.

    ``split`` of an utterance is the part that its class belongs to in split ``class_split`` (1 to 5); a class in no
    part gives "". The domain is what stands before the slash of a label ("lists/remove"), where one stands.
    The licence is the repository's; whether it covers the texts of HWU64 and Liu is not known.
    """

    licence = "Apache-2.0 (texts unverified)"
    weights_may_ship = False
    home = "https://github.com/tdopierre/ProtAugment"
    originals = tuple(_originals())
    reference: ClassVar[Mapping[str, str]] = {
        "BANKING77/full.jsonl": "2aef59a59888b66ebfd99a08e82a18f396a81c0430410938ef416a4bd5081b98",
        "HWU64/full.jsonl": "a4c337fc8d12a5b62715d80e6df3b51bea20d137da0a833e8eb584e90c429d13",
        "Liu/full.jsonl": "d4860503f63e87874c6b385e5e70bcc38d4d247f03a86d99047de7a182923b38",
        "OOS/full.jsonl": "ae5573aa7fada6614862657b0d6aabcd9f33135f56c8cd8dd4aefab6bc8ccd26",
    }

    def __init__(self, *, dataset: str, class_split: int, folder: str | None) -> None:
        if dataset not in SETS or class_split not in CLASS_SPLITS:
            raise DataError(
                f"The intent sets are {', '.join(SETS)} with class splits 1 to {CLASS_SPLITS[-1]}; "
                f"dataset={dataset!r}, class_split={class_split!r} came."
            )
        self.name = f"intents/{dataset}"
        self.class_split = class_split
        self.dataset = dataset
        self.folder = located("intents", folder)

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the utterances and of the class split."""
        return fingerprint(*self.files())

    def files(self) -> list[Path]:
        """Return the paths of its files; raise ``DataError`` where one is absent."""
        names = ["full.jsonl", *(f"labels.{self.class_split:02d}.{part}.txt" for part in PARTS)]
        return require(self.folder / self.dataset, names, corpus="intents")

    def utterances(self) -> Iterator[LabelledText]:
        """Yield the utterances in the order of the file."""
        texts, *labels = self.files()
        part_of = {label: part for part, path in zip(PARTS, labels, strict=True) for label in _names(path)}
        for _, row in json_lines(texts, needs=("sentence", "label")):
            label = str(row["label"])
            domain = label.partition("/")[0] if "/" in label else ""
            yield LabelledText(text=row["sentence"], label=label, split=part_of.get(label, ""), domain=domain)

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Copy the files of all four sets, the labels of a split beside the utterances."""
        for original in self.originals:
            (folder / original.path).parent.mkdir(exist_ok=True)
            shutil.copyfile(downloads / original.path, folder / original.path)


def _names(path: Path) -> list[str]:
    return [line.strip() for _, line in text_lines(path) if line.strip()]
