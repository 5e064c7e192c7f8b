"""Segments an image, or every image of a folder, and paints the classes over it."""

import argparse
import sys
from math import ceil
from pathlib import Path

import cv2
import mmcv
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.progress import track

from mmseg_imbalance.datasets.conversion import decode, read_complete
from mmseg_imbalance.utils.colours import colourize
from mmseg_imbalance.utils.command_line import number, one_line, run_tool
from mmseg_imbalance.utils.errors import BadFileError, ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.inference import add_device, build_inferencer, predict
from mmseg_imbalance.utils.run_config import add_config_arguments, load_config
from mmseg_imbalance.utils.shipped import config_path
from mmseg_imbalance.weighting.pixel_weight_figure import figure_to_array

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
EXAMPLE = """example:
  python demo/image_demo.py data/camvid/images/val \\
      configs/recall_loss/recall_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py \\
      work_dirs/recall_camvid/iter_2000.pth --out-dir work_dirs/recall_camvid/overlays

An overlay has the path below the folder, the name and the format of its image. Exit code: 0 all
done, 1 some images cannot be read or segmented (they are named, the others are done), 2 usage.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', type=Path, help='image, or folder with images in it and below')
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument(
        '--out-dir', type=Path, default=Path('work_dirs/overlays'), metavar='DIR',
        help='where the overlays go (default: %(default)s)',
    )  # fmt: skip
    add_device(parser)
    parser.add_argument(
        '--opacity', type=number(lambda value: 0 <= value <= 1, 'from 0 to 1'), default=0.5,
        help='share of the colours, from 0 (none) to 1 (no image) (default: %(default)s)',
    )  # fmt: skip
    return parser.parse_args()


def find_images(images: Path, out_dir: Path) -> dict[Path, Path]:
    """The overlay of every image; overlays of earlier runs are no images."""
    folder = images if images.is_dir() else images.parent
    out = out_dir.resolve()
    found = sorted(images.rglob('*')) if images.is_dir() else [images]
    found = [p for p in found if p.suffix.lower() in SUFFIXES and p.is_file()]
    jobs = {p: out / p.relative_to(folder) for p in found if out not in p.resolve().parents}
    if not jobs:
        raise ToolError(f'no images ({", ".join(SUFFIXES)}) at {images}, or all are in {out_dir}')
    return jobs


def overlay(image: np.ndarray, label: np.ndarray, meta: dict, opacity: float) -> np.ndarray:
    """The image (H, W, 3) BGR with its label (H, W) painted over it, a legend below, as BGR."""
    colours = colourize(label, meta['palette'])[..., ::-1]
    painted = cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)[..., ::-1]
    shares = np.bincount(label.ravel(), minlength=len(meta['classes'])) / label.size
    patches = [
        Patch(
            color=np.divide(meta['palette'][c], 255), label=f'{meta["classes"][c]} {shares[c]:.1%}'
        )
        for c in np.flatnonzero(shares)
    ]
    height, width = label.shape
    columns = max(1, width // 160)
    below = 10 + 20 * ceil(len(patches) / columns)
    figure = Figure(((max(width, 160) + 0.5) / 100, (height + below + 0.5) / 100), dpi=100)
    figure.figimage(painted, 0, below)  # pixel by pixel
    figure.legend(handles=patches, loc='lower left', ncols=columns, fontsize=8, frameon=False)
    return figure_to_array(figure)[..., ::-1]


def main() -> int:
    args = parse_args()
    jobs = find_images(args.images, args.out_dir)
    config = args.config if Path(args.config).is_file() else config_path(args.config)
    cfg = load_config(config, args.cfg_options)
    inferencer = build_inferencer(cfg, args.checkpoint, args.device)
    failed = []
    for path, target in track(jobs.items(), description='segmenting'):
        try:
            image = decode(read_complete(path)[0], path, mmcv.imfrombytes)
            (label,) = predict(inferencer, [image])
        except BadFileError as error:
            failed.append(f'failed: {error}')
            continue
        except (cv2.error, RuntimeError) as error:  # such as a side that is resized to nothing
            failed.append(f'failed: {path} cannot be segmented: {one_line(str(error))}')
            continue
        drawn = overlay(image, label, inferencer.model.dataset_meta, args.opacity)
        write_atomically(target, cv2.imencode(path.suffix.lower(), drawn)[1].tobytes())
    print(f'overlays written to {args.out_dir}: {len(jobs) - len(failed)}')
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(run_tool(main))
