"""Each memory system behind the same five calls. A peer is set up as its documentation says, with rows of MiniLM.

``Rows`` gives known texts their ready-made rows and asks the encoder for others, so that loading 100,000 memories does
not measure one encoder a hundred thousand times. Every peer encodes with sentence-transformers, as they do by default.
"""

import os
import sys
from pathlib import Path

import numpy as np

DIM = 384


class Rows:
    """text -> row: from the table where it is known, else from the encoder."""

    def __init__(self, texts, rows):
        self.known = dict(zip(texts, rows, strict=True)) if texts else {}
        self._model = None

    def __call__(self, texts):
        if all(text in self.known for text in texts):
            return np.stack([self.known[text] for text in texts])
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            self._model = SentenceTransformer(os.environ["MINILM"], device="cpu")
        return self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


class Memshadow:
    embeds_itself = True

    def __init__(self, folder, rows):
        from memshadow.config import build, load

        config = load("memory", [f"folder={folder}", "ranking=vector"])
        embedder = build(config.embedder)
        self.memory = _with_rows(config, build, embedder, rows)

    def add(self, user, ids, texts):
        from memshadow import Scope

        self.memory.add(
            [{"id": one, "text": text} for one, text in zip(ids, texts, strict=True)], scope=Scope(user=user)
        )

    def search(self, user, text, k):
        from memshadow import Scope

        return [hit.record.id for hit in self.memory.search(text, k=k, scope=Scope(user=user))]

    def close(self):
        self.memory.close()


def _with_rows(config, build, embedder, rows):
    from memshadow.memory.service import Memory

    known = rows.known

    class Known:
        """The packaged encoder, but for texts whose rows are given."""

        name, dim, normalised, fingerprint, reach = embedder.name, DIM, True, embedder.fingerprint, (0, 0)

        def embed_passages(self, passages):
            texts = [passage.rendered() for passage in passages]
            if texts and all(text in known for text in texts):
                return np.stack([known[text] for text in texts])
            return embedder.embed_passages(passages)

        def embed_queries(self, texts, *, statistics=None):  # noqa: ARG002 - the protocol's
            if all(text in known for text in texts):
                return np.stack([known[text] for text in texts])
            return embedder.embed_queries(texts)

    return Memory(
        store=build(config.store),
        index=build(config.index),
        embedder=Known(),
        ranking=build(config.ranking),
        rule=build(config.supersession),
        counter=build(config.tokenizer),
        near_threshold=2.0,
    )


class Chroma:
    def __init__(self, folder, rows):
        import chromadb
        from chromadb.config import Settings

        self.client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
        self.rows = rows
        self.all = self.client.get_or_create_collection(
            "memories", metadata={"hnsw:space": "cosine"}, embedding_function=None
        )

    def add(self, user, ids, texts):
        self.all.add(ids=ids, documents=texts, embeddings=self.rows(texts), metadatas=[{"user": user} for _ in texts])

    def search(self, user, text, k):
        return self.all.query(query_embeddings=self.rows([text]), n_results=k, where={"user": user})["ids"][0]

    def close(self):
        pass


class Mem0:
    def __init__(self, folder, rows):
        os.environ |= {"MEM0_TELEMETRY": "False", "OPENAI_API_KEY": "none", "MEM0_DIR": str(folder / "home")}
        from mem0 import Memory

        config = {
            "vector_store": {
                "provider": "qdrant",
                "config": {"path": str(folder / "qdrant"), "embedding_model_dims": DIM, "on_disk": True},
            },
            "embedder": {"provider": "huggingface", "config": {"model": os.environ["MINILM"]}},
            "history_db_path": str(folder / "history.db"),
        }
        self.memory = Memory.from_config(config)
        model = self.memory.embedding_model
        encode = model.embed
        model.embed = lambda text, *a, **k: rows.known[text].tolist() if text in rows.known else encode(text, *a, **k)
        if hasattr(model, "embed_batch"):
            batch = model.embed_batch
            model.embed_batch = lambda texts, *a, **k: (
                [rows.known[t].tolist() for t in texts]
                if all(t in rows.known for t in texts)
                else batch(texts, *a, **k)
            )
        self.names = {}

    def add(self, user, ids, texts):
        for one, text in zip(ids, texts, strict=True):
            made = self.memory.add(
                [{"role": "user", "content": text}], user_id=user, infer=False, metadata={"mine": one}
            )
            self.names[made["results"][0]["id"]] = one

    def search(self, user, text, k):
        found = self.memory.search(text, filters={"user_id": user}, top_k=k, threshold=0.0)["results"]
        return [hit["metadata"]["mine"] for hit in found]

    def close(self):
        pass


class Lance:
    def __init__(self, folder, rows):
        import lancedb
        import pyarrow as pa

        self.db = lancedb.connect(str(folder))
        self.rows = rows
        schema = pa.schema(
            [("id", pa.string()), ("user", pa.string()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), DIM))]
        )
        self.table = self.db.create_table("m", schema=schema, exist_ok=True)

    def add(self, user, ids, texts):
        rows = self.rows(texts)
        self.table.add(
            [
                {"id": one, "user": user, "text": text, "vector": row}
                for one, text, row in zip(ids, texts, rows, strict=True)
            ]
        )

    def loaded(self):
        self.table.create_scalar_index("user", replace=True)
        self.table.optimize()

    def search(self, user, text, k):
        asked = self.table.search(self.rows([text])[0]).metric("cosine").where(f"user = '{user}'", prefilter=True)
        return [hit["id"] for hit in asked.limit(k).to_list()]

    def close(self):
        pass


class Txtai:
    def __init__(self, folder, rows):
        os.environ["ALLOW_RESOLVE_TRANSFORM"] = "True"
        from txtai import Embeddings

        self.rows, self.folder = rows, folder
        self.all = Embeddings(method="external", transform=lambda texts: rows(texts), content=True, backend="numpy")
        self.begun = (folder / "config").exists() or (folder / "config.json").exists()
        if self.begun:
            self.all.load(str(folder), config={"transform": lambda texts: rows(texts)})

    def add(self, user, ids, texts):
        told = [(one, {"text": text, "user": user}, None) for one, text in zip(ids, texts, strict=True)]
        (self.all.upsert if self.begun else self.all.index)(told)
        self.begun = True

    def loaded(self):
        self.all.save(str(self.folder))

    def search(self, user, text, k):
        sql = "select id from txtai where similar(:q, 100000) and user = :u limit :k"
        return [hit["id"] for hit in self.all.search(sql, parameters={"q": text, "u": user, "k": k})]

    def close(self):
        self.all.close()


class QdrantEdge:
    def __init__(self, folder, rows):
        import qdrant_edge as q

        self.q, self.rows = q, rows
        config = q.EdgeConfig(vectors=q.EdgeVectorParams(size=DIM, distance=q.Distance.Cosine))
        folder.mkdir(parents=True, exist_ok=True)
        self.shard = q.EdgeShard.load(str(folder)) if any(folder.iterdir()) else q.EdgeShard.create(str(folder), config)
        self.names = {}

    def add(self, user, ids, texts):
        import uuid

        points = []
        for one, text, row in zip(ids, texts, self.rows(texts), strict=True):
            name = uuid.uuid5(uuid.NAMESPACE_OID, one)
            points.append(self.q.Point(name, row.tolist(), {"id": one, "user": user, "text": text}))
        self.shard.update(self.q.UpdateOperation.upsert_points(points))

    def loaded(self):
        self.shard.update(self.q.UpdateOperation.create_field_index("user", self.q.PayloadSchemaType.Keyword))
        self.shard.optimize()
        self.shard.flush()

    def search(self, user, text, k):
        q = self.q
        only = q.Filter(must=[q.FieldCondition(key="user", match=q.MatchValue(value=user))])
        asked = q.QueryRequest(
            query=q.Query.Nearest(self.rows([text])[0].tolist()), limit=k, filter=only, with_payload=True
        )
        return [point.payload["id"] for point in self.shard.query(asked)]

    def close(self):
        self.shard.close()


class SqliteVec:
    def __init__(self, folder, rows):
        import pysqlite3 as sqlite3
        import sqlite_vec

        folder.mkdir(parents=True, exist_ok=True)
        self.rows = rows
        self.db = sqlite3.connect(folder / "m.db")
        self.db.enable_load_extension(True)
        sqlite_vec.load(self.db)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS m (n INTEGER PRIMARY KEY, id TEXT, user TEXT, text TEXT)")
        self.db.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS v USING vec0(n INTEGER PRIMARY KEY, user TEXT PARTITION KEY, "
            f"row FLOAT[{DIM}] distance_metric=cosine)"
        )

    def add(self, user, ids, texts):
        with self.db:
            for one, text, row in zip(ids, texts, self.rows(texts), strict=True):
                n = self.db.execute("INSERT INTO m (id, user, text) VALUES (?, ?, ?)", (one, user, text)).lastrowid
                self.db.execute("INSERT INTO v (n, user, row) VALUES (?, ?, ?)", (n, user, np.float32(row).tobytes()))

    def search(self, user, text, k):
        row = np.float32(self.rows([text])[0]).tobytes()
        sql = (
            "SELECT m.id, m.text FROM (SELECT n, distance FROM v WHERE row MATCH ? AND k = ? AND user = ?) f "
            "JOIN m ON m.n = f.n ORDER BY f.distance"
        )
        return [found[0] for found in self.db.execute(sql, (row, k, user))]

    def close(self):
        self.db.close()


class DuckAlone:
    def __init__(self, folder, rows):
        import duckdb

        folder.mkdir(parents=True, exist_ok=True)
        self.rows = rows
        self.db = duckdb.connect(str(folder / "m.duckdb"), config={"threads": 1})
        self.db.execute(f"CREATE TABLE IF NOT EXISTS m (id VARCHAR, owner VARCHAR, text VARCHAR, row FLOAT[{DIM}])")

    def add(self, user, ids, texts):
        import pyarrow as pa

        rows = np.asarray(self.rows(texts), dtype=np.float32)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), DIM)
        new = pa.table({"id": ids, "owner": [user] * len(ids), "text": texts, "row": vectors})  # noqa: F841
        self.db.execute("INSERT INTO m SELECT * FROM new")

    def search(self, user, text, k):
        sql = f"SELECT id, text FROM m WHERE owner = $1 ORDER BY array_cosine_distance(row, $2::FLOAT[{DIM}]) LIMIT {k}"
        return [found[0] for found in self.db.execute(sql, [user, self.rows([text])[0].tolist()]).fetchall()]

    def close(self):
        self.db.close()


class LangGraph:
    """In memory alone: its durable store needs a server."""

    def __init__(self, folder, rows):  # noqa: ARG002 - it has none
        from langgraph.store.memory import InMemoryStore

        embed = lambda texts: [row.tolist() for row in rows(texts)]  # noqa: E731
        self.store = InMemoryStore(index={"dims": DIM, "embed": embed, "fields": ["text"]})

    def add(self, user, ids, texts):
        from langgraph.store.base import PutOp

        self.store.batch([PutOp((user,), one, {"text": text}) for one, text in zip(ids, texts, strict=True)])

    def search(self, user, text, k):
        return [item.key for item in self.store.search((user,), query=text, limit=k)]

    def close(self):
        pass


SYSTEMS = {
    "memshadow": Memshadow,
    "mem0": Mem0,
    "chroma": Chroma,
    "lancedb": Lance,
    "txtai": Txtai,
    "qdrant-edge": QdrantEdge,
    "sqlite-vec": SqliteVec,
    "duckdb": DuckAlone,
    "langgraph": LangGraph,
}


def open_system(name, folder, rows):
    return SYSTEMS[name](Path(folder), rows)


if __name__ == "__main__":
    sys.exit("run.py runs these")
