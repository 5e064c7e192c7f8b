"""Reports and figures of a study."""

import json
import re
from itertools import combinations

import pytest
from matplotlib.text import Text
from study_results import made_plan, made_record, write_study

from lab.study.pareto import pareto_figure
from lab.study.plan import Method
from lab.study.report import highlighted_runs, report, write_report
from lab.study.results import Results
from lab.study.run_figures import class_differences_figure


@pytest.fixture
def results(tmp_path):
    write_study(tmp_path)
    return Results.read(made_plan(), tmp_path)


def test_a_report_has_all_tables_and_figures(results, tmp_path):
    folder = tmp_path / 'deep' / 'report'
    files = write_report(results, folder)
    assert {path.name for path in files} == {
        'report.md', 'comparison.json', 'pareto.png', 'classes.png', 'curves.png'
    }  # fmt: skip
    assert all(path.stat().st_size for path in files)
    text = (folder / 'report.md').read_text()
    for words in (
        '# Toy\n',
        'seeds 0, 1',
        'device a CPU, 1 threads, PyTorch 2',
        '## Means over classes (%)',
        '## Difference to cross-entropy (percentage points)',
        '## recall of every class (%)',
        '## Time and memory of the training',
        '## Scores of the held-out images (%)',
        'python tools/train.py recall.py',
    ):
        assert words in text, words
    content = json.loads((folder / 'comparison.json').read_text())
    assert content['baseline'] == 'cross-entropy' and len(content['methods']) == 3


def test_one_method_alone(tmp_path):
    made_record('ce').write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    files = write_report(results, tmp_path / 'report')
    assert not any(path.name == 'classes.png' for path in files)
    text = report(results)
    assert 'Difference to' not in text and 'Time and memory' not in text
    drawn = {path.name for path in files}
    assert set(re.findall(r'\((\w+\.png)\)', text)) <= drawn


def test_figures_show_no_more_than_they_can(results):
    assert [m.name for m in highlighted_runs(results).methods] == [
        'cross-entropy', 'focal loss', 'recall loss'
    ]  # fmt: skip
    plan = made_plan()
    plan.highlights.append('recall')
    chosen = Results(plan, results.comparison, results.trained)
    assert [m.name for m in highlighted_runs(chosen).methods] == ['cross-entropy', 'recall loss']


def test_figures_have_a_colour_for_every_method(tmp_path):
    many = {f'm{i}': Method(f'm{i}', f'method {i}', f'a/m{i}') for i in range(9)}
    plan = made_plan(**many)
    for key in plan.methods:
        made_record(key, plan=plan, choice={}).write(tmp_path)
    shown = highlighted_runs(Results.read(plan, tmp_path))
    axis, _ = class_differences_figure(shown).axes
    colours = {bars.patches[0].get_facecolor() for bars in axis.containers if bars.patches}
    assert len(colours) == len(shown.others) == 7


def test_pareto_figure_has_every_method_at_its_place(results):
    (axis,) = pareto_figure(results).axes
    labels = {text.get_text(): text.xy for text in axis.texts}
    assert labels == {
        m.name: (pytest.approx(results.mean(m, 'mAcc').mean), results.mean(m, 'mIoU').mean)
        for m in results.methods
    }
    assert (axis.get_xlabel(), axis.get_ylabel()) == ('mean accuracy (%)', 'mIoU (%)')


def test_front_is_what_no_baseline_beats(tmp_path):
    scores = {'ce': (50, 45), 'focal': (60, 30), 'recall': (70, 70)}
    for key, (accuracy, iou) in scores.items():
        made_record(key, iou=(iou,) * 3, acc=(accuracy,) * 3).write(tmp_path)
    results = Results.read(made_plan(), tmp_path)
    (axis,) = pareto_figure(results).axes
    front = next(line for line in axis.lines if line.get_color() == '0.8')
    points = list(zip(front.get_xdata(), front.get_ydata(), strict=True))
    assert points == [(50, 45), (50, 45), (50, 30), (60, 30), (60, 30)]


def test_without_baselines_there_is_no_front(tmp_path):
    plan = made_plan(ce=Method('ce', 'cross-entropy', 'cross_entropy/ce', ours=True))
    for key in ('ce', 'recall'):
        made_record(key).write(tmp_path)
    (axis,) = pareto_figure(Results.read(plan, tmp_path)).axes
    assert '0.8' not in [line.get_color() for line in axis.lines] and len(axis.texts) == 2


def test_names_in_the_pareto_figure_cover_no_other(tmp_path):
    """Eight methods of nearly the same scores, one at the right edge."""
    extra = {f'm{i}': Method(f'm{i}', f'a method with the number {i}', f'a/m{i}') for i in range(8)}
    plan = made_plan(**extra)
    made_record('ce', iou=(40,) * 3, acc=(40,) * 3).write(tmp_path)
    for i, key in enumerate(extra):
        made_record(key, iou=(50 + i / 9,) * 3, acc=(80,) * 3, plan=plan).write(tmp_path)
    figure = pareto_figure(Results.read(plan, tmp_path))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [Text.get_window_extent(name, renderer) for name in figure.axes[0].texts]
    assert len(boxes) == 9
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
