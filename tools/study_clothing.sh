#!/usr/bin/env bash
# Runs a short study on Clothing Co-Parsing: cross-entropy, alone and with Lovász soft-max, and
# recall loss with Lovász soft-max and sampling, on a pre-trained network, unattended, then tables
# and figures. It takes half an hour to an hour on two CPU cores.
#
#   bash tools/study_clothing.sh [options of study.py]
#
# After an interruption, the same command continues where it stopped. The network's weights are
# downloaded at the first start (14 MB). The photographs are not included; get them once:
#
#   git clone --depth 1 https://github.com/bearpaw/clothing-co-parsing
#   python tools/dataset_converters/clothing.py clothing-co-parsing data/clothing
set -euo pipefail
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ ! -d data/clothing/images ]; then
    echo "$0: error: data/clothing is missing; get Clothing Co-Parsing with" >&2
    sed -n 's/^#   \(git clone\|python\)/    \1/p' "$0" >&2
    exit 2
fi
exec python "$TOOLS/study.py" "$TOOLS/../lab/plans/clothing_short.py" "$@"
