"""Results in metafiles."""

import dataclasses

import pytest
import yaml
from study_results import made_plan, write_study

from mmseg_imbalance.study import Results, Trial, update_metafile
from mmseg_imbalance.study.metafile import trained_as_shipped

CAMVID = 'deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py'


def trial(config='baselines/focal', **options):
    dotted = {key.replace('__', '.'): value for key, value in options.items()}
    return Trial('train', 'x', 0, f'{config}_{CAMVID}', dotted)


@pytest.mark.parametrize(
    ('options', 'shipped'),
    [
        ({}, True),
        ({'head__loss_decode__gamma': 2.0}, True),
        ({'head__loss_decode__gamma': 1.0}, False),
        ({'train_dataloader__num_workers': 0}, True),
        ({'train_dataloader__batch_size': 3}, False),
        ({'optim_wrapper__optimizer__lr': 0.004}, True),
        ({'optim_wrapper__optimizer__lr': 0.002}, False),
        ({'head__sampler__type': 'OHEMPixelSampler'}, False),
    ],
)
def test_what_counts_as_the_shipped_config(options, shipped):
    assert trained_as_shipped(trial(**options)) is shipped


@pytest.fixture
def results(tmp_path):
    """Results of the plan of :func:`made_plan`, those of focal loss with a gamma of its own."""
    configs = {'ce': 'cross_entropy/ce', 'focal': 'baselines/focal', 'recall': 'recall_loss/recall'}
    for record in write_study(tmp_path):
        options = {'head.loss_decode.gamma': 1.0} if record.trial.method == 'focal' else {}
        config = f'{configs[record.trial.method]}_{CAMVID}'
        changed = dataclasses.replace(record.trial, config=config, options=options)
        dataclasses.replace(record, trial=changed).write(tmp_path)
    return {'toy': Results.read(made_plan(), tmp_path)}


def test_only_configs_trained_as_they_are_have_results(results, tmp_path):
    path = tmp_path / 'metafile.yml'
    names = [f'{method}_{CAMVID[:-3]}' for method in ('ce', 'focal', 'recall')]
    stale = [{'Task': 'x', 'Metrics': {'mIoU': 99.0}}]
    models = [{'Name': name, 'Results': stale} for name in [*names, 'other']]
    path.write_text(yaml.safe_dump({'Collections': [{'Name': 'ü'}], 'Models': models}))
    before = path.read_text()
    assert update_metafile(path, results, check=True) and path.read_text() == before
    assert update_metafile(path, results)
    content = yaml.safe_load(path.read_text())
    assert content['Collections'] == [{'Name': 'ü'}]
    found = {model['Name']: model.get('Results') for model in content['Models']}
    assert found[names[1]] is None and found['other'] is None
    assert found[names[2]] == [
        {
            'Task': 'Semantic Segmentation',
            'Dataset': 'Toy',
            'Metrics': {'mIoU': 54.0, 'mIoU(ms+flip)': 55.0, 'mAcc': 76.3},
        }
    ]
    assert not update_metafile(path, results)
