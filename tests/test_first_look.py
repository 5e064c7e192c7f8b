"""The notebook of the first look runs without MMSegmentation, and shows a run of its own."""

import base64
import json
import os
import re
import subprocess
import sys

import pytest
from page_checkout import ENVIRONMENT
from pages import ROOT

NOTEBOOK = ROOT / 'demo/first_look.ipynb'
# Runs cells as Jupyter does: one after the other, in one namespace and in the notebook's folder.
RUN = """\
import json, matplotlib.pyplot, sys, torch, warnings
warnings.simplefilter('error')  # but for those of the imports
warnings.filterwarnings('ignore', 'FigureCanvasAgg is non-interactive')
sys.modules.update(mmseg=None, mmengine=None, mmcv=None)  # not to be found
namespace = {'__name__': '__main__'}
for number, cell in enumerate(json.load(sys.stdin), start=1):
    exec(compile(cell, f'<code cell {number}>', 'exec'), namespace)
"""
SMALLER = {'160, 40': '8, 4', '400, 4': '5, 2'}


def cells(kind: str) -> list[dict]:
    notebook = json.loads(NOTEBOOK.read_text())
    return [cell for cell in notebook['cells'] if cell['cell_type'] == kind]


def source(cell: dict) -> str:
    return ''.join(cell['source'])


@pytest.mark.docs
def test_it_runs_without_mmsegmentation():
    code = [source(cell) for cell in cells('code')]
    for numbers, fewer in SMALLER.items():
        assert code[0].count(numbers) == 1
        code[0] = code[0].replace(numbers, fewer)
    done = subprocess.run(
        [sys.executable, '-c', RUN],
        input=json.dumps(code),
        env={**os.environ, **ENVIRONMENT, 'PYTHONPATH': ''},  # it finds the package itself
        cwd=NOTEBOOK.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *_, last = done.stdout.splitlines()
    assert re.fullmatch(r'The highest mean IoU of the tail is [\d.]+ %, after .* with .*\.', last)


def test_its_outputs_are_of_one_run_from_top_to_bottom():
    code = cells('code')
    assert [cell['execution_count'] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        kinds = {output['output_type'] for output in cell['outputs']}
        prints = re.search(r'\bprint\(', source(cell)) is not None
        draws = 'plt.show()' in source(cell)
        assert ('stream' in kinds, 'display_data' in kinds) == (prints, draws), source(cell)
        assert kinds <= {'stream', 'display_data'}
        assert not any(output.get('name') == 'stderr' for output in cell['outputs'])


def test_it_is_small_and_names_no_machine():
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert set(json.loads(text)['metadata']) == {'kernelspec', 'language_info'}
    for cell in cells('code') + cells('markdown'):
        assert cell['metadata'] == {}
    for cell in cells('code'):
        for output in cell['outputs']:
            picture = output.get('data', {}).pop('image/png', '')
            shown = json.dumps(output) + base64.b64decode(picture).decode('latin-1')
            assert not re.search(r'/(home|root|tmp|work|Users|usr)/|[A-Z]:\\\\', shown)


def test_its_links_lead_somewhere():
    text = '\n'.join(map(source, cells('markdown')))
    links = re.findall(r'\]\(([^)]+)\)', text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link


def test_it_is_a_notebook():
    nbformat = pytest.importorskip('nbformat')
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
