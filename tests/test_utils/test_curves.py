"""What back ends hold after a training, read back with their own packages."""

import json

import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS
from tiny_data import TinyDataset
from tiny_run import run, tiny_config

NAMES = ('100% rail', 'pole > 2 m', 'Straße', 'wall (left); brick')
WRITTEN = ('100_ rail', 'pole _ 2 m', 'Straße', 'wall _left__ brick')


@DATASETS.register_module(force=True)
class OddlyNamedDataset(TinyDataset):
    METAINFO = dict(TinyDataset.METAINFO, classes=NAMES)


def train(folder, **back_end):
    """Trains with curves, pictures and validations.

    Returns:
        The folder of the back ends' files, and the scalars and pictures of the local one.
    """
    cfg = tiny_config(folder, loss=dict(type='LossMaxPooling'), val=True, train_cfg__val_interval=2)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.type = 'OddlyNamedDataset'
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend'), back_end]
    cfg.custom_hooks += [
        dict(type='WeightingCurvesHook', interval=2),
        dict(type='PixelWeightPictureHook', interval=2, num_images=1),
    ]
    run(cfg)
    (vis_data,) = (folder / 'run').glob('*/vis_data')
    scalars = {}
    for line in (vis_data / 'scalars.json').read_text().splitlines():
        record = json.loads(line)
        step = record.pop('step')
        for name, value in record.items():
            scalars.setdefault(name, {})[step] = pytest.approx(value, rel=1e-6)
    for kind in ('train/recall', 'train/class_weight', 'val/IoU', 'val/Precision'):
        assert set(scalars[f'{kind}/{WRITTEN[0]}']) == {2, 4}
    assert {f'train/class_prob/{name}' for name in WRITTEN} <= scalars.keys()
    assert set(scalars['mIoU']) == {2, 4} and set(scalars['loss']) == {1, 2, 3, 4}
    pictures = {step: read(vis_data / f'vis_image/pixel_weights_{step}.png') for step in (2, 4)}
    return vis_data, without_times(scalars), pictures


def without_times(scalars):
    """Training and validation log these in the same step."""
    return {name: points for name, points in scalars.items() if name not in ('time', 'data_time')}


def read(file):
    return cv2.imread(str(file))


def assert_same(pictures, others):
    assert pictures.keys() == others.keys()
    for step, picture in pictures.items():
        np.testing.assert_array_equal(picture, others[step])


@pytest.mark.elsewhere
def test_tensorboard(tmp_path):
    reader = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    vis_data, scalars, pictures = train(tmp_path, type='TensorboardVisBackend')
    events = reader.EventAccumulator(str(vis_data)).Reload()
    curves = {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()['scalars']
    }
    assert scalars == without_times(curves)
    encoded = {event.step: event.encoded_image_string for event in events.Images('pixel_weights')}
    decoded = {
        step: cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        for step, image in encoded.items()
    }
    assert_same(pictures, decoded)


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip('mlflow')
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')  # far quicker than a database
    monkeypatch.setenv('MLFLOW_DISABLE_TELEMETRY', 'true')
    store = tmp_path / 'mlruns'
    vis_data, scalars, pictures = train(
        tmp_path, type='MLflowVisBackend', exp_name='tiny', tracking_uri=store.as_uri()
    )
    client = mlflow.MlflowClient(store.as_uri())
    experiment = client.get_experiment_by_name('tiny').experiment_id
    (found,) = client.search_runs([experiment])
    points = {
        name: client.get_metric_history(found.info.run_id, name) for name in found.data.metrics
    }
    curves = {name: {p.step: p.value for p in history} for name, history in points.items()}
    assert scalars == without_times(curves)
    files = store / experiment / found.info.run_id / 'artifacts'
    assert_same(pictures, {int(f.stem): read(f) for f in files.glob('pixel_weights/*.png')})
    table = f'{vis_data.parent.name}/iter_4/class_scores.json'
    assert (files / table).read_bytes() == (tmp_path / 'run' / table).read_bytes()


def test_weights_and_biases(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.chdir(tmp_path)  # it copies all code below the working directory
    monkeypatch.setenv('WANDB_CONSOLE', 'off')
    monkeypatch.setenv('WANDB_ERROR_REPORTING', 'false')
    vis_data, scalars, pictures = train(
        tmp_path,
        type='WandbVisBackend',
        init_kwargs=dict(mode='offline'),
        define_metric_cfg=[dict(name='*', step_metric='iter')],
    )
    (file,) = vis_data.glob('wandb/offline-run-*/*.wandb')
    curves, logged = {}, {}
    for row in logged_rows(file.read_bytes()):
        if 'pixel_weights/path' in row:
            logged[row['iter']] = read(file.parent / 'files' / row['pixel_weights/path'])
        else:
            for name, value in row.items():
                curves.setdefault(name, {})[row['iter']] = value
    assert scalars == without_times(curves)
    assert_same(pictures, logged)


def logged_rows(content):
    """Yields what was logged together, from the file of an offline run.

    After a header, it has blocks of chunks as in the log of LevelDB.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    position, whole = 7, b''
    while position + 7 <= len(content):
        left = 2**15 - position % 2**15
        if left < 7:  # for no chunk
            position += left
            continue
        size = int.from_bytes(content[position + 4 : position + 6], 'little')
        kind = content[position + 6]
        whole += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            items = Record.FromString(whole).history.item
            row = {'/'.join(item.nested_key) or item.key: item.value_json for item in items}
            if row:
                yield {name: json.loads(value) for name, value in row.items() if name[0] != '_'}
            whole = b''
