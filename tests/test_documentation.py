"""The pages of the documentation: their configs train, their files exist, nothing goes unrun."""

import re
from collections import Counter
from types import SimpleNamespace

import pytest
import tiny_run
import torch
import yaml
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from mmseg.utils import register_all_modules
from pages import ROOT, all_blocks, blocks, pages

from mmseg_imbalance.calibration import ClassOffsets
from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.datasets.wrappers import transforms_of

# How many blocks of a page are not run; the reasons are in front of them.
NOT_RUN = {
    'README.md': 1,
    'CONTRIBUTING.md': 3,
    'docs/data.md': 1,
    'docs/distributed.md': 1,
    'docs/inference.md': 1,
    'docs/own_study.md': 2,
    'docs/performance.md': 1,
    'docs/plain_pytorch.md': 1,
    'docs/seeing.md': 1,
}
LANGUAGES = {'', 'bash', 'bibtex', 'python', 'text', '{toctree}', '{eval-rst}'}
CONFIGS = [block for block in all_blocks() if block.is_config and not block.file]


@pytest.fixture
def your_config(tmp_path, monkeypatch):
    """The ``your_config.py`` of the pages: cross-entropy, on tiny data, validated by IoUMetric."""
    cfg = tiny_run.tiny_config(tmp_path, iters=2, loss=dict(type='CrossEntropyLoss'), val=True)
    cfg.merge_from_dict({'train_cfg.val_interval': 2, 'custom_hooks': []})
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    cfg.model.auxiliary_head = dict(
        type='FCNHead',
        in_channels=32,
        in_index=2,
        channels=8,
        num_convs=1,
        num_classes=4,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
    )
    cfg.dump(tmp_path / 'your_config.py')
    monkeypatch.chdir(tmp_path)
    return cfg


@pytest.mark.parametrize('block', CONFIGS, ids=str)
def test_config_does_what_it_says(block, tmp_path, your_config):
    """Every type that the block names takes part in a training of two iterations."""
    child = tmp_path / 'child.py'
    # what a page of configs takes from the folder above its own
    above = (ROOT / block.page).parents[1]
    child.write_text(block.text.replace("'../", f"'{above}/"))
    if 'your_config.py' not in block.text:
        builds_its_loss(Config.fromfile(child))
        return
    register_all_modules(init_default_scope=True)
    for path in re.findall(r"statistics='(.+?)'", block.text):
        class_statistics(DATASETS.build(your_config.train_dataloader.dataset), path, nproc=1)
    for path in re.findall(r"offsets='(.+?)'", block.text):
        ClassOffsets(tiny_run.CLASSES, [0.0] * len(tiny_run.CLASSES)).save(path)
    mine = tmp_path / 'data/mine'
    for folder in ('images', 'labels'):
        (mine / folder).mkdir(parents=True)
        for part in ('train', 'val'):
            (mine / folder / part).symlink_to(tmp_path / 'data' / folder)
    runner = tiny_run.run(Config.fromfile(child))
    assert runner.iter == 2
    named = set(re.findall(r"type='(\w+)'", block.text))
    assert named and named <= types_in(runner), named - types_in(runner)


def builds_its_loss(cfg):
    loss = MODELS.build(dict(cfg.model.decode_head.loss_decode))
    for name, value in cfg.model.decode_head.loss_decode.items():
        assert name == 'type' or getattr(loss, name) == value


def types_in(runner) -> set[str]:
    """The names of everything that a training is made of."""
    parts = [
        *runner.model.modules(),
        *runner.hooks,
        *transforms_of(runner.train_dataloader.dataset),
        *runner.val_loop.evaluator.metrics,
        *runner.visualizer._vis_backends.values(),
        runner.train_dataloader.sampler,
        runner.train_dataloader.dataset,
    ]
    return {type(part).__name__ for part in parts}


def test_what_a_trainer_adds_up_is_the_loss_of_the_whole_batch():
    """It takes what the page's function returns for the parts of an accumulated batch."""
    [block] = [b for b in blocks('docs/plain_pytorch.md') if 'def compute_loss' in b.text]
    page = {}
    exec(block.text, page)
    logits, labels = torch.randn(4, 3, 4, 6), torch.randint(0, 3, (4, 16, 24))
    whole = page['compute_loss'](SimpleNamespace(logits=logits), labels)
    parts = [
        page['compute_loss'](SimpleNamespace(logits=part), label, torch.tensor(labels.numel()))
        for part, label in zip(logits.split([1, 3]), labels.split([1, 3]), strict=True)
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_the_readme_begins_with_three_commands_and_five_lines():
    commands, config = blocks('README.md')[:2]
    assert [line.split('    ')[0] for line in commands.text.splitlines()] == [
        'make demo',
        'make test',
        'source .venv/bin/activate && bash tools/study_clothing.sh',
    ]
    assert config in CONFIGS and len(config.text.splitlines()) == 5


def test_blocks_that_are_not_run_are_known_and_say_why():
    not_run = [block for block in all_blocks() if block.reason]
    assert Counter(block.page for block in not_run) == NOT_RUN
    assert all(len(block.reason) > 20 for block in not_run)


def test_every_block_is_of_a_kind_that_is_tested():
    """Text is tested on the page of errors; blocks without a language show no commands."""
    for block in all_blocks():
        assert block.language in LANGUAGES, block
        assert block.language != 'text' or block.page == 'docs/troubleshooting.md', block
        if not block.language:
            assert not re.search(r'^\s*(\$|>>>|python |make |pip |bash )', block.text, re.M), block


@pytest.mark.parametrize('page', pages())
def test_no_block_hides_from_the_tests(page):
    """An odd fence or a marker out of place would."""
    text = (ROOT / page).read_text()
    fenced = [block for block in blocks(page) if not block.in_running_text]
    assert len(re.findall(r'^\s*```', text, re.M)) == 2 * len(fenced)
    markers = len(re.findall(r'^<!-- not run', text, re.M))
    assert markers == sum(block.reason is not None for block in fenced)


def test_targets_of_make_exist_and_are_run_by_the_checks():
    """But for the demo (tests/test_tools/test_demo.py), both kinds of tests (coverage) and gpu."""
    makefile = (ROOT / 'Makefile').read_text()
    checks = (ROOT / '.ci/run').read_text()
    shown = [
        target
        for block in all_blocks()
        if block.language == 'bash'
        for target in re.findall(r'^make ([\w-]+)', block.text, re.M)
    ]
    assert {'demo', 'test', 'docs', 'docs-test', 'lint'} <= set(shown)
    for target in shown:
        assert re.search(rf'^{target}:', makefile, re.M), target
        in_another = ('demo', 'test', 'test-slow', 'gpu')
        assert target in in_another or f'make {target} ' in checks, target


def test_the_workflow_runs_what_the_checks_run():
    checks = re.findall(r'^make ([\w-]+) ', (ROOT / '.ci/run').read_text(), re.M)
    workflow = yaml.safe_load((ROOT / '.github/workflows/checks.yml').read_text())
    targets = workflow['jobs']['make']['strategy']['matrix']['target']
    assert ' '.join(targets).split() == checks


@pytest.mark.parametrize('page', pages())
def test_links_and_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', text):
        if '://' not in target:
            assert ((ROOT / page).parent / target).exists(), target
    for block in blocks(page):
        if block.language == 'text':  # an error about a file that is missing
            text = text.replace(block.text, '')
    for path in re.findall(r'\b(?:tools|demo|configs|tests)/[\w./-]+\.(?:py|sh)\b', text):
        if not path.startswith('tools/dataset_converters/cityscapes.py'):  # MMSegmentation's
            assert (ROOT / path).is_file(), path


def test_guides_are_in_the_contents():
    contents = (ROOT / 'docs/index.md').read_text()
    for page in sorted((ROOT / 'docs').glob('*.md')):
        if page.name != 'index.md':
            assert f'\n{page.stem}\n' in contents, page.name
