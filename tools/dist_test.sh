#!/usr/bin/env bash
# Tests with one process per GPU, or with several processes and gloo on a machine without a GPU.
#
#   tools/dist_test.sh CONFIG CHECKPOINT NPROC [options of test.py]
#
# For several machines, set NNODES, NODE_RANK (0 …), MASTER_ADDR and PORT on each of them.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT NPROC [options of test.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONFIG=$1
CHECKPOINT=$2
NPROC=$3
if [ ! -f "$CONFIG" ]; then
    echo "dist_test.sh: error: config file not found: $CONFIG" >&2
    exit 2
fi

exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="${PORT:-29500}" \
    --nproc-per-node="$NPROC" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
