import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder: lesson.py is shared by these tests


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return, for ``trees``, ``linear`` or ``listwise``, what came of training it on the small corpus: once each."""
    pytest.importorskip("pytorch_lightning")
    from lesson import learner, taught

    done = {}

    def of(kind):
        if kind == "trees":
            pytest.importorskip("lightgbm")
        if kind not in done:
            done[kind] = taught(tmp_path_factory.mktemp(kind) / "run", learner(kind))
        return done[kind]

    return of
