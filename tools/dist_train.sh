#!/usr/bin/env bash
# Trains with one process per GPU, or with several processes and gloo on a machine without a GPU.
#
#   tools/dist_train.sh CONFIG NPROC [options of train.py]
#
# For several machines, set NNODES, NODE_RANK (0 …), MASTER_ADDR and PORT on each of them.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG NPROC [options of train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONFIG=$1
NPROC=$2
if [ ! -f "$CONFIG" ]; then
    echo "dist_train.sh: error: config file not found: $CONFIG" >&2
    exit 2
fi

exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="${PORT:-29500}" \
    --nproc-per-node="$NPROC" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
