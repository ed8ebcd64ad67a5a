#!/usr/bin/env sh
# All tables of this folder; needs locomo, beam500k_user and beam100k in the data home (memshadow data fetch NAME).
set -eu
cd "$(dirname "$0")/../.."
python experiments/ranking/run.py locomo transfer shipped ablation leaks ceilings suites speed
python experiments/ranking/run.py locomo shipped --encoder bge_small_int8 --learners ranker_trees
python experiments/tables.py
