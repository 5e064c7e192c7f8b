"""Results in metafiles."""

import dataclasses

import pytest
import yaml
from study_results import GAMMA, made_plan, made_record

from lab.study.metafile import trained_as_shipped, update_metafile
from lab.study.plan import Trial
from lab.study.results import Results
from mmseg_imbalance.utils.errors import ToolError

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


@pytest.mark.parametrize(
    ('options', 'shipped'),
    [
        ({'head__loss_decode__normalizer': 'weight'}, True),
        ({'head__loss_decode__normalizer': 'all'}, False),
        ({'head__loss_decode__floor': 1.0, 'head__loss_decode__momentum': None}, True),
        ({'head__loss_decode__momentum': 0.02}, False),
        ({'head__loss_decode__type': 'RecallLoss'}, True),
        ({'head__loss_decode__nothing': 'weight'}, False),
    ],
)
def test_a_default_is_what_a_config_leaves_out(options, shipped):
    assert trained_as_shipped(trial('recall_loss/recall', **options)) is shipped


@pytest.fixture
def results(tmp_path):
    """Results of the plan of :func:`made_plan`, those of focal loss with a gamma of its own."""
    methods = made_plan().methods
    focal = dataclasses.replace(methods['focal'], grid={GAMMA: [1.0, 3.0]})
    plan = dataclasses.replace(made_plan(focal=focal), setting=CAMVID[:-3])
    for method in plan.methods:
        for seed in plan.seeds:
            made_record(method, seed, plan=plan).write(tmp_path)
    return {'toy': Results.read(plan, tmp_path)}


def write_metafile(path, *models):
    path.write_text(yaml.safe_dump({'Collections': [{'Name': 'ü'}], 'Models': list(models)}))
    return path


def test_only_configs_trained_as_they_are_have_results(results, tmp_path):
    names = [f'{method}_{CAMVID[:-3]}' for method in ('ce', 'focal', 'recall')]
    stale = [{'Task': 'x', 'Metrics': {'mIoU': 99.0}}]
    models = [{'Name': name, 'Results': stale} for name in [*names, 'of_another_plan']]
    path = write_metafile(tmp_path / 'metafile.yml', *models)
    before = path.read_text()
    assert update_metafile(path, results, check=True) and path.read_text() == before
    assert update_metafile(path, results)
    content = yaml.safe_load(path.read_text())
    assert content['Collections'] == [{'Name': 'ü'}]
    found = {model['Name']: model.get('Results') for model in content['Models']}
    assert found[names[1]] is None
    assert found['of_another_plan'] == stale
    assert found[names[2]] == [
        {
            'Task': 'Semantic Segmentation',
            'Dataset': 'Toy',
            'Metrics': {'mIoU': 50.0, 'mIoU(ms+flip)': 51.0, 'mAcc': 58.3},
            'Command': 'python tools/train.py recall.py',
        }
    ]
    later = dataclasses.replace(results['toy'], trained={})  # another plan of the same setting
    assert not update_metafile(path, results | {'later': later})


def test_studies_without_augmentation_have_no_scores_with_it(tmp_path):
    plan = dataclasses.replace(made_plan(), setting=CAMVID[:-3], augmented=False)
    for method in ('ce', 'recall'):
        made_record(method, 0, plan=plan, augmented={}).write(tmp_path)
    path = write_metafile(tmp_path / 'metafile.yml', {'Name': f'recall_{CAMVID[:-3]}'})
    assert update_metafile(path, {'toy': Results.read(plan, tmp_path)})
    (model,) = yaml.safe_load(path.read_text())['Models']
    assert model['Results'][0]['Metrics'] == {'mIoU': 50.0, 'mAcc': 58.3}


def test_another_style_is_not_out_of_date(results, tmp_path):
    path = write_metafile(tmp_path / 'metafile.yml', {'Name': 'of_another_plan'})
    path.write_text('# a comment\n' + path.read_text())
    assert not update_metafile(path, results)


@pytest.mark.parametrize('text', ['', '[1]', 'Models: [3]', 'Models: {', 'Collections: []'])
def test_what_is_no_metafile_is_named(results, tmp_path, text):
    path = tmp_path / 'metafile.yml'
    path.write_text(text)
    with pytest.raises(ToolError, match=r'metafile\.yml is not a metafile'):
        update_metafile(path, results)
