"""Every YAML under configs/ names something real, trusted, and passes it exactly what it takes."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from memshadow.cli import verbs
from memshadow.cli._help import summary
from memshadow.config import _trusted, config_dir, load
from memshadow.errors import ConfigError

CONFIGS = config_dir()
FILES = sorted(CONFIGS.rglob("*.yaml"))
KEYS_OF_BUILD = {"_target_", "_partial_", "_convert_"}


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping with a ``_target_``, however deep."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from nodes(item)


def check(file: Path) -> None:
    """Bind every node of a YAML to its target's signature; a default ``choice@key`` gives that key."""
    tree = OmegaConf.to_container(OmegaConf.load(file))
    if isinstance(tree, dict) and "_target_" in tree:
        choices = [next(iter(choice)) if isinstance(choice, dict) else choice for choice in tree.pop("defaults", [])]
        placed = [choice.partition("@")[2] for choice in choices]
        tree |= {key: None for key in placed if key}
    for node in nodes(tree):
        signature = inspect.signature(_trusted(node["_target_"], file.stem))
        given = {key: value for key, value in node.items() if key not in KEYS_OF_BUILD}
        (signature.bind_partial if node.get("_partial_") else signature.bind)(**given)
        by_keyword = {p.name for p in signature.parameters.values() if p.kind is not p.POSITIONAL_ONLY}
        assert given.keys() <= by_keyword, f"{file.name}: {given.keys() - by_keyword}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(CONFIGS).as_posix())
def test_targets_take_these_arguments(file: Path) -> None:
    check(file)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*/**/*.yaml")), ids=lambda f: f.relative_to(CONFIGS).as_posix())
def test_a_choice_opens_with_its_line_in_the_help(file: Path) -> None:
    line = summary(file)
    assert line.endswith("."), f"the first line of {file} must be a comment that is a sentence: # What it is."
    assert len(line) <= 120


@pytest.mark.parametrize(
    "text",
    [
        "_target_: memshadow.models.lexical.BM25\ntexts: []\nk1: 1\nbb: 1\n",
        "_target_: memshadow.models.lexical.BM25\ntexts: []\nk1: 1\n",
        "deep:\n  - {x: {_target_: memshadow.models.lexical.BM25, texts: [], k1: 1, c: 2}}\n",
        "_target_: memshadow.models.lexical.BM52\n",
        "_target_: os.getcwd\n",
    ],
)
def test_a_planted_mistake_is_caught(text: str, tmp_path: Path) -> None:
    (tmp_path / "planted.yaml").write_text(text)
    with pytest.raises((TypeError, ConfigError)):
        check(tmp_path / "planted.yaml")


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_a_config_that_composes(verb: str) -> None:
    assert (CONFIGS / f"{verb}.yaml").is_file()
    try:
        load(verb)
    except ConfigError as error:
        assert f"{verb} needs" in str(error)  # noqa: PT017 - what must be given is asked for, nothing else may be wrong


def test_every_file_on_the_first_floor_is_a_verb_or_what_the_library_opens() -> None:
    assert {file.stem for file in CONFIGS.glob("*.yaml")} == {*verbs(), "memory"}


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_a_main(verb: str) -> None:
    """Its module is read, not imported: that would load its frameworks."""
    text = verbs()[verb].read_text(encoding="utf-8")
    assert "\ndef main(argv: list[str]) -> int | None:" in text or "\ndef main(argv: list[str]) -> int:" in text
