"""The code blocks of README and CONTRIBUTING do what they say."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from batches import draw_batch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_imbalance import config_path

ROOT = Path(__file__).resolve().parents[1]
METHODS = ('class_balanced_sampling', 'cross_entropy', 'loss_max_pooling', 'recall_loss')
BASE = 'cross_entropy/ce_deeplabv3-r18-d8_4xb2-80k_cityscapes-512x1024.py'
PAGES = ('README.md', 'CONTRIBUTING.md', *(f'configs/{m}/README.md' for m in METHODS))


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf'```{language}\n(.*?)```', text, flags=re.DOTALL)


def test_the_lines_to_add_build_in_a_config(tmp_path):
    (tmp_path / 'your_config.py').write_text(f'_base_ = {config_path(BASE)!r}\n')
    (tmp_path / 'child.py').write_text(blocks('README.md', 'python')[0])
    cfg = Config.fromfile(tmp_path / 'child.py')
    cfg.model.backbone.init_cfg = None
    init_default_scope('mmseg')
    assert type(MODELS.build(cfg.model).decode_head.loss_decode).__name__ == 'LossMaxPooling'


def test_the_sampling_lines_are_those_of_its_page():
    shown = blocks('README.md', 'python')[1]
    assert shown == blocks('configs/class_balanced_sampling/README.md', 'python')[0]


def test_a_config_inherits_by_the_lines_of_the_readme(tmp_path):
    (tmp_path / 'child.py').write_text(blocks('README.md', 'python')[2])
    cfg = Config.fromfile(tmp_path / 'child.py')
    assert cfg.model.decode_head.loss_decode == dict(type='RecallLoss', floor=0)


def test_the_weighting_of_the_contributing_page_is_cross_entropy():
    (source,) = blocks('CONTRIBUTING.md', 'python')
    exec(source, {})
    logits, label = draw_batch()
    loss = MODELS.build(dict(type='UniformLoss'))(logits, label)
    torch.testing.assert_close(loss, F.cross_entropy(logits, label, ignore_index=255))


@pytest.mark.parametrize('page', PAGES)
def test_links_and_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r'\]\(([^)#]+)\)', text):
        if '://' not in target:
            assert ((ROOT / page).parent / target).exists(), target
    for path in re.findall(r'\b(?:tools|configs|tests)/[\w./-]+\.(?:py|sh)\b', text):
        assert (ROOT / path).is_file(), path
