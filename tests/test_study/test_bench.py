"""What a bench takes on; tests/test_tools/test_benchmark.py lets it work."""

from pathlib import Path

import pytest
from study_results import GAMMA, made_plan, made_record, write_study

from mmseg_imbalance.command_line import ToolError
from mmseg_imbalance.study import Bench, Method


def made_bench(folder, plan=None, **asked):
    return Bench(plan or made_plan(), Path('tools'), folder / 'work', folder, **asked)


def test_what_has_a_record_is_done(tmp_path):
    write_study(tmp_path)
    assert list(made_bench(tmp_path).preview()) == []
    assert made_bench(tmp_path, stages=['tune', 'train']).carry_out()[0].name == 'report.md'


def test_what_is_trained_under_another_name_is_refused(tmp_path):
    """Rather than nothing being done, and all said to be well."""
    write_study(tmp_path)
    plan = made_plan(twin=Method('twin', 'twin', 'baselines/focal', {GAMMA: 2.0}))
    bench = made_bench(tmp_path, plan, stages=['train'], methods=['ce', 'twin'])
    with pytest.raises(ToolError, match='twin is the same as a method before it'):
        bench.carry_out()
    made_record('focal', stage='tune', choice={GAMMA: 1.0}, iou=(99,) * 3).write(tmp_path)
    for path in tmp_path.glob('train/focal_*.json'):
        path.unlink()
    lines = made_bench(tmp_path, plan, stages=['cost'], methods=['twin']).preview()
    assert list(lines) == ['cost twin']
