#!/usr/bin/env bash
# One chunk of training on a machine with a GPU, from a copy of this repository and nothing installed but PyTorch, NumPy,
# Pillow and safetensors:
#
#     bench/train_gpu.sh PACK RUN CARRY [options of lmaps.engine.priors.training.train]
#
# PACK   photographs, made by --pack              RUN   checkpoint and log; keep it between chunks to resume exactly
# CARRY  the averaged weights in files of at most 15 MB and the log, written with every checkpoint; bring this folder home
#
# Call it again for the next chunk; --minutes 7 makes it end sooner. --total-minutes is the length of all chunks together.
# On a fresh machine, with CARRY brought along, add: --start-from CARRY
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
pack=$1 run=$2 carry=$3
shift 3

root=$(cd "$(dirname "$0")/.." && pwd)
links=$root/build/training/lmaps
mkdir -p "$links"
for file in "$root"/lmaps/*; do ln -sfn "$file" "$links/"; done
for folder in engine kernels export; do ln -sfn "$root/$folder" "$links/$folder"; done

# -P: from the root of the repository `python3 -m` would find the folder lmaps there first, which is not the whole package.
export PYTHONPATH="$root/build/training${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec python3 -P -m lmaps.engine.priors.training.train --packed "$pack" --run "$run" --recipe gpu --resume-if-any \
  --minutes 8.5 --total-minutes 24 --report-every 400000 --carry "$carry" --carry-megabytes 24 "$@"
