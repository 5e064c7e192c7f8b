"""Facts that several parts of a run state, and whether the parts agree about them.

MMSegmentation does not compare them: the ignored label alone is set in the head, the data set,
the crop, the padding and the metric.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmcv.transforms import Pad
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import RandomCrop
from torch import nn

from ..datasets.wrappers import plain_datasets, transforms_of
from ..utils.errors import ToolError
from ..utils.find_loss import unwrapped
from ..utils.logs import warn


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


def check_consistency(
    model: nn.Module, datasets: dict, metrics: dict, trained_on: Sequence[str] | None = None
) -> None:
    """Checks that model, data sets, transforms and metrics agree about what they share.

    These are the ignored label, the classes, their number, and how label files count them.

    Args:
        model: The segmentor, with or without a wrapper.
        datasets: Data sets, wrapped or not, keyed by ``'train'``, ``'val'`` or ``'test'``.
        metrics: The metrics of each of these stages.
        trained_on: Classes of the training whose checkpoint is resumed or tested, if known.

    Raises:
        InconsistentConfigError: If two parts contradict each other; names both.
    """
    heads, data = _heads(unwrapped(model)), _plain(datasets)
    ignored = [
        *_settings(heads, 'ignore_index'),
        *_settings(_losses(heads), 'ignore_index'),
        *_settings(_losses(heads), 'ignore_label'),
        *_ignored_in_data(datasets, data),
        *_ignored_in_padding(unwrapped(model)),
    ]
    ignored += _ignored_in_metrics(metrics, {fact.value for fact in ignored})
    _agree('ignored label', ignored, 'give all of them the label of pixels without a class')
    names = _classes(data)
    numbers = [Fact(f'the classes of {fact.place}', len(fact.value)) for fact in names]
    numbers += [*_settings(heads, 'num_classes'), *_settings(_losses(heads), 'num_classes')]
    numbers += _numbers_in_crops(datasets)
    _agree('number of classes', numbers, 'set num_classes of each head to that of the data set')
    if trained_on:
        names = [Fact('the training of the checkpoint', tuple(map(str, trained_on))), *names]
    _check_names(names)
    _check_files(names, datasets, model)
    _check_label_0(data)


def _heads(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the heads that are trained on the labels of the data set, by their place."""
    heads = {}
    for path, module in model.named_modules():
        if not all(hasattr(module, name) for name in ('loss_decode', 'ignore_index')):
            continue
        # such as STDCHead, whose two classes are edges and the rest
        own_labels = 'loss_by_feat' in vars(type(module)) and 'decode_head' not in path
        if not own_labels:
            heads[f'model.{path}'] = module
    return heads


def _losses(heads: dict[str, nn.Module]) -> dict[str, nn.Module]:
    return {
        f'{place}.{path}': module
        for place, head in heads.items()
        for path, module in head.named_modules()
        if path.startswith('loss_decode')
    }


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
        # its subclass ClassAwareRandomCrop always uses the label
        unused = type(transform) is RandomCrop and transform.cat_max_ratio >= 1
        if not unused and 'BioMedical' not in type(transform).__name__:  # these pad with a class
            for name in ('ignore_index', 'seg_pad_val', 'seg_fill_in'):
                yield from _settings({place: transform}, name)
        if isinstance(transform, Pad):
            yield Fact(f"{place}.pad_val['seg']", transform.pad_val.get('seg', 255))


def _transforms(datasets: dict) -> Iterator[tuple[str, object]]:
    for stage, dataset in datasets.items():
        for transform in transforms_of(dataset):
            yield f'{type(transform).__name__} of {stage}_dataloader', transform


def _ignored_in_padding(model: nn.Module) -> Iterator[Fact]:
    preprocessor = getattr(model, 'data_preprocessor', None)
    if getattr(preprocessor, 'size', None) or getattr(preprocessor, 'size_divisor', None):
        yield from _settings({'model.data_preprocessor': preprocessor}, 'seg_pad_val')


def _ignored_in_metrics(metrics: dict, elsewhere: set) -> Iterator[Fact]:
    """Yields what metrics ignore; one that agrees allows others to score in another way."""
    for stage, parts in metrics.items():
        places = {f'{type(metric).__name__} of {stage}_evaluator': metric for metric in parts}
        facts = _settings(places, 'ignore_index')
        yield from [fact for fact in facts if fact.value in elsewhere] or facts


def _numbers_in_crops(datasets: dict) -> Iterator[Fact]:
    for place, transform in _transforms(datasets):
        probability = getattr(transform, 'class_prob', None)
        if isinstance(probability, list | tuple):
            yield Fact(f'{place}.class_prob', len(probability))


def _classes(data: dict[str, object]) -> list[Fact]:
    known = {
        place: (getattr(dataset, 'metainfo', None) or {}).get('classes')
        for place, dataset in data.items()
    }
    return [Fact(place, tuple(map(str, names))) for place, names in known.items() if names]


def _agree(what: str, facts: Sequence[Fact], way_out: str) -> None:
    by_value: dict[str, list[str]] = {}
    for fact in facts:
        by_value.setdefault(repr(fact.value), []).append(fact.place)
    if len(by_value) > 1:
        said = '; '.join(f'{", ".join(places)}: {value}' for value, places in by_value.items())
        raise InconsistentConfigError(
            f'the parts of the config disagree about the {what}: {said}; {way_out}'
        )


def _check_names(facts: Sequence[Fact]) -> None:
    """Checks that no class has another index elsewhere; other names get a warning."""
    for fact in facts:
        twice = {name for name in fact.value if fact.value.count(name) > 1}
        if twice:
            raise InconsistentConfigError(f'{fact.place} has {min(twice)!r} twice in its classes')
        first = facts[0]
        here, there = (
            {name.casefold(): c for c, name in enumerate(f.value)} for f in (fact, first)
        )
        moved = [name for name in here if there.get(name, here[name]) != here[name]]
        if moved or len(fact.value) != len(first.value):
            raise _other_classes(fact, first)
        pairs = zip(first.value, fact.value, strict=True)
        other = ', '.join(f'{a} / {b}' for a, b in pairs if a.casefold() != b.casefold())
        if other:
            warn(f'{first.place} and {fact.place} name classes differently: {other}')


def _check_files(names: Sequence[Fact], datasets: dict, model: nn.Module) -> None:
    """Checks the classes of files: of statistics in transforms, of offsets in a model."""
    files = [
        Fact(f'the statistics of {place}', getattr(transform, 'statistics_classes', None))
        for place, transform in _transforms(datasets)
    ]
    files += [
        Fact('the file of class offsets', module.offset_classes)
        for module in model.modules()
        if hasattr(module, 'offset_classes')
    ]
    for fact in files:
        if names and fact.value is not None and fact.value not in {name.value for name in names}:
            raise _other_classes(fact, names[0])


def _other_classes(fact: Fact, first: Fact) -> InconsistentConfigError:
    return InconsistentConfigError(
        f'{fact.place} has the classes {", ".join(fact.value)}, but {first.place} has '
        f'{", ".join(first.value)}; all parts of a run need the same, in the same order'
    )


def _check_label_0(data: dict[str, object]) -> None:
    """Checks that the files of a kind or a folder are read in one way; others get a warning.

    BaseSegDataset can be any kind. In other files of the same classes, 0 may mean something else.
    """
    alike = defaultdict(dict)
    for place, dataset in data.items():
        if type(dataset) is not BaseSegDataset:
            alike[type(dataset).__name__][place] = dataset
        folder = isinstance(dataset, BaseSegDataset) and dataset.data_prefix.get('seg_map_path')
        if folder:
            alike[f'{folder}/*{dataset.seg_map_suffix}'][place] = dataset
    for which, same in alike.items():
        facts = _settings(same, 'reduce_zero_label')
        _agree('meaning of label 0', facts, f'set it alike for all data sets of {which}')
    facts = _settings(data, 'reduce_zero_label')
    try:
        _agree('meaning of label 0', facts, 'set it alike if 0 means the same in their files')
    except InconsistentConfigError as error:
        warn(str(error))
