"""What is read of a checkpoint, what is refused, and that nothing in it is run."""

import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from checkpoint_files import Command, load, same
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR, OptimWrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as runner_checkpoint
from torch import nn

from mmseg_imbalance.utils import checkpoints
from mmseg_imbalance.utils.checkpoints import (
    CheckpointError,
    DamagedCheckpointError,
    allow_checkpoint_types,
    check_checkpoint,
    harmless_loads,
    read_checkpoint,
)

pytestmark = pytest.mark.elsewhere

FORKS_OWN = vars(runner_checkpoint).get('get_torch_safe_globals')


@pytest.fixture(autouse=True)
def no_word(monkeypatch):
    monkeypatch.delenv(checkpoints.TRUST, raising=False)


def history():
    buffer = HistoryBuffer()
    for value in (0.25, 3.0):
        buffer.update(value, 2)
    return buffer


def content():
    """All kinds of things that MMEngine saves."""
    return dict(
        meta=dict(
            seed=0, iter=np.int64(7), dataset_meta=dict(classes=('a', 'b'), palette=np.eye(3)),
            numbers=[np.float32(0.5), np.float64(1), np.bool_(True), np.uint8(3)],
            arrays=[np.zeros(0), np.arange(4, dtype=np.uint8), b'', {1}],
        ),
        state_dict=nn.BatchNorm2d(3).state_dict(),
        message_hub=dict(log_scalars={'train/loss': history(), 'empty': HistoryBuffer()}),
        optimizer=dict(state={0: dict(step=torch.tensor(3.0), exp_avg=torch.randn(4))}),
        param_schedulers=[
            one_cycle(strategy).state_dict() for strategy in ('cos', 'linear')
        ],
    )  # fmt: skip


def test_dictionaries_of_configs_are_read_as_plain_ones(tmp_path):
    groups = ConfigDict(groups=ConfigDict(rare=['a']))
    torch.save(dict(state_dict={}, meta=dict(dataset_meta=groups)), tmp_path / 'a.pth')
    found = read_checkpoint(tmp_path / 'a.pth')['meta']['dataset_meta']
    assert found == dict(groups=dict(rare=['a'])) and type(found['groups']) is dict


def one_cycle(strategy):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    given = dict(eta_max=0.1, total_steps=9, by_epoch=False, anneal_strategy=strategy)
    return OneCycleLR(OptimWrapper(optimizer), **given)


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(content(), tmp_path / 'iter_7.pth')
    return tmp_path / 'iter_7.pth'


def refused(path):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert str(path) in message and '\n' not in message and error.value.exit_code == 2
    return message, error.type


def test_all_that_mmengine_saves_is_read_without_running_code(checkpoint):
    trusted = load(checkpoint)
    same(trusted, read_checkpoint(checkpoint))
    same(trusted, torch.load(checkpoint, weights_only=True))
    assert read_checkpoint(str(checkpoint))['message_hub']['log_scalars']['train/loss'].mean() > 0
    # as the runners of both stacks do it, for which nobody has to set a variable
    same(trusted, CheckpointLoader.load_checkpoint(str(checkpoint)))
    same(trusted, read_checkpoint(checkpoint))  # the fork's took its own list back


def rename(path, renamed, old, new):
    """Copies a checkpoint and changes a name in its pickle."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(renamed, 'w') as target:
        for part in source.infolist():
            data = source.read(part)
            if part.filename.endswith('data.pkl'):
                assert old in data
                data = data.replace(old, new)
            target.writestr(part.filename, data)


@pytest.mark.parametrize('other', [b'numpy.core.multiarray\n', b'numpy._core.multiarray\n'])
def test_checkpoints_of_both_versions_of_numpy_are_read(checkpoint, tmp_path, other):
    own = np.float64(0).__reduce__()[0].__module__.encode() + b'\n'
    rename(checkpoint, tmp_path / 'other.pth', own, other)
    same(load(checkpoint), read_checkpoint(tmp_path / 'other.pth'))


def test_weights_alone_and_the_format_before_pytorch_1_6_are_read(tmp_path):
    weights = {'a': torch.randn(3, 2)}
    torch.save(weights, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    same(weights, read_checkpoint(tmp_path / 'old.pth'))
    assert not (tmp_path / 'old.pth').read_bytes().startswith(b'PK')


class Attribute:
    """Pickled, it is an attribute of something."""

    def __init__(self, *of):
        self.of = of

    def __reduce__(self):
        return getattr, self.of


@pytest.mark.parametrize('old_format', [False, True])
def test_what_could_run_code_is_named_and_not_run(tmp_path, old_format):
    path, proof = tmp_path / 'hostile.pth', tmp_path / 'proof'
    for hostile, name in (
        (Command(f'touch {proof}'), f'{os.system.__module__}.system'),
        (eval, 'eval'),
        (Attribute(np.ndarray, 'tofile'), 'getattr'),
        (Attribute(HistoryBuffer, '__init__'), 'getattr'),
        (Attribute(torch.zeros(1), '__class__'), 'getattr'),
    ):
        save = dict(state_dict={}, meta=hostile)
        torch.save(save, path, _use_new_zipfile_serialization=not old_format)
        message, error = refused(path)
        assert f' holds {name}, which could run code' in message
        assert 'environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1' in message
        assert error is CheckpointError  # not called damaged: an older one is no way out
    assert not proof.exists()


def test_the_word_of_the_user_is_enough_and_needed(tmp_path, monkeypatch):
    path, proof = tmp_path / 'own.pth', tmp_path / 'proof'
    torch.save(dict(state_dict={}, mine=Command(f'touch {proof}')), path)
    for no_word in ('0', '', 'no'):
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', no_word)
        refused(path)
    assert not proof.exists()
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    assert read_checkpoint(path)['mine'] == 0
    assert proof.exists()
    proof.unlink()
    with harmless_loads():
        CheckpointLoader.load_checkpoint(str(path))
    assert proof.exists()


def test_runners_refuse_it_too_whatever_they_ask_of_pytorch(tmp_path, checkpoint, monkeypatch):
    """The fork's loads a file once more, without the check, when the check refuses it."""
    path, proof = tmp_path / 'hostile.pth', tmp_path / 'proof'
    torch.save(dict(state_dict={}, meta=Command(f'touch {proof}')), path)
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    with harmless_loads():
        with pytest.raises(pickle.UnpicklingError):
            CheckpointLoader.load_checkpoint(str(path))
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=False)
        CheckpointLoader.load_checkpoint(str(checkpoint))
    with pytest.raises(CheckpointError, match='holds posix.system, which could run code') as error:
        with harmless_loads():
            CheckpointLoader.load_checkpoint(str(path))
    assert f'{checkpoints.TRUST}=1' in str(error.value)
    assert not proof.exists()
    assert os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] == '0'
    torch.load(path, weights_only=False)
    assert proof.exists()  # the file is what it is said to be


def test_before_pytorch_2_5_files_are_refused(tmp_path, checkpoint, monkeypatch):
    """No list of harmless types can be given to it, and nothing is to be run."""
    path, proof = tmp_path / 'own.pth', tmp_path / 'proof'
    torch.save(dict(state_dict={}, mine=Command(f'touch {proof}')), path)
    monkeypatch.setattr(checkpoints, '_CAN_TELL', False)
    allow_checkpoint_types()
    for file in (path, checkpoint):
        message, error = refused(file)
        assert (
            'use PyTorch 2.5 or newer, or' in message
            and f'variable {checkpoints.TRUST}=1' in message
        )
        assert error is CheckpointError
    with harmless_loads(), pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint(str(path))
    assert not proof.exists()
    monkeypatch.setenv(checkpoints.TRUST, '1')
    assert read_checkpoint(path)['mine'] == 0
    assert proof.exists()
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(path)[1] is DamagedCheckpointError


# ---- pickles that no pickler writes


def named(module, name):
    return f'c{module}\n{name}\n'.encode()


def text(value):
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def several(*values):
    return b'(' + b''.join(values) + b't'


def called(function, *values):
    return function + several(*values) + b'R'


def numbers(*values):
    return (b'J' + struct.pack('<i', value) for value in values)


def forge(path, value):
    """Writes a checkpoint with one weight, of which the pickle is given."""
    torch.save({'state_dict': {}}, path)
    pickled = b'\x80\x02}(' + text('state_dict') + b'}' + text('x') + value + b'u.'
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in parts.items():
            archive.writestr(name, pickled if name.endswith('data.pkl') else data)


def evaluating(code):
    """A pickle that runs code by what the fork's own list allows: the true ``getattr``."""
    getattr_ = named('__builtin__', 'getattr')
    builtins = called(getattr_, getattr_, text('__self__'))
    evaluate = called(getattr_, builtins, text('eval'))
    rebuild = named('torch._tensor', '_rebuild_from_type_v2')
    state = named('collections', 'OrderedDict')
    return called(rebuild, evaluate, state, several(text(code)), b'N')


def test_what_the_forks_own_list_allows_is_not_run(tmp_path, checkpoint):
    path, proof = tmp_path / 'hostile.pth', tmp_path / 'proof'
    forge(path, evaluating(f'__import__("os").mkdir({str(proof)!r})'))
    refused(path)
    for _ in range(2):
        with harmless_loads():
            with pytest.raises(pickle.UnpicklingError):
                CheckpointLoader.load_checkpoint(str(path))
            CheckpointLoader.load_checkpoint(str(checkpoint))
        assert not proof.exists()
    assert vars(runner_checkpoint).get('get_torch_safe_globals') is FORKS_OWN


def dtype(code, order, size=-1, alignment=-1, flags=0):
    made = called(named('numpy', 'dtype'), text(code), b'\x89', b'\x88')
    return made + several(
        b'K\x03', text(order), b'NNN', *numbers(size, alignment, flags)
    ) + b'b'  # fmt: skip


def bytes_of(data):
    return called(named('_codecs', 'encode'), text(data.decode('latin1')), text('latin1'))


def scalar(of, data=b''):
    return called(named('numpy._core.multiarray', 'scalar'), of, bytes_of(data))


def array(of, content):
    empty = called(
        named('numpy._core.multiarray', '_reconstruct'), named('numpy', 'ndarray'),
        several(*numbers(0)), bytes_of(b'b'),
    )  # fmt: skip
    return empty + several(*numbers(1), several(*numbers(1)), of, b'\x89', content) + b'b'


STRUCT = called(named('numpy', 'dtype'), b'](' + several(text('a'), text('O')) + b'e')
FORGED = {
    'text of less than no bytes': scalar(dtype('S4', '|', -5, 1)),
    'letters of less than no bytes': scalar(dtype('U4', '<', -8, 1)),
    'numbers of less than no bytes': scalar(dtype('f8', '<', -8, 1)),
    'numbers that are pointers': array(dtype('f8', '<', flags=63), b'](G' + bytes(8) + b'e'),
    'records of pointers': scalar(STRUCT, b'A' * 8),
    'objects': scalar(dtype('O', '|'), b'A' * 8),
    'complex numbers': scalar(dtype('c16', '<'), bytes(16)),
}
READ = """
import sys
from mmseg_imbalance.utils.checkpoints import CheckpointError, read_checkpoint
for path in sys.argv[1:]:
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        print(error)
"""


def test_forged_types_of_numpy_do_not_crash_the_interpreter(tmp_path):
    paths = [tmp_path / f'{name}.pth' for name in FORGED]
    for path, pickled in zip(paths, FORGED.values(), strict=True):
        forge(path, pickled)
    forge(tmp_path / 'good.pth', scalar(dtype('f8', '<'), struct.pack('<d', 2.5)))
    assert read_checkpoint(tmp_path / 'good.pth')['state_dict'] == {}
    done = subprocess.run(
        [sys.executable, '-c', READ, *paths], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('checkpoint ')]
    assert len(lines) == len(paths), lines
    for path, line in zip(paths, lines, strict=True):
        assert str(path) in line


DAMAGES = {
    'empty': lambda data: b'',
    'halved': lambda data: data[: len(data) // 2],
    'short of a byte': lambda data: data[:-1],
    'zeros in its place': lambda data: bytes(len(data)),
    'zeros at its end': lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    'garbage': lambda data: random.Random(0).randbytes(len(data)),
    'text': lambda data: b'no checkpoint\n' * 20,
    'other pickle': lambda data: pickle.dumps({'state_dict': {}}),
    'zip of something else': lambda data: data[:4] + random.Random(0).randbytes(1000),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_is_named(checkpoint, damage):
    checkpoint.write_bytes(DAMAGES[damage](checkpoint.read_bytes()))
    message, error = refused(checkpoint)
    assert error is DamagedCheckpointError and 'damaged' in message
    assert len(message) < 120 + len(str(checkpoint)) and not message.endswith(': ')


def test_a_flipped_bit_in_a_tensor_is_noticed(checkpoint):
    """PyTorch loads it and says nothing."""
    weights = load(checkpoint)['state_dict']
    data = bytearray(checkpoint.read_bytes())
    with zipfile.ZipFile(checkpoint) as archive:
        part = next(p for p in archive.infolist() if p.filename.endswith('data/0'))
        start = data.index(weights['weight'].numpy().tobytes(), part.header_offset)
    data[start] ^= 1
    checkpoint.write_bytes(data)
    assert not torch.equal(load(checkpoint)['state_dict']['weight'], weights['weight'])
    assert f'the check sum of {part.filename} is wrong' in refused(checkpoint)[0]


def test_files_without_check_sums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(content(), tmp_path / 'quick.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(tmp_path / 'quick.pth')['meta']['iter'] == 7


def test_random_changes_are_refused_or_change_nothing(checkpoint):
    trusted, data = load(checkpoint), checkpoint.read_bytes()
    rng, loaded = random.Random(1), 0
    for _ in range(100):
        changed, place = bytearray(data), rng.randrange(len(data))
        length = rng.choice((1, 8, 200))
        kind = rng.randrange(3)
        if kind == 0:
            changed[place : place + length] = rng.randbytes(length)
        elif kind == 1:
            del changed[place : place + length]
        else:
            changed[place:place] = rng.randbytes(length)
        checkpoint.write_bytes(changed)
        try:
            same(trusted, read_checkpoint(checkpoint))
            loaded += 1  # in the space between the parts
        except CheckpointError as error:
            assert '\n' not in str(error)
    assert loaded < 60


def test_what_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / 'other.pth'
    for other in ([torch.ones(2)], dict(state_dict=[torch.ones(2)]), {1: torch.ones(2)}):
        torch.save(other, path)
        assert refused(path)[0] == f'{path} is not a checkpoint: it holds no weights by name'
    assert 'checkpoint not found' in refused(tmp_path / 'none.pth')[0]
    assert f'checkpoint {tmp_path} is a folder' in refused(tmp_path)[0]
    loop = tmp_path / 'loop.pth'
    loop.symlink_to(loop)
    refused(loop)
    with pytest.raises(DamagedCheckpointError, match='cannot be read: File name too long'):
        read_checkpoint('x' * 5000)
    check_checkpoint('https://example.org/no_such_file.pth')  # MMEngine's to load


def test_home_is_expanded(checkpoint, monkeypatch):
    assert 'checkpoint not found' in refused('~nosuchuser/x.pth')[0]
    monkeypatch.setenv('HOME', str(checkpoint.parent))
    assert read_checkpoint('~/iter_7.pth')['meta']['iter'] == 7
