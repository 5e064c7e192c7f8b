#!/usr/bin/env bash
# Trains on a Slurm cluster, one task per GPU.
#
#   GPUS=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
#
# Environment variables (default): GPUS (4), GPUS_PER_NODE (4), CPUS_PER_TASK (5), SRUN_ARGS (none).
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [options of train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck disable=SC2086  # SRUN_ARGS holds several words
exec srun --partition="$1" --job-name="$2" \
    --gres=gpu:"${GPUS_PER_NODE:-4}" \
    --ntasks="${GPUS:-4}" \
    --ntasks-per-node="${GPUS_PER_NODE:-4}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$TOOLS/train.py" "$3" --launcher slurm "${@:4}"
