"""Finds offsets for the logits of a trained segmentor, so that rare classes score better.

The images that it reads must be held out: the network was not trained on them, and no scores of
them are reported afterwards. The network stays as it is; its config adds the offsets.
"""

import argparse
import os
from functools import partial
from pathlib import Path

import mmseg
import numpy as np
import torch
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from rich.progress import track
from torch import nn

from mmseg_imbalance import __version__
from mmseg_imbalance.calibration import (
    CalibratedSegmentor,
    Calibration,
    ClassOffsets,
    HeldOutPixels,
    Objective,
    calibrate,
)
from mmseg_imbalance.calibration.calibrated_segmentor import additive_logits, predicts_scores
from mmseg_imbalance.calibration.tradeoff_figure import tradeoff_figure
from mmseg_imbalance.datasets.store import training_statistics
from mmseg_imbalance.datasets.wrappers import plain_datasets
from mmseg_imbalance.evaluation import Scores, class_groups
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.class_names import class_names
from mmseg_imbalance.utils.command_line import (
    add_seed,
    first_line,
    number,
    run_tool,
    whole_number,
)
from mmseg_imbalance.utils.errors import FileError, ToolError
from mmseg_imbalance.utils.files import check_writable, write_figure
from mmseg_imbalance.utils.inference import (
    add_device,
    build_inferencer,
    labelled_dataset,
    predict_labelled,
)
from mmseg_imbalance.utils.markdown import markdown_table
from mmseg_imbalance.utils.run_config import add_config_arguments, check_data, load_config
from mmseg_imbalance.utils.terminal import print_markdown

EXAMPLE = """example, for a network that was trained on the images listed in data/camvid/kept.txt:
  python tools/analysis_tools/calibrate_classes.py CONFIG work_dirs/ce/iter_2000.pth \\
      --ann-file data/camvid/held_out.txt --out work_dirs/ce/offsets.json \\
      --cfg-options train_dataloader.dataset.ann_file=kept.txt
and then in the config:
  custom_imports = dict(imports=['mmseg_imbalance'], allow_failed_imports=False)
  model = dict(type='CalibratedEncoderDecoder', offsets='work_dirs/ce/offsets.json')
"""
KINDS = {'none': 'as it is', 'tau': 'one tau', 'class': 'one offset per class'}
MEANS = ('mIoU', 'mAcc', 'mPrecision', 'mIoU_tail')
TRADED = ('aAcc', 'mIoU', 'mAcc', 'mAcc_head', 'mIoU_tail', 'mAcc_tail')  # over tau


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument(
        '--ann-file',
        type=Path,
        required=True,
        metavar='FILE',
        help="list of the held-out images: one per line, by the path below the data set's image "
        'folder, without suffix. The offsets of its first half are checked on the second one, and '
        'vice versa, so keep videos together',
    )
    parser.add_argument(
        '--split',
        choices=('train', 'val'),
        default='train',
        help='whose folders hold these images, those of the train_ or of the val_dataloader; '
        'all are read with the test pipeline (default: %(default)s)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='FILE.json',
        help='the offsets; beside them, FILE.png shows mIoU against mean accuracy over tau',
    )
    parser.add_argument(
        '--maximize',
        choices=('mIoU', 'mAcc', 'mIoU_tail'),
        default='mIoU',
        help='mAcc is the mean recall; the tail is the classes below 2%% of the training pixels '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--min-precision',
        type=number(lambda value: 0 <= value <= 1, 'from 0 to 1'),
        default=0.0,
        metavar='P',
        help='least mean precision, such as 0.5, of the classes that --maximize is about; it keeps '
        'mAcc from false alarms (default: %(default)s)',
    )
    parser.add_argument(
        '--pixels',
        type=whole_number(minimum=1000),
        default=200_000,
        metavar='N',
        help='pixels, equally many of every class, whose logits are kept in memory for one offset '
        'per class: about 16 * N bytes per class, 60 MB for 19 classes (default: %(default)s)',
    )
    add_seed(parser, of='the sample of pixels')
    add_device(parser)
    return parser.parse_args()


def check_unseen(cfg: Config, dataset: BaseSegDataset, args: argparse.Namespace) -> None:
    """Refuses images that the config trains on, and warns of those that it validates on."""
    held_out = image_paths(dataset)
    if len(held_out) < len(dataset):
        raise ToolError(f'{args.ann_file} lists {len(dataset) - len(held_out)} images twice')
    for stage in ('train', 'val'):
        if not cfg.get(f'{stage}_dataloader'):
            continue
        used = held_out & image_paths(DATASETS.build(cfg[f'{stage}_dataloader'].dataset))
        if used and stage == 'train':
            raise ToolError(
                f'{len(used)} of {len(held_out)} images of {args.ann_file} are images that the '
                f'config trains on, such as {min(used)}: a network is no judge of what it has '
                'learned. Name the images that it was trained on with --cfg-options '
                'train_dataloader.dataset.ann_file=FILE, or other images with --ann-file'
            )
        if used:
            print(f'{len(used)} images are of val_dataloader: do not report scores of them')


def image_paths(dataset) -> set[str]:
    return {
        os.path.realpath(plain.get_data_info(i)['img_path'])
        for plain in plain_datasets(dataset)
        for i in range(len(plain))
    }


def collect(
    model: nn.Module, dataset: BaseSegDataset, share: np.ndarray, args: argparse.Namespace
) -> HeldOutPixels:
    """Reads all images once."""
    pixels = HeldOutPixels(share, args.pixels, seed=args.seed, ignore_index=dataset.ignore_index)
    for index in track(range(len(dataset)), description='predicting'):
        result = predict_labelled(model, dataset, index)
        logits = additive_logits(model, result.seg_logits.data[None])
        try:
            pixels.update(logits, result.gt_sem_seg.data, half=2 * index >= len(dataset))
        except ValueError as error:
            raise ToolError(f'{result.img_path}: {error}') from error
    return pixels


def objective_of(
    args: argparse.Namespace, pixels: HeldOutPixels, groups: tuple[str, ...]
) -> Objective:
    members = pixels.images > 0
    if args.maximize == 'mIoU_tail':
        members &= np.array(groups) == 'tail'
    if not members.any():
        raise ToolError(f'no class of {args.maximize} is in the images of {args.ann_file}')
    return Objective('recall' if args.maximize == 'mAcc' else 'IoU', members, args.min_precision)


def score_table(means: dict[str, dict], found: Calibration, args: argparse.Namespace) -> str:
    """Writes the means of each kind of offsets as Markdown."""
    keys = [key for key in MEANS if any(key in mean for mean in means.values())]
    rows = []
    for kind, name in KINDS.items():
        checked = found.checked[kind]
        name = f'{name} ({found.tau:g})' if kind == 'tau' else name
        rows.append(
            [
                f'**{name}**' if kind == found.kind else name,
                *(f'{means[kind][key]:.1f}' if key in means[kind] else '–' for key in keys),
                f'{100 * checked:.1f}' if checked >= 0 else 'too imprecise',
            ]
        )
    return markdown_table(['offsets', *keys, f'{args.maximize}, other half'], rows)


def class_table(before: Scores, after: Scores, offsets: ClassOffsets) -> str:
    """Writes the offsets and the scores of every class as Markdown."""
    by_class = dict(zip(offsets.classes, offsets.offsets, strict=True))
    columns = [scores.per_class[key] for key in ('IoU', 'Acc') for scores in (before, after)]
    rows = [
        [name, f'{by_class[name]:+.2f}', *(f'{values[c]:.1f}' for values in columns)]
        for c, name in enumerate(before.classes)
    ]
    return markdown_table(
        ['class', 'offset', 'IoU before', 'after', 'recall before', 'after'], rows
    )


def conclusion(found: Calibration, args: argparse.Namespace) -> str:
    before, after = 100 * found.checked['none'], 100 * found.checked[found.kind]
    if found.kind == 'none':
        return f'No offsets raise {args.maximize} on images that they were not made of: all are 0.'
    from_ = f'from {before:.1f} ' if before >= 0 else ''
    return (
        f'Taken: {KINDS[found.kind]}. It raises {args.maximize} {from_}to {after:.1f} on the half '
        'of the images that it was not made of.'
    )


def known(means: dict[str, float], keys: tuple[str, ...]) -> dict[str, float]:
    return {key: means[key] for key in keys if key in means and not np.isnan(means[key])}


def prepare(args: argparse.Namespace) -> tuple[nn.Module, BaseSegDataset, ClassStatistics]:
    """Builds the network and the held-out data set, and reads the training's statistics."""
    cfg = load_config(args.config, args.cfg_options)
    if args.out.suffix != '.json':
        raise ToolError(f'--out {args.out} must end in .json')
    if not args.ann_file.is_file():
        raise ToolError(f'list of images not found: {args.ann_file}')
    check_data(cfg, 'train', args.split)
    model = build_inferencer(cfg, args.checkpoint, args.device).model
    if isinstance(model, CalibratedSegmentor):
        raise ToolError(f'{args.config} adds offsets already: give the config without them')
    predicts_scores(model)  # refuses heads without offsets before anything is read
    try:
        dataset = labelled_dataset(cfg, args.split, model, str(args.ann_file.resolve()))
        check_unseen(cfg, dataset, args)
        statistics = training_statistics(cfg)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise ToolError(f'{args.config}: {first_line(error)}') from error
    classes = class_names(dataset.metainfo, str(args.ann_file))
    if statistics.classes != classes:
        raise ToolError(
            f'the training set has the classes {", ".join(statistics.classes)}, the held-out '
            f'images {", ".join(classes)}: they need the same order'
        )
    try:
        check_writable(args.out)  # before all images are predicted
    except FileError as error:
        raise ToolError(f'--out {error}') from error
    return model, dataset, statistics


def find(pixels: HeldOutPixels, groups: tuple[str, ...], args: argparse.Namespace) -> Calibration:
    print('finding offsets …')  # seconds for 19 classes, minutes for 150
    objective = objective_of(args, pixels, groups)
    try:
        found = calibrate(pixels, objective)
    except ValueError as error:
        raise ToolError(f'{args.ann_file}: {error}') from error
    if found.checked[found.kind] < 0:
        raise ToolError(
            f'no offsets reach a mean precision of {args.min_precision} on images that they were '
            'not made of: lower --min-precision'
        )
    if objective(found.confusions[found.kind]) < 0:
        print(
            f'over all images, no offsets reach a mean precision of {args.min_precision}: taken '
            'are the most precise'
        )
    return found


def origin(
    found: Calibration, means: dict[str, dict], tradeoff: list[dict], args: argparse.Namespace
) -> dict:
    """Returns what the file says about where its offsets come from."""
    return dict(
        kind=found.kind,
        tau=found.tau,
        means=means,
        other_half=found.checked,
        tradeoff=tradeoff,
        settings={key: str(value) for key, value in vars(args).items()},
        versions=dict(
            mmseg_imbalance=__version__, mmseg=mmseg.__version__, torch=torch.__version__
        ),
    )


def main() -> int:
    args = parse_args()
    model, dataset, statistics = prepare(args)
    share, classes = statistics.pixel_share, statistics.classes
    groups = class_groups(share)
    pixels = collect(model, dataset, share, args)
    found = find(pixels, groups, args)
    score = partial(Scores, classes, share=share, groups=groups)
    scores = {kind: score(found.confusions[kind]) for kind in KINDS}
    means = {kind: known(scores[kind].means(), MEANS) for kind in KINDS}
    of_taus = zip(pixels.taus, pixels.confusions.sum(0), strict=True)
    tradeoff = [{'tau': tau, **known(score(c).means(), TRADED)} for tau, c in of_taus]
    chosen = found.offsets[found.kind].tolist()
    offsets = ClassOffsets(classes, chosen, origin(found, means, tradeoff, args))
    print(f'scores of the {len(dataset)} images of {args.ann_file}, in percent:')
    print_markdown(score_table(means, found, args))
    print_markdown(class_table(scores['none'], scores[found.kind], offsets))
    print(conclusion(found, args))
    offsets.save(args.out)
    marks = {KINDS[kind]: means[kind] for kind in ('none', found.kind)}
    write_figure(args.out.with_suffix('.png'), tradeoff_figure(tradeoff, marks))
    print(f'written: {args.out}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
