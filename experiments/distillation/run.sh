#!/usr/bin/env sh
# All tables of this folder; needs locomo in the data home (memshadow data fetch locomo) and memshadow[rerank].
set -eu
cd "$(dirname "$0")/../.."
for encoder in minilm bge_small_int8; do
    python experiments/distillation/run.py locomo choice --encoder "$encoder" --seeds 2
done
python experiments/distillation/run.py transfer --encoder minilm --seeds 2
python experiments/tables.py
