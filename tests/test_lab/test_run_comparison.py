"""Figures, tables and files of compared runs, against numbers computed here."""

import re

import matplotlib.colors
import numpy as np
import pytest
from made_runs import made_run
from squeezed import squeezed

from lab.study.compared_runs import compare_runs
from lab.study.run_figures import class_differences_figure, running_mean, training_curves_figure
from lab.study.run_report import comparison_latex, comparison_markdown, write_run_comparison
from lab.study.run_tables import run_tables

NAN = float('nan')
CLASSES = ['road', 'sky', 'pole', 'rider']
PIXELS = [700, 200, 95, 5]


def curves(rng):
    steps = np.arange(1, 81)
    validated = np.array([20, 40, 80])
    return {
        'loss': (steps, rng.uniform(0, 1, 80)),
        'mIoU': (validated, rng.uniform(0, 100, 3)),
        'mAcc': (validated, rng.uniform(0, 100, 3)),
    }


def made(methods, seeds, classes=CLASSES, pixels=PIXELS, seed=0, **kwargs):
    """A comparison; the scores of the last class are undefined in the last method's last run."""
    rng = np.random.default_rng(seed)
    runs = []
    for method in methods:
        for s in range(seeds):
            iou, acc = rng.uniform(20, 90, (2, len(classes)))
            if method == methods[-1] and s == seeds - 1:
                iou[-1] = acc[-1] = NAN
            given = dict(classes=list(classes), pixels=pixels and list(pixels)) | kwargs
            runs.append((method, made_run(method, s, iou, acc, curves=curves(rng), **given)))
    return compare_runs(runs)


def scores(comparison, method, kind):
    """(runs, C) in the order of CLASSES."""
    runs = next(m.runs for m in comparison.methods if m.name == method)
    return np.array([[run.scores[kind][name] for name in CLASSES] for run in runs])


def bars(axis, colour):
    return [
        patch
        for patch in axis.patches
        if matplotlib.colors.same_color(patch.get_facecolor(), colour)
    ]


def test_differences_of_classes():
    comparison = made(['ce', 'lmp', 'recall'], 3)
    figure = class_differences_figure(comparison)
    tail_first = [3, 2, 1, 0]
    for axis, kind in zip(figure.axes, ('IoU', 'Acc'), strict=True):
        base = scores(comparison, 'ce', kind)
        for method, colour in (('lmp', '#0072B2'), ('recall', '#D55E00')):
            expected = np.nanmean(scores(comparison, method, kind) - base, 0)
            drawn = bars(axis, colour)
            assert [bar.get_width() for bar in drawn] == pytest.approx(expected[tail_first])
            rows = [bar.get_y() + bar.get_height() / 2 for bar in drawn]
            assert np.round(rows).tolist() == [0, 1, 2, 3]
        spreads = [
            np.diff(line[:, 0])[0] / 2 for c in axis.collections for line in c.get_segments()
        ]
        for number, method in enumerate(('lmp', 'recall')):
            expected = np.nanstd(scores(comparison, method, kind) - base, 0, ddof=1)
            assert spreads[4 * number : 4 * number + 4] == pytest.approx(expected[tail_first])
    axis = figure.axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ['rider  0.5 %', 'pole  9.5 %', 'sky  20 %', 'road  70 %']
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first row on top
    assert axis.get_ylabel() == 'class, share of the evaluated pixels'
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ['lmp', 'recall', '± standard deviation']
    assert 'difference to ce' in figure.get_supxlabel()


def test_differences_of_single_runs_have_no_spread():
    figure = class_differences_figure(made(['lmp', 'recall'], 1, pixels=None))
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['recall']
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == CLASSES and figure.axes[0].get_ylabel() == "class, data set's order"


def test_share_of_training_pixels():
    comparison = made(['ce', 'lmp'], 1, share=[1.0, 2.0, 3.0, 94.0])
    axis = class_differences_figure(comparison).axes[0]
    assert axis.get_ylabel() == 'class, share of the training pixels'
    assert axis.get_yticklabels()[0].get_text() == 'road  1 %'


def test_training_curves():
    comparison = made(['ce', 'lmp'], 3)
    figure = training_curves_figure(comparison)
    loss, miou, macc = figure.axes
    assert miou.get_title() == 'mIoU in validation (%)' and miou.get_xlabel() == 'iteration'
    for number, method in enumerate(comparison.methods):
        for axis, key in ((loss, 'loss'), (miou, 'mIoU'), (macc, 'mAcc')):
            values = np.array([run.curves[key][1] for run in method.runs])
            if key == 'loss':  # 80 values: two neighbours on both sides
                values = np.array([[row[max(i - 2, 0) : i + 3].mean() for i in range(80)]
                                   for row in values])  # fmt: skip
            line = axis.lines[number]
            assert line.get_xdata().tolist() == method.runs[0].curves[key][0].tolist()
            np.testing.assert_allclose(line.get_ydata(), values.mean(0))
            band = axis.collections[number].get_paths()[0].vertices[:, 1]
            mean, std = values.mean(0), values.std(0, ddof=1)
            assert band.max() == pytest.approx((mean + std).max())
            assert band.min() == pytest.approx((mean - std).min())
    assert matplotlib.colors.same_color(loss.lines[0].get_color(), '#999999')  # the baseline


def test_details_that_not_all_runs_know():
    details = {'lr': 0.1}
    runs = [made_run(m, 0, [50] * 4, [60] * 4, details=details | extra)
            for m, extra in (('ce', {}), ('lmp', {'processes': 4}))]  # fmt: skip
    (table, *_) = run_tables(compare_runs([(None, run) for run in runs]))
    assert table.header[:3] == ['method', 'runs', 'processes']
    assert [row[2] for row in table.rows] == ['?', '4']


def test_curves_at_common_steps():
    """Runs of one method that logged at other steps are averaged where all have values."""
    iou = np.full(4, 50.0)
    runs = [
        made_run('ce', 0, iou, iou, curves={'mIoU': (np.array([10, 20, 30]), np.array([1, 2, 3]))}),
        made_run('ce', 1, iou, iou, curves={'mIoU': (np.array([20, 30, 40]), np.array([4, 5, 6]))}),
        made_run('lmp', 1, iou, iou, curves={'mIoU': (np.array([40]), np.array([6]))}),
    ]
    figure = training_curves_figure(compare_runs([(None, run) for run in runs]))
    assert len(figure.axes) == 2  # not all have mAcc
    line, point = figure.axes[1].lines
    assert line.get_xdata().tolist() == [20, 30] and line.get_ydata().tolist() == [3, 4]
    assert point.get_xdata().tolist() == [40] and point.get_marker() != line.get_marker()


def test_tail_has_a_panel_if_all_runs_have_it():
    comparison = made(['ce', 'lmp'], 1)
    for run in comparison.runs:
        run.curves['mIoU_tail'] = run.curves['mIoU']
    titles = [axis.get_title() for axis in training_curves_figure(comparison).axes]
    assert titles[-1] == 'mIoU_tail in validation (%)' and len(titles) == 4


def test_running_mean():
    values = np.random.default_rng(0).normal(size=200)
    expected = np.convolve(values, np.ones(11) / 11, 'valid')
    np.testing.assert_allclose(running_mean(values)[5:-5], expected)
    assert running_mean(values)[-1] == pytest.approx(values[-6:].mean())
    assert running_mean(values[:10]).tolist() == values[:10].tolist()
    assert np.isnan(running_mean(np.array([1.0, NAN, 2.0])))[1]


@pytest.mark.parametrize(
    'classes, methods, height', [(11, 2, 520), (19, 8, 1081), (19, 4, 800), (150, 8, 3600)]
)
def test_size_of_figures(classes, methods, height):
    """In pixels; of eight methods every one has a colour of its own."""
    names = [f'class {c}' for c in range(classes)]
    methods = [f'method {m}' for m in range(methods)]
    comparison = made(methods, 3, names, list(range(1, classes + 1)))
    for run in comparison.runs:
        run.curves['mIoU_tail'] = run.curves['mIoU']
    figure = class_differences_figure(comparison)
    found = 110 * figure.get_size_inches()
    assert 900 < found[0] <= 1920 and 0.7 * height < found[1] <= height
    assert found[1] / classes > 22  # for labels of 8 points
    colours = {patch.get_facecolor() for patch in figure.axes[0].patches}
    assert len(colours) == len(methods) - 1
    figure = training_curves_figure(comparison)
    assert (110 * figure.get_size_inches() <= (1920, 1080)).all()
    assert len({line.get_color() for line in figure.axes[0].lines}) == len(methods)


def test_long_names_fit():
    names = [f'{m}_deeplabv3-r101-d8_4xb2-80k_cityscapes-512x1024' for m in ('ce', 'lmp', 'recall')]
    figure = class_differences_figure(made(names, 2))
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    for text in [*figure.legends[0].get_texts(), figure.axes[0].title, figure._supxlabel]:
        box = text.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height


def rows_of(markdown, title):
    section = markdown.split(f'## {title}\n\n')[1].split('\n\n')[0]
    rows = [line.strip('| ').split(' | ') for line in section.splitlines()]
    return rows[0], {row[0]: row[1:] for row in rows[2:]}


def text(values, digits, sign=''):
    std = np.nanstd(values, ddof=1)
    return f'{np.nanmean(values):{sign}.{digits}f} ± {std:.{digits}f}'


def test_markdown():
    comparison = made(['ce', 'lmp', 'recall'], 3)
    markdown = squeezed(comparison_markdown(comparison))
    header, rows = rows_of(markdown, 'Means over classes (%)')
    assert header == ['method', 'runs', 'mIoU', 'mAcc', 'aAcc']
    mious = {m.name: [run.means['mIoU'] for run in m.runs] for m in comparison.methods}
    best = max(mious, key=lambda name: np.mean(mious[name]))
    for name, values in mious.items():
        mean, std = text(values, 2).split(' ± ')
        assert rows[name][1] == (f'**{mean}** ± {std}' if name == best else f'{mean} ± {std}')
        assert rows[name][0] == '3' and rows[name][3] == '90.00 ± 0.00'  # all alike: none is best

    header, rows = rows_of(markdown, 'Recall of every class (%)')
    assert header == ['class', 'evaluated pixels %', 'ce', 'lmp', 'recall']
    assert list(rows) == ['rider', 'pole', 'sky', 'road'] and rows['pole'][0] == '9.50'
    for c, name in enumerate(CLASSES):
        shown = [cell.replace('*', '') for cell in rows[name][1:]]
        values = [scores(comparison, m, 'Acc')[:, c] for m in ('ce', 'lmp', 'recall')]
        assert shown == [text(v, 1) for v in values]
        assert [i for i in range(3) if '**' in rows[name][1 + i]] == [
            np.argmax([np.nanmean(v) for v in values])
        ]

    header, rows = rows_of(markdown, 'IoU: difference to ce (percentage points)')
    base, lmp = (scores(comparison, m, 'IoU')[:, 2] for m in ('ce', 'lmp'))
    std = (lmp - base).std(ddof=1)
    assert rows['pole'][1] == text(base, 1)
    assert rows['pole'][2] == f'{lmp.mean() - base.mean():+.1f} ± {std:.1f}'
    assert '(curves.png)' in markdown and '(classes.png)' in markdown
    header, rows = rows_of(markdown, 'Runs')
    assert (
        len(re.findall(r'^\| lmp \| runs/lmp-[012] \| lmp_net_data \| [012] ', markdown, re.M)) == 3
    )
    assert 'All: optimizer SGD, lr 0.1. Scores of the last validation, on TinyDataset' in markdown
    assert 'Left out' not in markdown and 'Warnings' not in markdown


def test_undefined_scores_and_single_runs():
    nothing, means = [NAN] * 4, {'mIoU': NAN, 'mAcc': NAN, 'aAcc': 90.0}
    undefined = made_run('a', 0, nothing, nothing, classes=CLASSES, means=means)
    defined = made_run('b', None, [1] * 4, [2] * 4, classes=CLASSES)
    comparison = compare_runs([('a', undefined), ('b', defined)])
    markdown = squeezed(comparison_markdown(comparison))
    assert '| a | 1 | – | – | 90.00 |' in markdown and '| b | 1 | **1.00** |' in markdown
    assert '| pole | – | **1.0** |' in markdown and '| pole | – | – |' in markdown
    assert '| b | runs/b-None | b\\_net\\_data |' not in markdown  # an underscore within a word
    assert '| b | runs/b-None | b_net_data | random | 1.00 |' in markdown
    assert 'Classes are sorted in the order of the data set.' in markdown


def test_zero_has_no_minus():
    runs = [made_run(m, 0, [iou] * 4, [iou] * 4) for m, iou in (('ce', 50.0), ('lmp', 49.99))]
    markdown = squeezed(comparison_markdown(compare_runs([(None, run) for run in runs])))
    assert '| class 0 | 50.0 | +0.0 |' in markdown and '-0.0' not in markdown


def test_differing_settings_are_columns():
    runs = [made_run(m, 0, [50] * 4, [60] * 4, details={'optimizer': 'SGD', 'lr': lr})
            for m, lr in (('ce', 0.1), ('lmp', 0.2))]  # fmt: skip
    markdown = squeezed(comparison_markdown(compare_runs([(None, run) for run in runs])))
    assert '| method | runs | lr | mIoU |' in markdown and '| lmp | 1 | 0.2 |' in markdown
    assert 'All: optimizer SGD. ' in markdown


def test_means_over_groups_have_their_table():
    means = {'mIoU': 50.0, 'mAcc': 60.0, 'aAcc': 90.0, 'mIoU_head': 70.0, 'mIoU_tail': 20.0}
    comparison = made(['ce', 'lmp'], 2, means=means)
    header, rows = rows_of(
        squeezed(comparison_markdown(comparison)), 'Means over head, medium and tail classes (%)'
    )
    assert header == ['method', 'mIoU_head', 'mIoU_tail']
    assert rows['ce'] == ['70.00 ± 0.00', '20.00 ± 0.00']


def test_one_method_has_no_differences(tmp_path):
    written = write_run_comparison(made(['ce'], 2), tmp_path)
    assert {path.name for path in written} == {
        'comparison.md', 'comparison.tex', 'comparison.json', 'curves.png'
    } == {path.name for path in tmp_path.iterdir()}  # fmt: skip
    assert 'difference' not in (tmp_path / 'comparison.md').read_text()


def test_left_out_and_warnings_are_named():
    comparison = made(['ce', 'lmp'], 1)
    comparison.left_out.append(('runs/*x', 'stopped at iteration 4 of 8'))
    comparison.warnings.append('mind | this')
    markdown = squeezed(comparison_markdown(comparison))
    assert '## Left out\n\n- runs/\\*x: stopped at iteration 4 of 8\n' in markdown
    assert '## Warnings\n\n- mind \\| this\n' in markdown


NAMES = [
    r'a_b & 50% #1 $x$ {y}',
    r'back\slash~tilde^hat',
    'less<more>pipe|star*[x]`y`',
    '_ends_',
    'Straße',
]


def test_markdown_escapes():
    """Read back by the CommonMark parser that rich has."""
    markdown_it = pytest.importorskip('markdown_it')
    comparison = made(['ce', 'lmp'], 1, NAMES, [5, 4, 3, 2, 1])
    tokens = markdown_it.MarkdownIt().enable('table').parse(comparison_markdown(comparison))
    shown = [''.join(t.content for t in token.children if t.type == 'text')
             for token in tokens if token.type == 'inline']  # fmt: skip
    kinds = {t.type for token in tokens if token.type == 'inline' for t in token.children}
    for name in NAMES:
        assert shown.count(name) == 4, name  # IoU, recall, and their differences
    assert kinds <= {'text', 'strong_open', 'strong_close', 'image'}


UNESCAPED = {r'\textbackslash{}': '\\', r'\textasciitilde{}': '~', r'\textasciicircum{}': '^',
             r'\textless{}': '<', r'\textgreater{}': '>', r'\textbar{}': '|'}  # fmt: skip
TOKEN = re.compile(r'\\text[a-z]+\{\}|\\[&%$#_{}]|[^\\&%$#_{}~^<>|]')


def unescaped(cell):
    """The text that LaTeX prints for a cell; fails on characters that mean something to it."""
    shown, end = '', 0
    while end < len(cell):
        token = TOKEN.match(cell, end)
        assert token, f'{cell!r} has a special character at {end}'
        end = token.end()
        shown += UNESCAPED.get(token[0], token[0][-1])
    return shown


def latex_rows(body):
    lines = [line.strip() for line in body.strip().splitlines()]
    assert lines[0] == r'\toprule' and lines[2] == r'\midrule' and lines[-1] == r'\bottomrule'
    for line in [lines[1], *lines[3:-1]]:
        assert line.endswith(r' \\')
        yield re.split(r'(?<!\\)&', line[:-3])


def test_latex_is_well_formed():
    """Every float has one tabular, whose rows have as many cells as columns; text is escaped."""
    comparison = made(['ce', 'a_b & c'], 2, NAMES, [5, 4, 3, 2, 1])
    latex = comparison_latex(comparison)
    assert latex.startswith(r'% Needs \usepackage{booktabs}')
    floats = re.findall(
        r'\\begin\{table\}\n  \\centering\n  \\caption\{([^\n]*)\}\n'
        r'  \\begin\{tabular\}\{(lr*)\}\n(.*?)  \\end\{tabular\}\n\\end\{table\}\n',
        latex,
        re.DOTALL,
    )
    tables = list(run_tables(comparison))
    assert len(floats) == len(tables) == latex.count(r'\begin{') / 2 == latex.count(r'\end{') / 2
    number = re.compile(r'\$(\\mathbf\{)?([+-]?\d+\.\d+)(?(1)\})( \\pm \d+\.\d+)?\$|--')
    for (caption, columns, body), table in zip(floats, tables, strict=True):
        assert unescaped(caption) == table.title
        shown = list(latex_rows(body))
        assert len(shown) == 1 + len(table.rows)
        for cells, expected in zip(shown, [table.header, *table.rows], strict=True):
            assert len(cells) == len(columns) == len(expected)
            for cell, value in zip(map(str.strip, cells), expected, strict=True):
                if isinstance(value, str):
                    assert unescaped(cell) == value
                else:
                    found = number.fullmatch(cell)
                    assert found, cell
                    assert (found[2] or '–') == value.mean and bool(found[1]) == value.best
                    assert (found[3] or r' \pm ')[5:] == value.std
    assert r'\mathbf{' in latex
