"""Every tool explains itself."""

import pytest
from run_tools import ROOT

TOOLS = sorted(str(path.relative_to(ROOT / 'tools')) for path in ROOT.glob('tools/**/*.py'))


@pytest.mark.parametrize('tool', [*TOOLS, '../demo/image_demo.py'])
def test_help_shows_an_example(call_tool, capsys, tool):
    assert call_tool(tool, '--help') == 0
    assert 'python ' in capsys.readouterr().out.partition('example')[2]
