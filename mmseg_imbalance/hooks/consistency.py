"""Facts that several parts of a run state, and whether the parts agree about them.

MMSegmentation does not compare them: the ignored label alone is set in the head, the data set,
the crop, the padding and the metric.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from ..datasets.wrappers import plain_datasets, transforms_of
from ..utils.errors import ToolError
from ..utils.find_loss import unwrapped
from ..utils.logs import log

WARNING = 30  # of logging


class InconsistentConfigError(ToolError):
    """Raised if parts of a config contradict each other; the message names them."""


class Fact(NamedTuple):
    """What one part of a run says.

    Attributes:
        place: The part and its setting, such as ``'model.decode_head.ignore_index'``.
        value: The value there.
    """

    place: str
    value: object


def check_consistency(model: nn.Module, datasets: dict, metrics: dict) -> None:
    """Checks that model, data sets, transforms and metrics agree about what they share.

    These are the ignored label, the classes, their number, and how label files count them.

    Args:
        model: The segmentor, with or without a wrapper.
        datasets: Data sets, wrapped or not, keyed by ``'train'``, ``'val'`` or ``'test'``.
        metrics: The metrics of each of these stages.

    Raises:
        InconsistentConfigError: If two parts contradict each other; names both.
    """
    heads, data = _heads(unwrapped(model)), _plain(datasets)
    ignored = [
        *_settings(heads, 'ignore_index'),
        *_ignored_in_data(datasets, data),
        *_ignored_in_padding(unwrapped(model)),
        *_ignored_in_metrics(metrics),
    ]
    _agree('ignored label', ignored, 'give all of them the label of pixels without a class')
    numbers = [Fact(f'the classes of {fact.place}', len(fact.value)) for fact in _classes(data)]
    numbers += _settings(heads, 'num_classes')
    numbers += [f for head in heads.items() for f in _numbers_in_losses(*head)]
    _agree('number of classes', numbers, 'set num_classes of each head to that of the data set')
    _check_names([*_classes(data), *_names_in_crops(datasets)])
    for kind in {type(dataset) for dataset in data.values()}:
        same = {place: dataset for place, dataset in data.items() if type(dataset) is kind}
        facts = _settings(same, 'reduce_zero_label')
        _agree('meaning of label 0', facts, f'the files of {kind.__name__} are read in one way')


def _heads(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the heads that are trained on the labels of the data set, by their place."""
    heads = {}
    for path, module in model.named_modules():
        if not all(hasattr(module, name) for name in ('loss_decode', 'ignore_index')):
            continue
        # such as STDCHead, whose two classes are edges and the rest
        own_labels = 'loss_by_feat' in vars(type(module)) and 'auxiliary' in path
        if not own_labels:
            heads[f'model.{path}'] = module
    return heads


def _plain(datasets: dict) -> dict[str, object]:
    found = {}
    for stage, dataset in datasets.items():
        parts = plain_datasets(dataset)
        for number, part in enumerate(parts):
            of = f' (part {number})' if len(parts) > 1 else ''
            found[f'{stage}_dataloader.dataset{of}'] = part
    return found


def _settings(parts: dict[str, object], name: str) -> list[Fact]:
    values = {place: getattr(part, name, None) for place, part in parts.items()}
    return [Fact(f'{p}.{name}', value) for p, value in values.items() if value is not None]


def _ignored_in_data(datasets: dict, data: dict[str, object]) -> Iterator[Fact]:
    yield from _settings(data, 'ignore_index')
    for place, dataset in data.items():
        if getattr(dataset, 'reduce_zero_label', False):
            yield Fact(f'{place}.reduce_zero_label, which turns 0 into', 255)
        if 255 in (getattr(dataset, 'label_map', None) or {}).values():
            yield Fact(f'{place}.metainfo, which turns the classes that it leaves out into', 255)
    for place, transform in _transforms(datasets):
        if hasattr(transform, 'ignore_index'):
            yield Fact(f'{place}.ignore_index', transform.ignore_index)
        elif hasattr(transform, 'seg_pad_val') and 'BioMedical' not in place:
            yield Fact(f'{place}.seg_pad_val', transform.seg_pad_val)
        elif type(transform).__name__ == 'Pad' and 'seg' in transform.pad_val:
            yield Fact(f"{place}.pad_val['seg']", transform.pad_val['seg'])


def _transforms(datasets: dict) -> Iterator[tuple[str, object]]:
    for stage, dataset in datasets.items():
        for transform in transforms_of(dataset):
            yield f'{type(transform).__name__} of {stage}_dataloader', transform


def _ignored_in_padding(model: nn.Module) -> Iterator[Fact]:
    preprocessor = getattr(model, 'data_preprocessor', None)
    if getattr(preprocessor, 'size', None) or getattr(preprocessor, 'size_divisor', None):
        yield Fact('model.data_preprocessor.seg_pad_val', preprocessor.seg_pad_val)


def _ignored_in_metrics(metrics: dict) -> Iterator[Fact]:
    for stage, parts in metrics.items():
        places = {f'{type(metric).__name__} of {stage}_evaluator': metric for metric in parts}
        yield from _settings(places, 'ignore_index')


def _numbers_in_losses(place: str, head: nn.Module) -> list[Fact]:
    losses = {
        f'{place}.{path}': module
        for path, module in head.named_modules()
        if path.startswith('loss_decode')
    }
    return _settings(losses, 'num_classes')


def _classes(data: dict[str, object]) -> list[Fact]:
    known = {place: dataset.metainfo.get('classes') for place, dataset in data.items()}
    return [Fact(place, tuple(map(str, names))) for place, names in known.items() if names]


def _names_in_crops(datasets: dict) -> Iterator[Fact]:
    for place, transform in _transforms(datasets):
        if getattr(transform, 'statistics_classes', None) is not None:
            yield Fact(f'the statistics of {place}', transform.statistics_classes)


def _agree(what: str, facts: Sequence[Fact], way_out: str) -> None:
    by_value: dict[object, list[str]] = {}
    for fact in facts:
        by_value.setdefault(fact.value, []).append(fact.place)
    if len(by_value) > 1:
        said = '; '.join(f'{", ".join(places)}: {value}' for value, places in by_value.items())
        raise InconsistentConfigError(
            f'the parts of the config disagree about the {what}: {said}; {way_out}'
        )


def _check_names(facts: Sequence[Fact]) -> None:
    """Checks that no class has another index elsewhere; other spellings get a warning."""
    for fact in facts[1:]:
        first = facts[0]
        if fact.value == first.value:
            continue
        here, there = (dict(zip(f.value, range(len(f.value)), strict=True)) for f in (first, fact))
        moved = [name for name in here if name in there and here[name] != there[name]]
        if moved or len(here) != len(there) or not here.keys() & there.keys():
            name = moved[0] if moved else None
            said = f'{name} is class {here[name]} there, class {there[name]} here' if name else ''
            raise InconsistentConfigError(
                f'{fact.place} has the classes {", ".join(fact.value)}, but {first.place} has '
                f'{", ".join(first.value)}{said and f" ({said})"}; all of a run need the same'
            )
        pairs = zip(first.value, fact.value, strict=True)
        other = ', '.join(f'{a} / {b}' for a, b in pairs if a != b)
        log(f'{first.place} and {fact.place} name classes differently: {other}', WARNING)
