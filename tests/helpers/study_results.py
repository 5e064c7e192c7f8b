"""Plans and records made up for tests of a study's tables and figures."""

from dataclasses import replace

import numpy as np
from made_runs import made_run

from lab.study.plan import Method, Plan
from lab.study.record import Record

GAMMA = 'head.loss_decode.gamma'
CLASSES = ['road', 'car', 'pole']
MACHINE = {'device': 'a CPU, 1 threads', 'PyTorch': '2'}


def made_plan(seeds=(0, 1), targets=(), **methods):
    """A plan of two baselines and one method of the project's own, and of ``methods``."""
    made = {
        'ce': Method('ce', 'cross-entropy', 'cross_entropy/ce'),
        'focal': Method('focal', 'focal loss', 'baselines/focal', grid={GAMMA: [2.0, 1.0]}),
        'recall': Method('recall', 'recall loss', 'recall_loss/recall', ours=True),
    }
    return Plan('toy', 'Toy', 'net_data', {**made, **methods}, list(seeds), targets=list(targets))


def made_record(
    method='ce', seed=0, stage='train', iou=(90, 50, 10), acc=(95, 60, 20), choice=None, **kwargs
):
    """A record of a plan's trial with these scores per class; the last one is the tail.

    ``images`` are the percentages of the training images that hold them.
    """
    plan = replace(kwargs.pop('plan', None) or made_plan(), seeds=[seed])
    trials = (trial for trial in plan.trials(stage) if trial.method == method)
    trial = next(trial for trial in trials if trial.choice == (choice or {}))
    means = {
        'mIoU': np.mean(iou),
        'mAcc': np.mean(acc),
        'aAcc': 70.0 + seed,
        'mIoU_tail': iou[-1],
        'mAcc_tail': acc[-1],
    }
    curves = {'loss': (np.array([1, 2]), np.array([2.5, 1.25]))}
    share = [80.0, 19.0, 1.0]
    images = kwargs.pop('images', None)
    run = made_run(
        method, seed, iou, acc, CLASSES, [800, 190, 10], share, curves, images, means=means
    )
    augmented = {key: value + 1 for key, value in means.items()} if stage == 'train' else {}
    given = {'run': run, 'augmented': augmented} | kwargs
    return Record(trial, f'python tools/train.py {method}.py', MACHINE, **given)


def write_study(folder):
    """Writes the records of :func:`made_plan`, with a gain of recall loss in every seed."""
    records = [
        made_record('ce', 0),
        made_record('ce', 1, iou=(92, 52, 6), acc=(95, 60, 24)),
        made_record('focal', 0, iou=(90, 50, 13)),
        made_record('focal', 1, iou=(91, 52, 10)),
        made_record('recall', 0, iou=(90, 50, 22), acc=(94, 70, 60)),
        made_record('recall', 1, iou=(90, 52, 20), acc=(94, 70, 70)),
        made_record('focal', stage='tune', choice={GAMMA: 2.0}, iou=(90, 50, 11)),
        made_record('focal', stage='tune', choice={GAMMA: 1.0}),
    ]
    for key, seconds, memory in (('ce', 0.5, 1000), ('focal', 0.55, 1100), ('recall', 0.6, 900)):
        records.append(
            made_record(key, stage='cost', run=None, seconds=seconds, memory=float(memory))
        )
    for record in records:
        record.write(folder)
    return records
