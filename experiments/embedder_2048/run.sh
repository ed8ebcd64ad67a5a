#!/usr/bin/env sh
# All tables of this folder; needs locomo, beam500k, beam100k, scifact and stsb in the data home (memshadow data fetch NAME).
set -eu
cd "$(dirname "$0")/../.."
python experiments/embedder_2048/run.py locomo synthetic beam beam100k --seeds 5
python experiments/embedder_2048/run.py ablation bytes forgetting tries finetune
python experiments/tables.py
