"""Results in ``metafile.yml``, where model zoos look for them."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from ..engine.run_config import load_config
from ..evaluation.run_settings import training_settings
from ..files import write_atomically
from ..shipped import config_path
from .commands import head_options
from .plan import Trial
from .results import Results


def update_metafile(path: Path, results: Mapping[str, Results], check: bool = False) -> bool:
    """Brings the results of all configs that were trained as they are up to date.

    Args:
        path: The file.
        results: By plan.
        check: Whether to leave the file as it is.

    Returns:
        Whether it was, or is, out of date.
    """
    text = path.read_text(encoding='utf-8')
    content = yaml.safe_load(text)
    found = {name: entry for each in results.values() for name, entry in _entries(each).items()}
    for model in content['Models']:
        model.pop('Results', None)
        if model['Name'] in found:
            model['Results'] = [found[model['Name']]]
    updated = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    if updated != text and not check:
        write_atomically(path, updated.encode())
    return updated != text


def trained_as_shipped(trial: Trial) -> bool:
    """Whether a trial's options leave its config what it is, but for seed, workers and logs."""
    path = config_path(trial.config)
    shipped = load_config(path)
    trained = load_config(path, head_options(trial.options, shipped))
    return training_settings(trained, trained) == training_settings(shipped, shipped)


def _entries(results: Results) -> dict[str, dict]:
    """The results of a plan by name of the config."""
    entries = {}
    for key, records in results.trained.items():
        if not trained_as_shipped(records[0].trial):
            continue
        method = results.plan.methods[key]
        metrics = {
            name: round(results.mean(method, score, augmented).mean, 1)
            for name, score, augmented in (
                ('mIoU', 'mIoU', False),
                ('mIoU(ms+flip)', 'mIoU', True),
                ('mAcc', 'mAcc', False),
            )
        }
        entries[Path(records[0].trial.config).stem] = {
            'Task': 'Semantic Segmentation',
            'Dataset': results.plan.title,
            'Metrics': metrics,
        }
    return entries
