"""The store for one process: DuckDB rows, vectors as bytes, one folder."""

from memshadow.data.store.embedded.examination import Report, examine
from memshadow.data.store.embedded.salvage import salvage
from memshadow.data.store.embedded.store import EmbeddedStore

__all__ = ["EmbeddedStore", "Report", "examine", "salvage"]
