"""Sentences per CPU-second in training: our loop against sentence-transformers' trainer, in one interleaved run.

Both train all-MiniLM-L6-v2 with AdamW on the same pairs, batch size and number of steps, with in-batch negatives
(MultipleNegativesRankingLoss there, Contrast here). CPU time is the process's own (user + system), set-up left out.
``python benchmarks/training/throughput.py [--rounds 3] [--steps 20] [--batch 32]`` prints the table and writes
results.json; bf16 is run where the CPU multiplies it. The peer needs the packages in requirements.txt.
"""
# ruff: noqa: ARG002 - the signatures of callbacks are the frameworks'

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

SYSTEMS = (
    "sentence-transformers",
    "memshadow",
    "memshadow, no buckets",
    "memshadow, gradient cache",
    "memshadow, bf16",
)
SEQUENCE = 128


def texts(count):
    """Return pairs of a question and a turn, lengths as in chats; the synthetic corpus."""
    from memshadow.config import build, load
    from memshadow.data.pairs import EvidencePairs

    config = load("train", ["data.memories=6000"])
    conversations = list(build(config.data).conversations())
    pairs = EvidencePairs(negatives=0, skip=0, turns_before=1).pairs(
        conversations, lambda queries, passages: __import__("numpy").zeros((len(queries), len(passages)))
    )
    return [(pair.query, pair.positive) for pair in pairs][:count]


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peer(pairs, batch, steps):
    from datasets import Dataset, disable_caching
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    from memshadow.models.pretrained import locate

    class Clock(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            self.began = cpu_s()

        def on_train_end(self, *args, **kwargs):
            self.used = cpu_s() - self.began

    disable_caching()
    model = SentenceTransformer(str(locate("minilm")), device="cpu")
    model.max_seq_length = SEQUENCE
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=steps,
            learning_rate=3e-5,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            seed=0,
        )
        rows = Dataset.from_dict({"anchor": [a for a, _ in pairs], "positive": [b for _, b in pairs]})
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=rows, loss=MultipleNegativesRankingLoss(model), callbacks=[clock]
        ).train()
    return clock.used


def ours(pairs, batch, steps, *, pool=16, cached=False, precision="32-true"):
    import pytorch_lightning as pl
    import torch

    from memshadow.data.pairs import TrainingPair
    from memshadow.models.contrast import Contrast
    from memshadow.models.encoder import PretrainedEncoder
    from memshadow.models.finetune import _framed
    from memshadow.models.module import EncoderModule
    from memshadow.models.texts import TextPairs, graded
    from memshadow.models.tokens import Tokens
    from memshadow.training.quiet import quiet

    class Clock(pl.Callback):
        def on_train_start(self, *args):
            self.began = cpu_s()

        def on_train_end(self, *args):
            self.used = cpu_s() - self.began

    source, clock = PretrainedEncoder(model="minilm", dropout=0.1), Clock()
    before = cpu_s()
    data = TextPairs(
        [TrainingPair(query, positive, ()) for query, positive in pairs],
        [],
        cut=partial(_framed, Tokens(source.folder), SEQUENCE),
        guide=None,
        batch_size=batch,
        pool=pool,
        chunk_tokens=4096,
        workers=0,
        seed=0,
        cache=Path(),
    )
    tokenising = (cpu_s() - before) * min(1.0, steps * batch / len(pairs))  # the peer pays it as it goes
    contrast = Contrast(scale=20.0, hardness=0.0, margin=None, distil=0.0, temperature=0.05, dims=[], cached=cached)
    module = EncoderModule(
        source.encoder(),
        objective=contrast,
        metric=graded,
        monitor="val",
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-5, weight_decay=0.01),
        steps=steps,
        warmup_share=0.1,
    )
    with quiet(), warnings.catch_warnings():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=steps,
            precision=precision,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            gradient_clip_val=1.0,
        )
        trainer.fit(module, data.train_dataloader())
    return clock.used + tokenising


RUNS = {
    "sentence-transformers": peer,
    "memshadow": ours,
    "memshadow, no buckets": partial(ours, pool=1),
    "memshadow, gradient cache": partial(ours, cached=True),
    "memshadow, bf16": partial(ours, precision="bf16-mixed"),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--only", choices=SYSTEMS)
    given = parser.parse_args()
    if given.only:
        import torch

        torch.set_num_threads(1)
        used = RUNS[given.only](texts(given.steps * given.batch), given.batch, given.steps)
        print(json.dumps(2 * given.steps * given.batch / used))
        return
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {name}" in flags]
    measured = {system: [] for system in SYSTEMS if "bf16" not in system or {"avx512_bf16", "amx_bf16"} & set(cpu)}
    for _ in range(given.rounds):
        for system in measured:
            command = [
                sys.executable,
                __file__,
                "--only",
                system,
                "--steps",
                str(given.steps),
                "--batch",
                str(given.batch),
            ]
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
            }
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(done.stderr)
            measured[system].append(float(done.stdout.splitlines()[-1]))
            print(f"{system:28s} {measured[system][-1]:6.1f} sentences / CPU-s", flush=True)
    base = statistics.median(measured[SYSTEMS[0]])
    print("\n| system | sentences / CPU-s (median of rounds) | times sentence-transformers |\n|---|---|---|")
    for system, values in measured.items():
        print(f"| {system} | {statistics.median(values):.1f} | {statistics.median(values) / base:.2f} |")
    facts = {"cpu": cpu, "python": platform.python_version(), "steps": given.steps, "batch": given.batch}
    Path(__file__).with_name("results.json").write_text(json.dumps({**facts, "rounds": measured}, indent=2) + "\n")


if __name__ == "__main__":
    main()
