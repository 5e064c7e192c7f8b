"""Tables that are printed where there is no terminal."""

import pytest

from mmseg_imbalance.utils.markdown import markdown_table
from mmseg_imbalance.utils.terminal import print_markdown


@pytest.mark.parametrize(('columns', 'fits'), [(None, True), ('60', False)])
def test_wide_tables_are_cut_only_on_request(columns, fits, monkeypatch, capsys):
    monkeypatch.delenv('COLUMNS', raising=False)
    if columns:
        monkeypatch.setenv('COLUMNS', columns)
    cells = [f'{number}.25 ± 0.{number}' for number in range(10, 22)]
    print_markdown(markdown_table(['method'] * 12, [cells]))
    output = capsys.readouterr().out
    assert all(cell in output for cell in cells) is fits
