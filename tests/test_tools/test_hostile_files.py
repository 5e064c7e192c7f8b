"""Files that are damaged, forged or of another kind: one line that names them, and nothing else."""

import io
import json
import logging
import os
import pickle
import re
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from checkpoint_files import Command
from conftest import TOY_CONFIG
from label_files import BAD, spoil, write_labels
from made_runs import train
from PIL import Image

from mmseg_imbalance.datasets import store
from mmseg_imbalance.statistics.class_values import load_class_weight
from mmseg_imbalance.utils.files import read_array

STATISTICS = 'analysis_tools/class_statistics.py'
WEIGHTING = 'analysis_tools/plot_weighting.py'
COMPARE = 'analysis_tools/compare_runs.py'
SAMPLED = 'analysis_tools/sampled_classes.py'
PIXEL_WEIGHTS = 'analysis_tools/show_pixel_weights.py'
DEMO = '../demo/image_demo.py'
SAMPLING_CONFIG = TOY_CONFIG.replace('recall_loss/recall_', 'class_balanced_sampling/ce-cbs_')


@pytest.fixture
def refuses(call_tool, capsys, monkeypatch, tmp_path):
    """Runs a tool in this process; returns its error, which is one line, and writes no file."""
    monkeypatch.setattr(store, 'print_log', lambda *_: None)
    monkeypatch.setattr(logging, 'raiseExceptions', False)  # of loggers of earlier tests

    def run(tool, *args, code=2):
        before = sorted(tmp_path.rglob('*'))
        assert call_tool(tool, *args) == code
        out, err = capsys.readouterr()
        assert 'Traceback' not in out + err
        assert sorted(tmp_path.rglob('*')) == before
        (line,) = [line for line in err.splitlines() if 'error: ' in line]
        return line

    return run


def junk(size=3000):
    return np.random.default_rng(0).bytes(size)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npy_that_claims(shape):
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1))
    np.lib.format.write_array_header_1_0(file, {**header, 'shape': shape})
    return file.getvalue() + bytes(80)


# ---- class weights and losses


@pytest.fixture
def witness(tmp_path):
    """A folder that is there once something hostile was run."""
    path = tmp_path / 'witness'
    yield path
    assert not path.exists()


def bomb(entry, letters='abcdefghi'):
    """YAML of some bytes whose last entry has a billion leaves."""
    lines = [entry('a', '1, 1')]
    for letter, following in zip(letters, letters[1:], strict=False):
        lines.append(entry(following, ', '.join([f'*{letter}'] * 14)))
    return '\n'.join(lines).encode()


def class_weight_files(witness):
    return {
        'empty.npy': (b'', 'No data left'),
        'cut.npy': (npy(np.ones(9))[:-3], 'no complete .npy file'),
        'claims.npy': (npy_that_claims((1 << 36,)), 'no complete .npy file'),
        'overflows.npy': (npy_that_claims((1 << 62, 1 << 62)), 'no complete .npy file'),
        'pickle.npy': (npy(np.array([Command(f'mkdir {witness}')], object)), 'pickles are refused'),
        'plain pickle.npy': (pickle.dumps([Command(f'mkdir {witness}')]), 'pickles are refused'),
        'junk.npy': (junk(), 'no complete .npy file'),
        'complex.npy': (npy(np.ones(3, complex)), 'complex128 instead of real'),
        'text.npy': (npy(np.array(['1', '2'])), 'instead of real'),
        'bool.npy': (npy(np.ones(3, bool)), 'bool instead of real'),
        'dates.npy': (npy(np.zeros(3, 'M8[D]')), 'instead of real'),
        'two.npy': (npy(np.ones((2, 3))), 'that of class 0 is a list'),
        'nan.npy': (npy(np.array([1, np.nan])), 'class 1 is nan'),
        'weights.npz': (b'', 'pickles are refused'),
        'weights.pkl': (pickle.dumps([1.0]), 'pickles are refused'),
        'none.json': (b'[]', 'without entries'),
        'nan.json': (b'[1, NaN]', 'class 1 is nan'),
        'negative.json': (b'[1, -1e-9]', 'class 1 is -1e-09'),
        'infinite.json': (b'[1e400, 1]', 'class 0 is inf'),
        'huge.json': (b'[1%s]' % (b'0' * 400), 'class 0 is inf'),
        'many digits.json': (b'[1%s]' % (b'0' * 9000), 'cannot be read'),
        'single.json': (b'[1, 1e39]', 'class 1 is 1e+39, which is infinite in single'),
        'text.json': (b'["1", "2"]', "class 0 is '1'"),
        'true.json': (b'[1, true]', 'class 1 is True'),
        'null.json': (b'[1, null]', 'class 1 is None'),
        'object.json': (b'{"road": 1, "road": 2}', 'got a dict'),
        'number.json': (b'3', 'got 3'),
        'deep.json': (b'[' * 100_000, 'cannot be read'),
        'bom.json': (b'\xef\xbb\xbf[1, 2]', 'BOM'),
        'junk.json': (junk(), 'cannot be read'),
        'large.json': (b'[%s1]' % (b'1, ' * 400_000), 'larger than 1 MiB'),
        'run.yaml': (f'!!python/object/apply:os.mkdir [{witness}]'.encode(), 'cannot be read'),
        'new.yaml': (f'!!python/object/new:os.mkdir [{witness}]'.encode(), 'cannot be read'),
        'bomb.yaml': (bomb('{0}: &{0} [{1}]'.format), 'got a dict'),
        'billion.yaml': (bomb('- &{0} [{1}]'.format), 'class 0 is a list'),
        'itself.yaml': (b'&a [*a]', 'class 0 is a list'),
        'hex.yaml': (b'[1, 0x%s]' % (b'f' * 5000), 'class 1 is inf'),
        'exponent.yaml': (b'[1e-3]', "class 0 is '1e-3'"),
        'deep.yml': (b'[' * 100_000, 'cannot be read'),
        'junk.yml': (junk(), 'cannot be read'),
        'empty.yaml': (b'', 'got None'),
    }  # fmt: skip


def test_class_weight_files(tmp_path, witness):
    for name, (content, reason) in class_weight_files(witness).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(reason)) as error:
            load_class_weight(str(path))
        text = str(error.value)
        assert '\n' not in text and len(text) < 400, name
        assert str(path) in text
    for make in ('mkdir', 'symlink_to'):
        path = tmp_path / f'{make}.npy'
        getattr(path, make)(*[path][: make == 'symlink_to'])
        with pytest.raises(ValueError, match=rf'{path} cannot be read: (Is a dir|Too many levels)'):
            load_class_weight(str(path))


def test_a_claimed_shape_is_not_allocated(tmp_path):
    path = tmp_path / 'claims.npy'
    path.write_bytes(npy_that_claims((1 << 27,)))  # a GiB
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match='no complete .npy file'):
            read_array(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_losses_to_weigh(refuses, tmp_path, witness):
    contents = {
        name: content
        for name, (content, _) in class_weight_files(witness).items()
        if name.endswith('.npy')
    }
    contents |= {
        'junk.txt': junk(),
        'empty.txt': b' \n',
        'rows.txt': b'1 2\n3 4\n',
        'nan.txt': b'1\nnan\n',
        'negative.txt': b'1\n-1\n',
        'infinite.txt': b'1e400',
        'words.txt': b'one\ntwo\n',
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert f'error: {path}' in refuses(WEIGHTING, tmp_path / 'out.png', '--losses', path)
    (tmp_path / 'loop.txt').symlink_to('loop.txt')
    assert 'Too many levels' in refuses(
        WEIGHTING, tmp_path / 'out.png', '--losses', tmp_path / 'loop.txt'
    )


# ---- finished trainings


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp('runs'), 'run')


def test_odd_names_of_runs(call_tool, run, tmp_path):
    names = [os.fsdecode(b'a\xff'), 'b  c', 'd$_{$', 'ночь']
    for name in names:
        shutil.copytree(run, tmp_path / name)
    named = [f'{name}={tmp_path / name}' for name in names]
    for given in ([tmp_path / name for name in names], named):
        assert call_tool(COMPARE, *given, '--out-dir', tmp_path / 'out') == 0
    content = json.loads((tmp_path / 'out/comparison.json').read_text())
    expected = [r'a\udcff', *names[1:]]
    assert [method['name'] for method in content['methods']] == expected


# ---- images and converters


def test_images_to_segment(call_tool, capsys, trained, tmp_path):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    picture = Image.new('RGB', (30, 20))
    picture.save(images / 'good.png')
    for kind in ('ICO', 'TGA'):
        picture.save(images / f'{kind}.png', kind)
    Image.fromarray(np.zeros((20, 30), np.float32)).save(images / 'float.tif')
    Image.new('RGB', (100_000, 4)).save(images / 'wide.png')
    for name in ('folder.png', 'loop.png'):
        (images / name).mkdir() if name == 'folder.png' else (images / name).symlink_to(name)
    code = call_tool(DEMO, images, TOY_CONFIG, trained[0] / 'iter_2.pth', '--out-dir', out)
    err = capsys.readouterr().err
    failed = [line for line in err.splitlines() if line.startswith('failed: ')]
    assert code == 1 and 'Traceback' not in err
    expected = {
        'ICO.png': ': OpenCV cannot decode it',
        'TGA.png': ': OpenCV cannot decode it',
        'float.tif': ': OpenCV cannot decode it',
        'wide.png': ' cannot be segmented: ',
    }
    for line, (name, reason) in zip(failed, expected.items(), strict=True):
        assert line.startswith(f'failed: {images / name}{reason}')
    assert os.listdir(out) == ['good.png']


def test_checkpoints(refuses, trained, toy_data, toy_options, tmp_path, witness):
    image = next(toy_data.glob('leftImg8bit/val/*/*.png'))
    whole = (trained[0] / 'iter_2.pth').read_bytes()
    trap = io.BytesIO()
    torch.save(dict(state_dict={}, trap=Command(f'mkdir {witness}')), trap)
    for content in (b'', junk(), whole[: len(whole) // 2], trap.getvalue()):
        path = tmp_path / 'checkpoint.pth'
        path.write_bytes(content)
        for tool, *first in ((DEMO, image), (PIXEL_WEIGHTS,)):
            options = (TOY_CONFIG, path, '--out-dir', tmp_path / 'out', *toy_options)
            assert f'checkpoint {path} ' in refuses(tool, *first, *options)


CONVERTED = {
    'empty': 'it is empty', 'no image': 'no known format', 'folder': 'is missing',
    'loop': 'is missing', 'dangling link': 'is missing', 'floats': 'more than 8',
}  # fmt: skip


def test_labels_to_convert(call_tool, capsys, tmp_path):
    source, out = tmp_path / 'raw', tmp_path / 'out'
    for how in BAD:
        labels = write_labels(tmp_path / how)
        for kind, folder in (('images', 'train'), ('labels', 'trainannot')):
            (source / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(
                tmp_path / how / kind / 'train/frame 2.png', source / folder / f'{how}.png'
            )
        spoil(source / f'trainannot/{how}.png', how)
    assert len(labels) == 4
    assert call_tool('dataset_converters/camvid.py', source, out, '--nproc', 1) == 1
    err = capsys.readouterr().err
    assert 'Traceback' not in err
    failed = {
        line.split(':')[1].strip().removeprefix('train/'): line
        for line in err.splitlines()
        if line.startswith('failed: ')
    }
    assert set(failed) == set(BAD)
    for how, line in failed.items():
        assert f'trainannot/{how}.png' in line
        assert CONVERTED.get(how, '') in line
    assert not list(tmp_path.glob('out/**/*.png'))


@pytest.mark.parametrize('content', [b'', b'[' * 99_999, b'\xff', b'{"version": 1'])
def test_notes_of_toy_streets(refuses, tmp_path, content):
    (tmp_path / 'meta.json').write_bytes(content)
    error = refuses('dataset_converters/toy_streets.py', tmp_path, '--nproc', 1)
    assert f'{tmp_path / "meta.json"} is damaged; delete {tmp_path}' in error
