"""Tables in pages."""

import dataclasses

import pytest
from squeezed import squeezed
from study_results import made_plan, write_study

from lab.study.pages import fill_page, update_page
from lab.study.plan import Method
from lab.study.results import Results
from lab.study.tables import summary_table
from mmseg_imbalance.utils.errors import ToolError

PAGE = """# Title

<!-- results: toy summary ce recall -->
old
<!-- end of results -->

Text.

<!-- results: toy tuning -->
<!-- end of results -->
"""


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path / 'results')
    return {'toy': Results.read(made_plan(), tmp_path / 'results')}


def test_places_are_filled_and_the_rest_stays(results):
    filled = fill_page(PAGE, results, 'page.md')
    chosen = [results['toy'].plan.methods[key] for key in ('ce', 'recall')]
    table = summary_table(results['toy'], chosen).to_markdown()
    start = '# Title\n\n<!-- results: toy summary ce recall -->\n\n'
    assert filled.startswith(f'{start}{table}\n<!-- end of results -->\n\nText.\n')
    assert '| focal loss | gamma 2.0 |' in filled and 'old' not in filled
    assert fill_page(filled, results, 'page.md') == filled


def test_pages_without_places_stay(results):
    assert fill_page('# Title\n', results, 'page.md') == '# Title\n'


def test_methods_that_were_not_trained_with_the_seeds(results):
    """They can be in tables that need no such training, which leave them out."""
    plan = made_plan(lmp=Method('lmp', 'LMP', 'loss_max_pooling/lmp'))
    results['toy'] = dataclasses.replace(results['toy'], plan=plan)
    page = '<!-- results: toy tuning focal lmp -->\n<!-- end of results -->\n'
    assert 'gamma' in fill_page(page, results, 'page.md')


def test_gains_across_studies(results):
    results['other'] = results['toy']
    page = (
        '<!-- results: toy=Drawn_streets,other=Others focal recall -->\n<!-- end of results -->\n'
    )
    header, _, focal, recall = fill_page(page, results, 'page.md').splitlines()[2:6]
    assert squeezed(header) == '| method | Drawn streets | Others |'
    cell = '+4.0 ± 0.0 / +13.0 / +0.0'
    assert squeezed(recall) == f'| recall loss | {cell} | {cell} |'
    assert focal.startswith('| focal loss ')


@pytest.mark.parametrize(
    ('place', 'message'),
    [
        ('tay summary', "page.md asks for 'tay'; there are toy"),
        ('toy sumary', "page.md asks for 'sumary'; there are summary, gains"),
        ('toy summary lmp', "page.md asks for 'lmp'; there are ce, focal, recall"),
        ('toy', "page.md asks for ''; there are summary"),
        ('toy=A,tay=B ce', "page.md asks for 'tay'; there are toy"),
        ('toy=A lmp', "page.md asks for 'lmp'; there are ce, focal, recall"),
    ],
)
def test_what_there_is_not(results, place, message):
    text = f'<!-- results: {place} -->\n<!-- end of results -->\n'
    with pytest.raises(ToolError, match=message):
        fill_page(text, results, 'page.md')


def test_a_place_without_an_end(results):
    with pytest.raises(ToolError, match='no line <!-- end of results -->'):
        fill_page('<!-- results: toy summary -->\n| a |\n', results, 'page.md')


def test_files_are_written_once_and_only_checked_with_check(results, tmp_path):
    path = tmp_path / 'page.md'
    path.write_text(PAGE)
    assert update_page(path, results, check=True)
    assert path.read_text() == PAGE
    assert update_page(path, results)
    filled = path.read_text()
    assert filled != PAGE
    assert not update_page(path, results)
    assert path.read_text() == filled


def test_a_file_that_is_no_text(results, tmp_path):
    path = tmp_path / 'page.md'
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ToolError, match=r'page\.md is not a text file'):
        update_page(path, results)
