#!/usr/bin/env bash
# Runs the study on the papers' data sets, if you have them: all trainings, then tables and figures.
#
#   bash tools/study_papers.sh PLAN [options of study.py]
#
# The plans, with the number of GPUs that their batch size is meant for (--gpus N changes it):
#   cityscapes                4    Cityscapes, DeepLabV3-R101, 80k iterations of 4 x 2 crops
#   synthia_rand              4    SYNTHIA-RAND-CITYSCAPES, DeepLabV3-R18, 80k iterations of 4 x 4
#   recall_paper_synthia      1    SYNTHIA-SEQS-05-SUMMER as in the paper on recall loss, 100k
#   recall_paper_cityscapes   1    Cityscapes as in the paper on recall loss, 90k
#
# docs/data.md says where to put the data. After an interruption, the same command continues where
# it stopped. --dry-run lists the trainings. Methods without hyper-parameters to tune can be trained
# without the others' tuning: --stages train --methods KEY ...
set -euo pipefail
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case "${1:-}" in
    cityscapes | synthia_rand | recall_paper_synthia | recall_paper_cityscapes) ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
exec python "$TOOLS/study.py" "$TOOLS/../lab/plans/$1.py" "${@:2}"
