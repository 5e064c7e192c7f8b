"""The results that are kept in the repository, and the pages that show them."""

import re
from pathlib import Path

import numpy as np
import pytest

from lab.study.metafile import update_metafile
from lab.study.pages import update_page
from lab.study.plan import STAGES, Plan
from lab.study.record import read_records
from lab.study.results import Results
from mmseg_imbalance.evaluation.class_groups import class_groups

ROOT = Path(__file__).resolve().parents[2]
KEPT = sorted((ROOT / 'lab/plans/results').iterdir())
PAGES = [
    path
    for pattern in ('*.md', 'docs/*.md', 'configs/*/README.md', 'configs/*/metafile.yml')
    for path in sorted(ROOT.glob(pattern))
]


def plan(folder):
    return Plan.fromfile(ROOT / 'lab/plans' / f'{folder.name}.py')


@pytest.mark.parametrize('folder', KEPT, ids=lambda folder: folder.name)
def test_every_record_is_of_the_plan(folder):
    results = Results.read(plan(folder), folder)
    records = [r for stage in STAGES for r in read_records(folder, stage)]
    chosen = {r.trial.name for r in results.tuned}
    shown = {r.trial.name for r in results.records}
    for record in records:
        known = {
            'tune': chosen,
            'train': shown,
            'cost': set(results.costs),
            'calibrate': {r.trial.name for r in results.calibrated},
        }[record.trial.stage]
        assert record.trial.name in known
        assert record.run is None or record.run.work_dir == record.trial.name
    assert len(results.trained) > 1


@pytest.mark.parametrize('folder', KEPT, ids=lambda folder: folder.name)
def test_means_are_those_of_the_classes(folder):
    for stage in ('tune', 'train'):
        for record in read_records(folder, stage):
            run = record.run
            tail = class_groups(np.array(list(run.training_share.values())) / 100)
            for kind, mean in (('IoU', 'mIoU'), ('Acc', 'mAcc')):
                values = np.array(list(run.scores[kind].values()))
                assert run.means[mean] == pytest.approx(np.nanmean(values), abs=0.011)
                of_tail = values[np.array(tail) == 'tail']
                assert run.means[f'{mean}_tail'] == pytest.approx(np.nanmean(of_tail), abs=0.011)


@pytest.mark.parametrize('folder', KEPT, ids=lambda folder: folder.name)
def test_nothing_of_a_machine_is_kept(folder):
    for path in folder.rglob('*.json'):
        assert not re.search(r'["=]/', path.read_text()), path


def test_pages_show_what_is_kept():
    """tools/analysis_tools/study_report.py brings them up to date, see docs/study.md."""
    results = {folder.name: Results.read(plan(folder), folder) for folder in KEPT}
    for path in PAGES:
        update = update_metafile if path.suffix == '.yml' else update_page
        assert not update(path, results, check=True), path
