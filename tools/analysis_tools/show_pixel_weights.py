"""Draws the weight that a trained segmentor's loss gives each pixel, in one picture per image."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rich.progress import track
from torch import Tensor, nn

from mmseg_imbalance.datasets.store import drawn_statistics, named_counting
from mmseg_imbalance.evaluation.predictions import prediction_path
from mmseg_imbalance.losses.pixel_weighting_loss import PixelWeightingLoss
from mmseg_imbalance.utils.command_line import (
    first_line,
    pooling_norm,
    pooling_ratio,
    run_tool,
    whole_number,
)
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_figure
from mmseg_imbalance.utils.find_loss import find_losses
from mmseg_imbalance.utils.inference import (
    add_device,
    build_inferencer,
    labelled_dataset,
    predict_labelled,
)
from mmseg_imbalance.utils.run_config import (
    add_config_arguments,
    check_data,
    load_config,
    work_dir_of,
)
from mmseg_imbalance.weighting.pixel_weight_figure import WeighedImage, pixel_weight_figure
from mmseg_imbalance.weighting.record import (
    describe,
    first_weighting,
    not_compiled,
    weigh,
    weighed_images,
)

EXAMPLE = """examples:
  NAME=lmp_deeplabv3-r18-d16_1xb4-2k_camvid-240x320
  python tools/analysis_tools/show_pixel_weights.py configs/loss_max_pooling/$NAME.py \\
      work_dirs/$NAME/iter_2000.pth --images 4
  python tools/analysis_tools/show_pixel_weights.py configs/loss_max_pooling/$NAME.py \\
      work_dirs/$NAME/iter_2000.pth --names 0016E5_07959 --p 1.2 --ratio 0.1

Each picture shows image, label, prediction, pixel loss and weight; plain averaging gives every
pixel the weight 1. Pictures are named like the images. If the config's loss weighs all pixels
equally, as cross-entropy does, the weights are those of loss max-pooling.
"""
NORM, RATIO = 1.7, 0.25


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument(
        '--split',
        choices=('train', 'val', 'test'),
        default='val',
        help='draw images of the train_, val_ or test_dataloader; if it has several data sets, of '
        'the first one (default: %(default)s)',
    )
    parser.add_argument(
        '--images',
        type=whole_number(minimum=1),
        default=8,
        metavar='N',
        help='number of images, evenly spread over the split (default: %(default)s)',
    )
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        help='images to draw instead, by file name or path below the image folder, without suffix',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        metavar='DIR',
        help="folder for the pictures (default: pixel_weights/SPLIT in the config's work_dir, or "
        'in work_dirs/<config name>)',
    )
    parser.add_argument(
        '--loss',
        metavar='PATH',
        help='loss whose weights are drawn, as a module path in the model such as '
        'decode_head.loss_decode.1 (default: the first loss of decode_head that weighs pixels)',
    )
    parser.add_argument(
        '--p',
        type=pooling_norm,
        help="draw loss max-pooling with this norm, whatever the config's loss (default: "
        f'{NORM} if --ratio is given)',
    )
    parser.add_argument(
        '--ratio',
        type=pooling_ratio,
        help='the same with this least share of the pixels that has to carry the weight (default: '
        f'{RATIO} if --p is given)',
    )
    add_device(parser)
    return parser.parse_args()


def picture_paths(dataset: BaseSegDataset, out_dir: Path) -> list[Path]:
    """Returns the path of the picture of every image in a data set."""
    folder = dataset.data_prefix['img_path']
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return [prediction_path(out_dir, info['img_path'], folder) for info in infos]


def choose(paths: Sequence[Path], out_dir: Path, args: argparse.Namespace) -> list[int]:
    """Returns the indices of the images to draw."""
    if not args.names:
        count = min(args.images, len(paths))
        return np.linspace(0, len(paths) - 1, count).round().astype(int).tolist()
    relative = [path.relative_to(out_dir).with_suffix('').as_posix() for path in paths]
    chosen = []
    for name in args.names:
        found = [i for i, path in enumerate(relative) if name in (path, path.rpartition('/')[2])]
        if not found:
            raise ToolError(
                f'no image of {args.split}_dataloader is named {name!r}, as {relative[0]!r} is'
            )
        chosen += found
    return chosen


def choose_loss(
    model: nn.Module, cfg: Config, args: argparse.Namespace
) -> tuple[PixelWeightingLoss, str]:
    """Returns the loss whose weights are drawn, ready for use, and the title of the pictures."""
    losses = find_losses(model, args.loss, '--loss')
    loss = first_weighting(losses)
    loss = None if loss is None else not_compiled(loss)
    if loss is None or args.p is not None or args.ratio is not None:
        settings = dict(p=args.p or NORM, ratio=args.ratio or RATIO)
        loss, instead_of = MODELS.build(dict(type='LossMaxPooling', **settings)), loss or losses[0]
        return loss, describe(loss, instead_of)
    if loss.needs_statistics:
        check_data(cfg, 'train')
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        loss.use_statistics(drawn_statistics(loader, *named_counting(cfg)))
    return loss, describe(loss)


@torch.no_grad()
def weigh_sample(model: nn.Module, loss: PixelWeightingLoss, dataset, index: int) -> WeighedImage:
    """Predicts one image and weighs its pixels at the resolution of its label map."""
    result = predict_labelled(model, dataset, index)
    logits, label = logits_of(result), result.gt_sem_seg.data.long()
    try:
        weighting = weigh(loss, logits, label.to(logits.device), dataset.ignore_index)
    except ValueError as error:
        raise ToolError(f'{result.img_path}: {first_line(error)}') from error
    height, width = label.shape[1:]
    image = cv2.resize(mmcv.imread(result.img_path, channel_order='rgb'), (width, height))
    (row,) = weighed_images(weighting, [image], [Path(result.img_path).stem])
    # The network's own prediction: with two classes in one channel it depends on the threshold.
    return row._replace(prediction=result.pred_sem_seg.data[0].long().cpu().numpy())


def logits_of(result: SegDataSample) -> Tensor:
    """Returns the logits (1, C, H, W) of a prediction; (1, 1, H, W) if the head has one channel."""
    logits = result.seg_logits.data[None]
    if logits.shape[1] > 1:
        return logits
    # For one channel MMSegmentation keeps the sigmoid, which would give an infinite loss if it
    # were rounded to 1.
    return torch.logit(logits.float(), eps=torch.finfo(torch.float32).eps)


def main() -> int:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    check_data(cfg, args.split)
    out_dir = args.out_dir or Path(work_dir_of(cfg, args.config), 'pixel_weights', args.split)
    model = build_inferencer(cfg, args.checkpoint, args.device).model
    try:
        dataset = labelled_dataset(cfg, args.split, model)
        loss, title = choose_loss(model, cfg, args)
    except (KeyError, TypeError, ValueError) as error:
        raise ToolError(f'{args.config}: {error}') from error
    paths = picture_paths(dataset, out_dir)
    meta = dataset.metainfo
    for index in track(choose(paths, out_dir, args), description='drawing'):
        row = weigh_sample(model, loss, dataset, index)
        figure = pixel_weight_figure([row], meta['classes'], meta['palette'], title)
        write_figure(paths[index], figure)
    print(f'written: {out_dir}')
    return 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
