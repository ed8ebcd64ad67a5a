"""SciFact: scientific claims and the abstracts that bear on them (Wadden et al. 2020, arXiv 2004.14974).

The general retrieval set that shows what training on memories made a model forget.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from memshadow.data.corpora.lines import damaged, fingerprint, json_lines, require
from memshadow.data.corpora.original import Original
from memshadow.data.home import located
from memshadow.errors import DataError
from memshadow.types import Conversation, Memory, Question

QUERIES = {"dev": "queries_dev_beir_test.jsonl", "train": "queries_train.jsonl"}
_DOCUMENTS = "corpus.jsonl.gz"
_ARCHIVE = "data.tar.gz"


class ScifactCorpus:
    """5,183 abstracts as the memories of one conversation; the claims of one ``split`` as its questions.

    A memory's text is "title. abstract", its speaker is empty and its time unknown: nobody said it. ``dev`` has 300
    claims (the test set of BEIR), ``train`` 809; both with the documents they cite as evidence. Its repository gives
    the claims as CC BY 4.0 and the abstracts as ODC-By 1.0, a public card all of it as CC BY-NC 2.0: evaluate only.
    """

    name = "scifact"
    licence = "CC BY 4.0, ODC-By 1.0 (disputed)"
    weights_may_ship = False
    home = "https://github.com/allenai/scifact"
    originals = (
        Original(
            url="https://scifact.s3-us-west-2.amazonaws.com/release/latest/data.tar.gz",
            path=_ARCHIVE,
            sha256="11c621288d41ac144d29b13b0f8503b3820b7d6e8b1f6ff24dff335c196d76be",
        ),
    )
    reference: ClassVar[Mapping[str, str]] = {
        _DOCUMENTS: "27855c4bd46712ba49940b3e5a174c42a9dc27d21e1cec37da31e22469029098",
        QUERIES["dev"]: "c425067bdcf6e4c597affd9665206a8f9d0eaf32463f9fb8037b67745fb9cf9b",
        QUERIES["train"]: "c34c0d5156eda495c5c8cb9f089227b1a7cfdadb3381e70f4ecc097f08122ae8",
    }

    def __init__(self, *, split: str, folder: str | None) -> None:
        if split not in QUERIES:
            raise DataError(f"SciFact has the splits {' and '.join(QUERIES)}; {split!r} came.")
        self.split = split
        self.folder = located(self.name, folder)

    @property
    def fingerprint(self) -> str:
        """Return a short hash of the documents and of the split's claims."""
        return fingerprint(*self.files())

    def files(self) -> list[Path]:
        """Return the paths of its files; raise ``DataError`` where one is absent."""
        return require(self.folder, (_DOCUMENTS, QUERIES[self.split]), corpus=self.name)

    def conversations(self) -> Iterator[Conversation]:
        """Yield the one conversation."""
        documents, queries = self.files()
        memories: dict[str, Memory] = {}
        for turn, (number, row) in enumerate(json_lines(documents, needs=("_id", "title", "text"))):
            if row["_id"] in memories:
                raise damaged(documents, number, f"the document {row['_id']!r} stands on an earlier line too")
            memories[row["_id"]] = self._memory(row["_id"], turn, row["title"], row["text"])
        questions = []
        for number, row in json_lines(queries, needs=("_id", "text", "relevant")):
            if unknown := [cited for cited in row["relevant"] if cited not in memories]:
                raise damaged(queries, number, f"it cites {unknown[0]!r}, which {documents.name} does not hold")
            questions.append(self._question(row["_id"], row["text"], row["relevant"]))
        yield Conversation(
            id=self.name, memories=tuple(memories.values()), questions=tuple(questions), corpus=self.name
        )

    def assemble(self, downloads: Path, folder: Path) -> None:
        """Turn the release into documents of one text each and claims with the documents that they cite."""
        with tarfile.open(downloads / _ARCHIVE, "r:gz") as archive:
            with gzip.open(folder / _DOCUMENTS, "wt", encoding="utf-8", newline="\n") as file:
                file.writelines(map(_document_line, _rows(archive, "data/corpus.jsonl")))
            for split, name in QUERIES.items():
                claims = map(_claim_line, _rows(archive, f"data/claims_{split}.jsonl"))
                (folder / name).write_text("".join(claims), encoding="utf-8", newline="\n")

    def _memory(self, document_id: str, turn: int, title: str, abstract: str) -> Memory:
        text = f"{title.rstrip('. ')}. {abstract}" if title else abstract
        return Memory(
            id=document_id, conversation_id=self.name, session_id=document_id, turn=turn, speaker="", text=text
        )

    def _question(self, claim_id: str, text: str, cited: list[str]) -> Question:
        return Question(
            id=f"{self.split}/{claim_id}",
            conversation_id=self.name,
            text=text,
            evidence=tuple(cited),
            category=self.split,
        )


def _rows(archive: tarfile.TarFile, member: str) -> Iterator[dict[str, Any]]:
    try:
        file = archive.extractfile(member)
    except KeyError:
        file = None
    if file is None:
        raise DataError(f"The archive of SciFact was laid out in another way: it holds no file {member}.")
    yield from (json.loads(line) for line in file if line.strip())


def _document_line(row: dict[str, Any]) -> str:
    text = " ".join(row["abstract"])
    return json.dumps({"_id": str(row["doc_id"]), "title": row["title"], "text": text}, ensure_ascii=False) + "\n"


def _claim_line(row: dict[str, Any]) -> str:
    cited = [str(document) for document in row["cited_doc_ids"]]
    return json.dumps({"_id": str(row["id"]), "text": row["claim"], "relevant": cited}, ensure_ascii=False) + "\n"
