#!/usr/bin/env bash
# The study on the papers' own data, for who has them: all trainings, then tables and figures.
#
#   bash tools/study_papers.sh PLAN [options of study.py]
#
# PLAN, with the number of GPUs that its batch size is for (--gpus N for another):
#   cityscapes                4    Cityscapes, DeepLabV3-R101, 80k iterations of 4 x 2 crops
#   synthia_rand              4    SYNTHIA-RAND-CITYSCAPES, DeepLabV3-R18, 80k iterations of 4 x 4
#   recall_paper_synthia      1    SYNTHIA-SEQS-05-SUMMER as in the paper of recall loss, 100k
#   recall_paper_cityscapes   1    Cityscapes as in the paper of recall loss, 90k
#
# The data go where docs/data.md says. Interrupted, the same command goes on where it was. Choosing
# hyper-parameters takes 26 of the 86 trainings of cityscapes and synthia_rand;
# --stages train --methods KEY ... does without, for methods that have none to choose.
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
