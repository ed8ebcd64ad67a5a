#!/usr/bin/env sh
# All tables of this folder; needs locomo, beam500k_user and beam100k in the data home (memshadow data fetch NAME).
set -eu
cd "$(dirname "$0")/../.."
python experiments/ranking/run.py shipped suites filters transfer ablation leaks speed served
python experiments/ranking/run.py locomo --learners ranker_trees ranker_linear
python experiments/ranking/run.py locomo --learners ranker_listwise
python experiments/ranking/run.py ceilings
python experiments/ranking/run.py second --learners ranker_trees --read 3 6
python experiments/ranking/run.py locomo --encoder bge_small_int8 --learners three_forests
python experiments/ranking/run.py second --encoder bge_small_int8 --learners three_forests --read 3 6 12
python experiments/tables.py
