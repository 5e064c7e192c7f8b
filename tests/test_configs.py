"""Every shipped config: loads, builds, is named after what it holds, reads data and trains."""

import copy
import re
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from head_losses import losses_of
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmengine.utils import import_modules_from_strings
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from tiny_statistics import make_statistics

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(p for p in (ROOT / 'configs').glob('*/*.py') if p.parent.name != '_base_')
SAMPLED = 'class_balanced_sampling'
BASELINES = 'baselines'
METHODS = {  # folder and losses of each
    'ce': ('cross_entropy', 'CrossEntropyLoss'),
    'lmp': ('loss_max_pooling', 'LossMaxPooling'),
    'lmp-lovasz': ('loss_max_pooling', 'LossMaxPooling + LovaszSoftmaxLoss'),
    'recall': ('recall_loss', 'RecallLoss'),
    'recall-lovasz': ('recall_loss', 'RecallLoss + LovaszSoftmaxLoss'),
    'wce': (BASELINES, 'WeightedCrossEntropyLoss'),
    'focal': (BASELINES, 'SoftmaxFocalLoss'),
    'lovasz': (BASELINES, 'LovaszSoftmaxLoss'),
    'ce-lovasz': (BASELINES, 'CrossEntropyLoss + LovaszSoftmaxLoss'),
    'balanced-softmax': (BASELINES, 'LogitAdjustedLoss'),
    'unified-focal': (BASELINES, 'UnifiedFocalLoss'),
    'ce-cbs': (SAMPLED, 'CrossEntropyLoss'),
    'lmp-cbs': (SAMPLED, 'LossMaxPooling'),
    'recall-cbs': (SAMPLED, 'RecallLoss'),
    'recall-lovasz-cbs': (SAMPLED, 'RecallLoss + LovaszSoftmaxLoss'),
}
FOLDERS = sorted({folder for folder, _ in METHODS.values()})
DATA = {
    'cityscapes': 'CheckedCityscapesDataset',
    'synthia-rand': 'SynthiaRandDataset',
    'synthia-seqs': 'SynthiaSeqDataset',
    'camvid': 'CamVidDataset',
    'clothing': 'ClothingDataset',
    'toy-streets': 'ToyStreetsDataset',
}
BACKBONES = {  # names, stride before the stages, and the first weight that is trained
    'ResNetV1c': ('r{depth}', 4, 'stem.0.weight'),
    'MobileNetV2': ('mobilenet-v2', 2, 'layer4.0.conv.0.conv.weight'),
}
SHIPPED = {  # with every method
    ('r101', 'cityscapes'),
    ('r18', 'synthia-rand'),
    ('r18', 'camvid'),
    ('r18', 'toy-streets'),
    ('mobilenet-v2', 'camvid'),
    ('mobilenet-v2', 'clothing'),
}
NAME = re.compile(
    r'(?P<method>[a-z-]+)_deeplabv3-(?P<backbone>r\d+|mobilenet-v2)-d(?P<stride>\d+)'
    r'_(?P<gpus>\d)xb(?P<batch>\d+)-(?P<optimizer>adam-)?(?P<iters>\d+k?)'
    r'_(?P<data>[a-z-]+)-(?P<height>\d+)x(?P<width>\d+)'
)


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_all_modules(init_default_scope=True)
    import_modules_from_strings('mmseg_imbalance')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny inputs: threads would wait for one another
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request):
    return request.param


def load(path):
    return copy.deepcopy(_loaded(path)) if path in CONFIGS else _load(path)


def _load(path):
    return Config.fromfile(path, import_custom_modules=False)


_loaded = cache(_load)


def heads(model):
    return [model[key] for key in ('decode_head', 'auxiliary_head') if model.get(key)]


def check_losses(model, types):
    for head, weight in zip(heads(model), (1.0, 0.4), strict=False):
        assert ' + '.join(loss.type for loss in losses_of(head)) == types
        assert {loss.get('loss_weight', 1.0) for loss in losses_of(head)} == {weight}


def method(path):
    """Name, folder and loss of a config's method."""
    name = NAME.fullmatch(path.stem)['method']
    return name, *METHODS[name]


def without_helpers(cfg):
    """A config without the names by which the files of losses hand these over."""
    return {key: value for key, value in cfg.to_dict().items() if key not in ('loss', 'heads')}


def counterpart(path, name):
    """The config of another method in the same setting."""
    own, folder = method(path)[:2]
    return ROOT / 'configs' / METHODS[name][0] / path.name.replace(f'{own}_', f'{name}_', 1)


def test_every_method_is_there_and_cross_entropy_with_every_network():
    found = {NAME.fullmatch(p.stem).group('method', 'backbone', 'data') for p in CONFIGS}
    assert found >= {(name, *setting) for name in METHODS for setting in SHIPPED}
    assert {data for _, data in SHIPPED} == set(DATA) - {'synthia-seqs'}
    for data in ('cityscapes', 'synthia-rand', 'synthia-seqs'):
        backbones = {backbone for name, backbone, on in found if (name, on) == ('ce', data)}
        assert backbones == {'r18', 'r50', 'r101'}


WITH_LOSSES = [name for name in METHODS if name != 'ce' and not name.endswith('-cbs')]
CROSS_ENTROPY = [p for p in CONFIGS if method(p)[0] == 'ce']


@pytest.mark.parametrize('name', WITH_LOSSES)
def test_a_loss_goes_with_every_cross_entropy_config(name, tmp_path):
    """As the pages of the losses show it, in two lines."""
    file_of_loss = ROOT / f'configs/_base_/losses/{name.replace("-", "_")}.py'
    file = tmp_path / 'config.py'
    for base in CROSS_ENTROPY:
        plain = load(base)
        model = '_base_.heads' if plain.model.auxiliary_head else (
            'dict(decode_head=_base_.heads.decode_head)'
        )  # fmt: skip
        file.write_text(f'_base_ = [{str(base)!r}, {str(file_of_loss)!r}]\nmodel = {model}\n')
        cfg = load(file)
        check_losses(cfg.model, METHODS[name][1])
        for one in (cfg, plain):
            for head in heads(one.model):
                head.pop('loss_decode')
        assert without_helpers(cfg) == without_helpers(plain)


def test_name_says_what_is_inside(path):
    name, cfg = NAME.fullmatch(path.stem), load(path)
    assert path.parent.name == METHODS[name['method']][0]
    backbone = cfg.model.backbone
    backbone_name, stride, _ = BACKBONES[backbone.type]
    assert name['backbone'] == backbone_name.format(**backbone)
    assert int(name['stride']) == stride * np.prod(backbone.strides)
    assert int(name['batch']) == cfg.train_dataloader.batch_size
    assert int(name['iters'].replace('k', '000')) == cfg.train_cfg.max_iters
    assert bool(name['optimizer']) == (cfg.optim_wrapper.optimizer.type == 'Adam')
    for stage in ('train', 'val', 'test'):
        assert cfg[f'{stage}_dataloader'].dataset.type == DATA[name['data']]
    crop = (int(name['height']), int(name['width']))
    assert cfg.model.data_preprocessor.size == crop
    sizes = [t.crop_size for t in cfg.train_dataloader.dataset.pipeline if 'Crop' in t.type]
    sizes += [t.scale[::-1] for t in cfg.train_dataloader.dataset.pipeline if t.type == 'Resize']
    assert sizes == [crop]


def test_schedule_ends_with_training(path):
    cfg = load(path)
    for scheduler in cfg.param_scheduler or []:
        if scheduler.type == 'PolyLR':
            assert scheduler.end == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    assert cfg.default_hooks.checkpoint.interval < cfg.train_cfg.max_iters


def test_methods_differ_in_nothing_but_the_loss(path):
    name, _, types = method(path)
    cfg = load(path)
    check_losses(cfg.model, types)
    baseline = load(counterpart(path, 'ce-cbs' if name.endswith('-cbs') else 'ce'))
    for one in (cfg, baseline):
        for head in heads(one.model):
            head.pop('loss_decode')
    assert without_helpers(cfg) == without_helpers(baseline)


def test_losses_that_need_statistics_get_them(path):
    cfg = load(path)
    built = [MODELS.build(loss) for head in heads(cfg.model) for loss in losses_of(head)]
    counted = method(path)[0] in ('wce', 'balanced-softmax')
    assert all(getattr(loss, 'needs_statistics', False) == counted for loss in built)
    assert [hook.type for hook in cfg.custom_hooks].count('ClassStatisticsHook') == 1


SAMPLED_CONFIGS = [p for p in CONFIGS if p.parent.name == SAMPLED]


@pytest.mark.parametrize('path', SAMPLED_CONFIGS, ids=lambda path: path.stem)
def test_class_balanced_sampling_adds_sampler_crop_and_feedback(path):
    cfg, plain = load(path), load(counterpart(path, method(path)[0].removesuffix('-cbs')))
    assert dict(type='ClassFeedbackHook') in cfg.custom_hooks
    sampler, crop = dict(type='ClassBalancedInfiniteSampler', class_prob='rare'), None
    assert cfg.train_dataloader.pop('sampler') == sampler
    plain.train_dataloader.pop('sampler')
    for steps in (cfg.train_dataloader.dataset.pipeline, cfg.train_pipeline):
        (crop,) = (step for step in steps if step.type == 'ClassAwareRandomCrop')
        assert crop.pop('class_prob', '') is None
        crop.type = 'RandomCrop'
    assert cfg.to_dict() == plain.to_dict()


@pytest.mark.elsewhere
def test_builds(path):
    cfg = load(path)
    with torch.device('meta'):  # shapes alone: a ResNet-101 takes a second to initialise
        model = MODELS.build(cfg.model)
        tta_model = MODELS.build(dict(cfg.tta_model, module=model))
    dataset = cfg.test_dataloader.dataset
    kwargs = {k: dataset[k] for k in ('num_classes', 'score_void') if k in dataset}
    meta = DATASETS.build(dict(type=dataset.type, lazy_init=True, **kwargs)).metainfo
    classes = len(meta['classes'])
    assert len(meta['palette']) == classes
    assert tta_model.module.decode_head.out_channels == classes
    assert not model.with_auxiliary_head or model.auxiliary_head.out_channels == classes


def write_data(root, data):
    """Two frames of each split in the layout that the config of a data set expects."""
    rng = np.random.default_rng(0)
    cityscapes = ('leftImg8bit/{}/town/{}_leftImg8bit', 'gtFine/{}/town/{}_gtFine_labelTrainIds')
    view = 'SYNTHIA-SEQS-05-SUMMER/Stereo_Left/Omni_F/{}_{}'
    folders = {
        'cityscapes': cityscapes,
        'toy-streets': cityscapes,
        'camvid': ('images/{}/{}', 'labels/{}/{}'),
        'clothing': ('images/{}_{}', 'labels/{}_{}'),
        'synthia-rand': ('images/{}_{}', 'labels/{}_{}'),
        'synthia-seqs': (f'images/{view}', f'labels/{view}'),
    }[data]
    for split in ('train', 'val', 'test'):
        for frame in ('000000', '000001'):
            image, label = (root / f'{f.format(split, frame)}.png' for f in folders)
            if data == 'clothing':
                image = image.with_suffix('.jpg')
            for file in (image, label):
                file.parent.mkdir(parents=True, exist_ok=True)
            ids = cv2.resize(rng.integers(0, 10, (3, 4), np.uint8), (128, 96), interpolation=0)
            ids[:8] = 255
            cv2.imwrite(str(label), ids)
            cv2.imwrite(str(image), rng.integers(0, 256, (96, 128, 3), np.uint8))
            if data == 'clothing' or data.startswith('synthia'):
                for kind in ('splits', 'splits/block', 'splits/random'):
                    lines = root / kind / f'{split}.txt'
                    lines.parent.mkdir(parents=True, exist_ok=True)
                    with lines.open('a') as file:
                        file.write(f'{image.relative_to(root / "images").with_suffix("")}\n')


def one_per_family(*names):
    """The configs of some methods with small networks, on every data set and crop size."""
    small = ('r18', 'mobilenet-v2')
    return [
        p for p in CONFIGS if method(p)[0] in names and NAME.fullmatch(p.stem)['backbone'] in small
    ]


@pytest.mark.elsewhere
@pytest.mark.parametrize('path', one_per_family('ce', 'ce-cbs'), ids=lambda path: path.stem)
def test_pipelines_read_data(path, tmp_path):
    data = NAME.fullmatch(path.stem)['data']
    write_data(tmp_path, data)
    cfg = load(path)
    crop = cfg.crop_size
    for stage in ('train', 'val', 'test'):
        loader = cfg[f'{stage}_dataloader']
        loader.dataset.data_root = str(tmp_path)
        loader.update(num_workers=0, persistent_workers=False, batch_size=1)
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))
        image, sample = batch['inputs'][0], batch['data_samples'][0]
        label = sample.gt_sem_seg.data
        assert image.dtype == torch.uint8 and image.shape[0] == 3
        if stage == 'train':
            assert image.shape[1:] == label.shape[1:]
            assert image.shape[1] <= crop[0] and image.shape[2] <= crop[1]
        else:
            assert label.shape == (1, 96, 128)  # scored in the labels' own resolution
        assert set(label.unique().tolist()) <= {*range(14), 255}
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    batch = next(iter(Runner.build_dataloader(cfg.test_dataloader, seed=0)))
    flips = [samples[0].flip for samples in batch['data_samples']]
    assert len(flips) >= 2 and sum(flips) == len(flips) // 2


def train_step(cfg):
    """One step of the config's own optimizer on random pixels; returns the model's loss log."""
    torch.manual_seed(0)
    cfg.model.backbone.init_cfg = None  # no download of ImageNet weights
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    model.init_weights()
    statistics = make_statistics([range(1, model.decode_head.num_classes + 1)])
    for module in model.modules():  # as ClassStatisticsHook does it
        if getattr(module, 'needs_statistics', False):
            module.use_statistics(statistics)
    size = (32, 48)
    samples = []
    for _ in range(2):
        label = torch.randint(0, model.decode_head.num_classes, (1, *size))
        label[:, :4] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=label)))
        samples[-1].set_metainfo(dict(img_shape=size, ori_shape=size))
    model.data_preprocessor.size = size
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in samples]
    optim_wrapper = Runner.build_optim_wrapper(
        type('_Runner', (), dict(model=model))(), cfg.optim_wrapper
    )
    before = {name: value.clone() for name, value in model.named_parameters()}
    log = model.train_step(dict(inputs=images, data_samples=samples), optim_wrapper)
    assert all(torch.isfinite(value).all() for value in log.values())
    for name, value in model.named_parameters():
        assert value.isfinite().all(), name
    moved = [n for n, value in model.named_parameters() if not torch.equal(before[n], value)]
    assert moved[0] == f'backbone.{BACKBONES[cfg.model.backbone.type][2]}'
    assert 'decode_head.conv_seg.weight' in moved
    return log


LOSS_KEYS = {
    'ce': 'loss_ce',
    'lmp': 'loss_lmp',
    'lmp-lovasz': 'loss_lmp loss_lovasz',
    'ce-lovasz': 'loss_ce loss_lovasz',
    'recall': 'loss_recall',
    'recall-lovasz': 'loss_recall loss_lovasz',
    'wce': 'loss_ce',
    'focal': 'loss_focal',
    'unified-focal': 'loss_unified_focal',
    'balanced-softmax': 'loss_la',
}
FAMILIES = one_per_family(*LOSS_KEYS)  # sampling changes nothing about the step


@pytest.mark.elsewhere
@pytest.mark.parametrize('path', FAMILIES, ids=lambda path: path.stem)
def test_family_trains(path):
    cfg = load(path)
    log = train_step(cfg)
    parts = ('decode', 'aux') if cfg.model.auxiliary_head else ('decode',)
    expected = {f'{part}.{key}' for part in parts for key in LOSS_KEYS[method(path)[0]].split()}
    assert {name for name in log if 'loss_' in name} == expected
    assert all(log[name] > 0 for name in expected)


@pytest.mark.parametrize('depth', [50, 101])
def test_deep_networks_train(depth):
    train_step(load(next(p for p in CONFIGS if f'-r{depth}-' in p.stem and 'cityscapes' in p.stem)))


@pytest.mark.parametrize('folder', FOLDERS)
def test_metafile_lists_every_config(folder):
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert f'configs/{folder}/metafile.yml' in index['Import'] and len(index['Import']) == len(
        FOLDERS
    )
    meta = yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text())
    collections = {collection['Name']: collection for collection in meta['Collections']}
    for collection in collections.values():
        assert collection['README'] == f'configs/{folder}/README.md'
        assert (ROOT / collection['README']).is_file()
    listed = [model['Config'] for model in meta['Models']]
    there = [str(p.relative_to(ROOT)) for p in CONFIGS if p.parent.name == folder]
    assert sorted(listed) == there
    methods = {name: set() for name in collections}
    for model in meta['Models']:
        name = NAME.fullmatch(model['Name'])
        assert model['Config'].endswith(f'/{model["Name"]}.py')
        methods[model['In Collection']].add(name['method'])
        collection = collections[model['In Collection']]
        assert model['Metadata']['Batch Size'] == int(name['gpus']) * int(name['batch'])
        network = [part.replace('-', '').lower() for part in model['Metadata']['Architecture']]
        assert network == [f'{name["backbone"]}d{name["stride"]}'.replace('-', ''), 'deeplabv3']
        assert model['Metadata']['Training Data'] in collection['Metadata']['Training Data']
    # of several collections, each is one method
    assert len(methods) == 1 or sorted(map(len, methods.values())) == [1] * len(methods)
    assert sum(map(len, methods.values())) == sum(place == folder for place, _ in METHODS.values())


@pytest.mark.parametrize('folder', [folder for folder in FOLDERS if folder != SAMPLED])
def test_readme_shows_a_config_that_works(folder, tmp_path):
    text = (ROOT / 'configs' / folder / 'README.md').read_text()
    snippet = re.search(r'```python\n(.*?)```', text, re.DOTALL)[1]
    assert len(snippet.splitlines()) <= 5 + ('custom_hooks' in snippet)
    # a config like MMSegmentation's own, whose loss has an argument that other losses lack
    ours = str(next((ROOT / 'configs/cross_entropy').glob('*_cityscapes-512x1024.py')))
    sigmoid = 'dict(loss_decode=dict(use_sigmoid=False))'
    base = tmp_path / 'base.py'
    base.write_text(
        f'_base_ = {ours!r}\nmodel = dict(decode_head={sigmoid}, auxiliary_head={sigmoid})\n'
    )
    file = tmp_path / 'config.py'
    file.write_text(snippet.replace('your_config.py', str(base)))
    model = load(file).model
    check_losses(model, next(types for place, types in METHODS.values() if place == folder))
    assert not any('use_sigmoid' in head.loss_decode for head in heads(model))
    for head in heads(model):
        MODELS.build(head.loss_decode)


def test_readme_of_sampling_shows_the_shipped_settings(tmp_path):
    text = (ROOT / 'configs' / SAMPLED / 'README.md').read_text()
    snippet = re.search(r'```python\n(.*?)```', text, re.DOTALL)[1]
    shipped = next(p for p in SAMPLED_CONFIGS if p.stem.startswith('ce-cbs'))
    file = tmp_path / 'config.py'
    file.write_text(snippet.replace('your_config.py', str(counterpart(shipped, 'ce'))))
    mine, theirs = load(file), load(shipped)
    assert mine.train_dataloader.sampler == theirs.train_dataloader.sampler
    assert all(hook in theirs.custom_hooks for hook in mine.custom_hooks)


@pytest.mark.parametrize('folder', FOLDERS)
def test_readme_names_configs_that_exist(folder):
    text = (ROOT / 'configs' / folder / 'README.md').read_text()
    patterns = re.findall(r'`([a-z_*0-9x-]*deeplabv3-[^`]*\.py)`', text)
    assert patterns
    for pattern in patterns:
        assert list((ROOT / 'configs' / folder).glob(pattern)), pattern
