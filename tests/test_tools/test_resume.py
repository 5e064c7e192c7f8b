"""Trainings that are killed and go on, as processes of tools/train.py."""

import argparse
import http.server
import re
import shutil
import signal
import threading
from functools import partial

import pytest
import torch
from checkpoint_files import Command, load, same
from mmengine.dataset import InfiniteSampler
from run_tools import run_fork
from tiny_data import tiny_dataset, write_label_maps
from tiny_run import run, tiny_config

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.utils.run_config import add_run_arguments, load_run_config, set_start

ITERS = 6
# Upstream's runner replays past samples on resuming, and draws augmentation for them.
SKIPS = hasattr(InfiniteSampler, 'skip')
IN_PROCESS = dict(workers=0, augment=SKIPS)


def write_config(folder, hooks=(), **options):
    """A training with something to remember in every part, saved every second iteration."""
    cfg = tiny_config(
        folder, iters=ITERS, loss=dict(type='RecallLoss', momentum=0.1), interval=1,
        default_hooks__checkpoint__interval=2, train_dataloader__sampler__class_prob='performance',
        **options,
    )  # fmt: skip
    cfg.train_dataloader.sampler.update(uniform_ratio=0.1, gamma=4, floor=0.0)
    cfg.custom_hooks += [dict(type='IterSeedHook'), *hooks]
    cfg.custom_imports = dict(imports=['mmseg_imbalance', 'tiny_data', 'sudden_end'])
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


def train(config, *args):
    """Runs the tool; returns its exit code and output."""
    done = run_fork('train.py', config, *args, cwd=config.parent)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """The last checkpoint of an uninterrupted training, by its options."""
    ends = {}

    def end_of(options):
        key = tuple(options.items())
        if key not in ends:
            folder = tmp_path_factory.mktemp('straight')
            code, output = train(write_config(folder, **options))
            assert code == 0, output
            ends[key] = load(folder / f'run/iter_{ITERS}.pth')
        return ends[key]

    return end_of


@pytest.mark.elsewhere
@pytest.mark.slow
@pytest.mark.parametrize(
    ('options', 'end', 'latest'),
    [
        (IN_PROCESS, dict(type='EndInForwardHook', iteration=5), 4),
        (IN_PROCESS, dict(type='EndInCheckpointHook', name='iter_4.pth'), 2),
    ],
    ids=['in the forward pass', 'in a checkpoint'],
)
def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path, straight, options, end, latest):
    assert train(write_config(tmp_path, [end], **options))[0] == -signal.SIGKILL
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith(f'iter_{latest}.pth')
    if end['type'] == 'EndInCheckpointHook':
        with pytest.raises(RuntimeError, match='central directory'):
            load(tmp_path / 'run/iter_4.pth')

    code, output = train(write_config(tmp_path, **options), '--resume')
    assert code == 0, output
    assert f'resumed epoch: 0, iter: {latest}' in output
    resumed = load(tmp_path / f'run/iter_{ITERS}.pth')
    same(straight(options), resumed)

    # all that was promised is there to be compared
    scalars = resumed['message_hub']['log_scalars']
    assert len(scalars['train/loss'].data[0]) == ITERS
    assert resumed['meta']['iter'] == ITERS
    assert resumed['state_dict']['decode_head.loss_decode.running_counts'].any()
    assert all(state['exp_avg'].any() for state in resumed['optimizer']['state'].values())
    assert resumed['param_schedulers'][0]['last_step'] == ITERS
    assert len(resumed['class_feedback']['sampler']['schedule']) > 1


@pytest.mark.slow
def test_the_way_out_of_a_damaged_checkpoint_works(tmp_path, straight):
    config = write_config(tmp_path, [dict(type='EndInForwardHook', iteration=5)], **IN_PROCESS)
    assert train(config)[0] == -signal.SIGKILL
    latest = tmp_path / 'run/iter_4.pth'
    latest.write_bytes(latest.read_bytes()[:-1000])
    write_config(tmp_path, **IN_PROCESS)
    code, output = train(config, '--resume')
    assert code == 2 and 'Traceback' not in output
    way_out = re.search(r'with (--resume .*load_from)=FILE', output)[1].split()
    assert train(config, *way_out[:-1], f'{way_out[-1]}={tmp_path / "run/iter_2.pth"}')[0] == 0
    same(straight(IN_PROCESS), load(tmp_path / f'run/iter_{ITERS}.pth'))


@pytest.fixture(scope='module')
def stopped_once(tmp_path_factory):
    """A work dir with two checkpoints, and one of the best score."""
    folder = tmp_path_factory.mktemp('stopped')
    cfg = tiny_config(
        folder, iters=4, default_hooks__checkpoint__interval=2, randomness=dict(seed=None)
    )
    run(cfg)
    best = load(folder / 'run/iter_4.pth')
    for part in ('optimizer', 'param_schedulers'):
        del best[part]
    torch.save(best, folder / 'run/best_mIoU_iter_4.pth')
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """A copy of it, and the config to go on with."""
    folder = shutil.copytree(stopped_once, tmp_path / 'stopped')
    (folder / 'run/last_checkpoint').write_text(str(folder / 'run/iter_4.pth'))
    cfg = tiny_config(folder, iters=6, randomness=dict(seed=None))
    cfg.custom_imports = dict(imports=['mmseg_imbalance', 'tiny_data'])
    cfg.dump(folder / 'config.py')
    return folder


def contents(folder):
    files = [*folder.glob('run/*.pth'), *folder.glob('run/last_checkpoint')]
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def refusal(call_tool, capsys):
    """The line that a tool ends with; the checkpoints are left as they were."""

    def of(folder, tool, *args):
        before = contents(folder)
        capsys.readouterr()
        assert call_tool(tool, folder / 'config.py', *args) == 2
        assert contents(folder) == before
        return capsys.readouterr().err.splitlines()[-1]

    return of


DAMAGES = {
    'cut off': lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    'empty': lambda path: path.write_bytes(b''),
    'garbage': lambda path: path.write_bytes(b'garbage' * 1000),
    'missing': lambda path: path.unlink(),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_and_the_way_out_are_named(stopped, refusal, damage):
    latest = stopped / 'run/iter_4.pth'
    DAMAGES[damage](latest)
    line = refusal(stopped, 'train.py', '--resume')
    assert line.startswith('train.py: error: checkpoint ') and f' {latest}' in line
    assert ('not found' if damage == 'missing' else 'damaged') in line
    assert line.endswith(
        f'; go on from another checkpoint in {stopped / "run"} with --resume --cfg-options '
        'load_from=FILE, or train anew, without --resume'
    )
    # also if it is resumed because the config says so
    again = refusal(stopped, 'train.py', '--cfg-options', f'load_from={latest}', 'resume=True')
    assert again == line


@pytest.mark.parametrize('pointer', [b'', b' \n', b'\0\xff\n\x1b', None])
def test_a_damaged_or_missing_pointer_is_named(stopped, refusal, pointer):
    file = stopped / 'run/last_checkpoint'
    file.unlink()
    if pointer is not None:
        file.write_bytes(pointer)
    line = refusal(stopped, 'train.py', '--resume')
    assert f'error: {file} is ' + ('missing' if pointer is None else 'damaged') in line
    assert '--resume --cfg-options load_from=FILE' in line


def test_without_a_checkpoint_it_starts_afresh(stopped):
    (stopped / 'run/last_checkpoint').unlink()
    for path in stopped.glob('run/*.pth'):
        path.unlink()
    (stopped / 'run/best_mIoU_iter_1.pth').touch()  # cannot be resumed; all that a short run left
    cfg, start = start_of(stopped, '--resume')
    assert start is None and cfg.resume is False
    cfg, start = start_of(stopped, '--resume', '--work-dir', stopped / 'new')
    assert start is None and cfg.resume is False


def start_of(folder, *args):
    """What the tool makes of its arguments: the config, and where it goes on from."""
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    parser.add_argument('--resume', action='store_true')
    args = parser.parse_args([str(folder / 'config.py'), *map(str, args)])
    cfg = load_run_config(args)
    return cfg, set_start(cfg, args)


def test_a_finetuning_resumes_itself_and_not_what_it_started_from(stopped):
    first = str(stopped / 'run/best_mIoU_iter_4.pth')
    with open(stopped / 'config.py', 'a') as config:
        config.write(f'load_from = {first!r}\n')
    latest = str(stopped / 'run/iter_4.pth')
    cfg, start = start_of(stopped, '--resume')
    assert (start, cfg.resume, cfg.load_from) == (latest, True, None)  # MMEngine: the latest
    cfg, start = start_of(stopped, '--resume', '--work-dir', stopped / 'new')
    assert (start, cfg.resume, cfg.load_from) == (None, False, first)
    named = str(stopped / 'run/iter_2.pth')
    cfg, start = start_of(stopped, '--resume', '--cfg-options', f'load_from={named}')
    assert (start, cfg.resume, cfg.load_from) == (named, True, named)
    cfg, start = start_of(stopped)
    assert (start, cfg.resume, cfg.load_from) == (None, False, first)
    with open(stopped / 'config.py', 'a') as config:  # as MMEngine's FlexibleRunner allows
        config.write(f'load_from, resume = None, {named!r}\n')
    cfg, start = start_of(stopped)
    assert (start, cfg.resume, cfg.load_from) == (named, True, named)
    cfg, start = start_of(stopped, '--cfg-options', f'load_from={latest}')
    assert (start, cfg.resume, cfg.load_from) == (latest, True, latest)
    cfg, start = start_of(stopped, '--resume', '--work-dir', stopped / 'new')
    assert (start, cfg.resume, cfg.load_from) == (None, False, None)


def test_a_drawn_seed_is_the_checkpoints(stopped):
    """MMEngine restores it when the sampler has another one."""
    saved = load(stopped / 'run/iter_4.pth')['meta']['seed']
    assert start_of(stopped, '--resume')[0].randomness.seed == saved
    fixed = ('--cfg-options', 'randomness.seed=5')
    assert start_of(stopped, '--resume', *fixed)[0].randomness.seed == 5
    assert start_of(stopped)[0].randomness.seed is None
    with open(stopped / 'config.py', 'a') as config:
        config.write('del randomness\n')
    assert start_of(stopped, '--resume')[0].randomness == dict(seed=saved)


@pytest.mark.elsewhere
def test_a_drawn_seed_resumes_mmengines_own_sampler_exactly(tmp_path):
    options = dict(augment=False, randomness=dict(seed=None))
    options['train_dataloader__sampler'] = dict(_delete_=True, type='InfiniteSampler')
    for part in ('straight', 'resumed'):
        cfg = tiny_config(tmp_path / part, **options)
        cfg.custom_hooks = [dict(type='IterSeedHook')]
        if part == 'resumed':
            cfg.load_from, cfg.resume = str(tmp_path / 'straight/run/iter_2.pth'), True
            set_start(cfg, argparse.Namespace(resume=False, cfg_options={}))
        run(cfg)
    same(*(load(tmp_path / part / 'run/iter_4.pth') for part in ('straight', 'resumed')))


@pytest.mark.parametrize(
    'lost',
    ['optimizer', 'param_schedulers', 'message_hub', 'meta', 'meta.iter', 'meta.epoch'],
)
def test_what_cannot_be_resumed_exactly_is_not_resumed(stopped, refusal, lost):
    """MMEngine goes on without an optimizer's state, from the first learning rate."""
    latest = stopped / 'run/iter_4.pth'
    checkpoint = load(latest)
    *parent, part = lost.split('.')
    del (checkpoint[parent[0]] if parent else checkpoint)[part]
    torch.save(checkpoint, latest)
    line = refusal(stopped, 'train.py', '--resume')
    assert f'{latest} holds no {lost}, as one of the best scores' in line
    assert 'without --resume, or start with its weights' in line


@pytest.mark.parametrize('state', [{}, dict(state={}), dict(first={}), dict(first=1)])
def test_an_optimizer_without_its_state_is_not_resumed(stopped, refusal, state):
    latest = stopped / 'run/iter_4.pth'
    torch.save(load(latest) | dict(optimizer=state), latest)
    assert f'{latest} holds no optimizer, as' in refusal(stopped, 'train.py', '--resume')


def test_several_optimizers_are_resumed(stopped):
    latest = stopped / 'run/iter_4.pth'
    checkpoint = load(latest)
    checkpoint['optimizer'] = dict(first=checkpoint['optimizer'], second=checkpoint['optimizer'])
    torch.save(checkpoint, latest)
    assert start_of(stopped, '--resume')[1] == str(latest)


def test_weights_of_another_model_are_not_resumed(stopped, refusal):
    latest = stopped / 'run/iter_4.pth'
    line = refusal(
        stopped, 'train.py', '--resume', '--cfg-options', 'model.decode_head.channels=12'
    )
    assert f'the weights of {latest} are of another model: ' in line
    assert 'are missing or of another shape, such as decode_head.' in line
    assert 'that of tiny ' in line and f'--cfg-options load_from={latest}' in line
    # another loss has another memory; in a test it would not matter
    (stopped / 'config.py').rename(stopped / 'base.py')
    (stopped / 'config.py').write_text(
        "_base_ = 'base.py'\nmodel = dict(decode_head=dict(loss_decode=dict(\n"
        "    _delete_=True, type='RecallLoss', momentum=0.1)))\n"
    )
    line = refusal(stopped, 'train.py', '--resume')
    assert '1 are missing or of another shape, such as decode_head.loss_decode.running_' in line


@pytest.mark.elsewhere
def test_nothing_in_a_checkpoint_is_run(stopped, refusal, tmp_path):
    proof = tmp_path / 'proof'
    latest = stopped / 'run/iter_4.pth'
    checkpoint = load(latest)
    torch.save(checkpoint | dict(mine=Command(f'touch {proof}')), latest)
    word = 'set the environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1'
    for args in (
        ('train.py', '--resume'),
        ('train.py', '--cfg-options', f'load_from={latest}'),
        ('test.py', latest),
    ):
        assert refusal(stopped, *args).endswith(word)
    # MMEngine would run it as a config file
    checkpoint['meta']['config'] = f'import os\nos.system("touch {proof}")\n'
    torch.save(checkpoint, latest)
    line = refusal(stopped, 'train.py', '--resume')
    assert 'holds meta.config, which MMEngine would run as Python' in line and word in line
    # nor is another such file called good
    (stopped / 'run/iter_2.pth').unlink()
    other = stopped / 'run/iter_3.pth'
    shutil.copyfile(latest, other)
    latest.write_bytes(b'')
    assert refusal(stopped, 'train.py', '--resume').endswith('train anew, without --resume')
    assert not proof.exists()


@pytest.fixture
def served(stopped):
    """The address of the checkpoints."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=stopped / 'run')
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join()


@pytest.mark.elsewhere
def test_nothing_in_a_checkpoint_from_a_url_is_run(stopped, served, refusal, tmp_path, monkeypatch):
    """It is MMEngine that loads it, and would run its config."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    proof, hostile = tmp_path / 'proof', stopped / 'run/hostile.pth'
    checkpoint = load(stopped / 'run/iter_4.pth')
    checkpoint['meta']['config'] = f'import os\nos.system("touch {proof}")\n'
    torch.save(checkpoint, hostile)
    url = f'{served}/hostile.pth'
    line = refusal(stopped, 'train.py', '--resume', '--cfg-options', f'load_from={url}')
    assert f'checkpoint {url} holds meta.config, which MMEngine would run as Python' in line
    assert not proof.exists()


def test_statistics_of_other_label_maps_are_one_line(stopped, refusal, tmp_path):
    write_label_maps(tmp_path / 'other', [[1], [2]])
    statistics = tmp_path / 'other.npz'
    class_statistics(tiny_dataset(tmp_path / 'other'), statistics, nproc=1)
    option = f'train_dataloader.sampler.statistics={statistics}'
    line = refusal(stopped, 'train.py', '--cfg-options', option)
    assert line.startswith(f'train.py: error: {statistics}: counted from 2 label maps')
