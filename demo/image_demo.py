"""Segments an image or the images in a folder and paints the classes over them, with a legend."""

import argparse
import sys
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
from mmseg_imbalance.utils.errors import BadFileError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.inference import add_device, build_inferencer, predict
from mmseg_imbalance.utils.run_config import add_config_arguments, load_config
from mmseg_imbalance.utils.shipped import config_path
from mmseg_imbalance.weighting.pixel_weight_figure import figure_to_array

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
EXAMPLE = 'example: python demo/image_demo.py data/camvid/images CONFIG work_dirs/ce/iter_2000.pth'


def overlay(image: np.ndarray, label: np.ndarray, meta: dict, opacity: float) -> np.ndarray:
    """Paints a label map (H, W) over its image (H, W, 3) BGR, with a legend below; returns BGR."""
    colours = colourize(label, meta['palette'])[..., ::-1]
    painted = cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)[..., ::-1]
    (height, width), shades = label.shape, np.divide(meta['palette'], 255)
    legend = [Patch(color=shades[c], label=meta['classes'][c]) for c in np.unique(label)]
    columns = max(1, width // 160)
    below = 10 + 20 * -(-len(legend) // columns)
    figure = Figure(((max(width, 160) + 0.5) / 100, (height + below + 0.5) / 100), dpi=100)
    figure.figimage(painted, 0, below)  # without resampling
    figure.legend(handles=legend, loc='lower left', ncols=columns, fontsize=8, frameon=False)
    return figure_to_array(figure)[..., ::-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE)
    parser.add_argument('images', type=Path, help='image, or folder of images, also in subfolders')
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    out = dict(type=Path, default='work_dirs/overlays', metavar='DIR')
    parser.add_argument('--out-dir', **out, help='folder of the overlays (default: %(default)s)')
    opacity = dict(type=number(lambda value: 0 <= value <= 1, 'from 0 to 1'), default=0.5)
    parser.add_argument('--opacity', **opacity, help='opacity of colours (default: %(default)s)')
    add_device(parser)
    args = parser.parse_args()
    several, out = args.images.is_dir(), args.out_dir.resolve()
    folder = args.images if several else args.images.parent
    found = sorted(folder.rglob('*')) if several else [args.images]
    found = [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()]
    images = [path for path in found if out not in path.resolve().parents]  # no earlier overlays
    if not images:
        parser.error(f'no images ({", ".join(SUFFIXES)}) at {args.images} outside of --out-dir')
    config = args.config if Path(args.config).is_file() else config_path(args.config)
    cfg, failed = load_config(config, args.cfg_options), []
    inferencer = build_inferencer(cfg, args.checkpoint, args.device)
    meta = inferencer.model.dataset_meta
    for path in track(images, description='segmenting'):
        try:
            image = decode(read_complete(path)[0], path, mmcv.imfrombytes)
            drawn = overlay(image, predict(inferencer, [str(path)])[0], meta, args.opacity)
        except (BadFileError, cv2.error, RuntimeError) as error:
            where = '' if isinstance(error, BadFileError) else f'{path} cannot be segmented: '
            failed.append(one_line(f'failed: {where}{error}'))
            continue
        data = cv2.imencode(path.suffix.lower(), drawn)[1].tobytes()
        write_atomically(args.out_dir / path.relative_to(folder), data)
    print(f'overlays written to {args.out_dir}: {len(images) - len(failed)}')
    sys.stderr.writelines(f'{line}\n' for line in failed)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(run_tool(main))
