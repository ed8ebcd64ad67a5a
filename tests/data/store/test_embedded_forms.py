"""A store of every released form still opens and gives what was put into it."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
from small_store import Open

from memshadow.data.store.base import Filter
from memshadow.data.store.embedded import examine
from memshadow.data.store.embedded.migrations import NEWEST, STEPS
from memshadow.data.store.reference import ReferenceStore
from memshadow.types import Scope

FORMS = Path(__file__).parent / "forms"


def make() -> ModuleType:
    """Import the script that made the artefacts."""
    spec = importlib.util.spec_from_file_location("make_form", FORMS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", sorted(STEPS))
def test_a_stored_form_opens_whole(form: int, folder: Path, open_store: Open) -> None:
    folder.mkdir(mode=0o700)
    with tarfile.open(FORMS / f"form{form}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    reference = ReferenceStore()
    make().fill(reference)
    store = open_store()
    everything = Filter(latest_only=False)
    assert store.last_seq == reference.last_seq
    assert store.embeddings() == reference.embeddings()
    assert list(store.owners()) == list(reference.owners())
    assert list(store.changed("second", after=0)) == list(reference.changed("second", after=0))
    for (tenant, user), _ in reference.owners():
        scope = Scope(tenant=tenant, user=user)
        assert store.page(scope, everything, after=0, limit=99) == reference.page(scope, everything, after=0, limit=99)
        for fingerprint in ("first", "second"):
            kept, wanted = (s.stored(scope.owner, fingerprint) for s in (store, reference))
            assert [(k.record, k.written_seq, k.vector.tolist()) for k in kept] == [
                (w.record, w.written_seq, w.vector.tolist()) for w in wanted
            ]
    store.close()
    assert examine(folder).findings == []


def test_every_form_has_its_artefact() -> None:
    assert {file.name for file in FORMS.glob("*.tar.gz")} == {f"form{form}.tar.gz" for form in range(1, NEWEST + 1)}
    assert all(file.stat().st_size < 300_000 for file in FORMS.glob("*.tar.gz"))
