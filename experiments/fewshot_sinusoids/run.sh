#!/usr/bin/env sh
# All tables and plots of this folder; needs no data.
set -eu
cd "$(dirname "$0")/../.."
python experiments/fewshot_sinusoids/run.py
python experiments/tables.py
