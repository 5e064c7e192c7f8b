"""Segments an image, or every image of a folder, and paints the classes over it."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from mmseg_imbalance.datasets.image_files import (
    IMAGE_SUFFIXES,
    encode_image,
    image_files,
    is_image,
    read_image,
)
from mmseg_imbalance.utils.command_line import number, one_line, run_tool, whole_number
from mmseg_imbalance.utils.errors import BadFileError, ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.inference import add_device, build_inferencer, check_reading, predict
from mmseg_imbalance.utils.overlay import overlay_image
from mmseg_imbalance.utils.run_config import add_config_arguments, load_config
from mmseg_imbalance.utils.shipped import config_path

EXAMPLE = """example:
  python demo/image_demo.py data/camvid/images/val \\
      configs/recall_loss/recall_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py \\
      work_dirs/recall_camvid/iter_2000.pth --out-dir work_dirs/recall_camvid/overlays

An overlay has the name and the format of its image, and of an image of a folder the path below
that folder. Exit code: 0 all done, 1 some images cannot be read or segmented (they are named, the
others are done), 2 wrong usage.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'images',
        type=Path,
        help=f'image, or folder with images in it and below ({", ".join(IMAGE_SUFFIXES)})',
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/overlays'),
        metavar='DIR',
        help='where the overlays go (default: %(default)s)',
    )
    parser.add_argument(
        '--skip-existing',
        action='store_true',
        help='go on after an interruption: leave out images whose overlay is there, whatever '
        'model it was made with',
    )
    add_device(parser)
    parser.add_argument(
        '--opacity',
        type=number(lambda value: 0 <= value <= 1, 'from 0 to 1'),
        default=0.5,
        help='share of the colours in the overlay, from 0 (none) to 1 (no image) '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--batch-size',
        type=whole_number(minimum=1),
        default=1,
        metavar='N',
        help='images of equal size that are segmented at once (default: %(default)s)',
    )
    return parser.parse_args()


def config_file(name: str) -> str:
    """The config at a path, or the shipped one of a name."""
    if Path(name).is_file():
        return name
    try:
        return config_path(name)
    except FileNotFoundError as error:
        raise ToolError(f'config file not found: {name}, and {error}') from error


def plan(images: Path, out_dir: Path) -> dict[Path, Path]:
    """Where the overlay of every image goes; never over one of the images."""
    if images.is_dir():
        found = image_files(images)
        if images.resolve() in out_dir.resolve().parents:  # overlays of earlier runs are no images
            found = [path for path in found if out_dir.resolve() not in path.resolve().parents]
        if not found:
            raise ToolError(f'no images ({", ".join(IMAGE_SUFFIXES)}) in folder {images}')
        jobs = {path: out_dir / path.relative_to(images) for path in found}
    elif not images.exists():
        raise ToolError(f'image or folder not found: {images}')
    elif not is_image(images):
        raise ToolError(f'{images} is none of {", ".join(IMAGE_SUFFIXES)}')
    else:
        jobs = {images: out_dir / images.name}
    sources = {path.resolve() for path in jobs}
    for overlay in jobs.values():
        if overlay.resolve() in sources:
            raise ToolError(f'{overlay} is an image to segment; choose another --out-dir')
    return jobs


def read_batches(
    paths: Iterable[Path], batch_size: int, failed: dict[Path, str]
) -> Iterator[dict[Path, np.ndarray]]:
    """Images by path in batches of one size; notes in ``failed`` what cannot be read, and why."""
    batch: dict[Path, np.ndarray] = {}
    for path in paths:
        try:
            image = read_image(path)
        except BadFileError as error:
            failed[path] = str(error)
            continue
        if batch and (len(batch) == batch_size or batch[next(iter(batch))].shape != image.shape):
            yield batch
            batch = {}
        batch[path] = image
    if batch:
        yield batch


def segment(jobs: dict[Path, Path], inferencer, args: argparse.Namespace) -> dict[Path, str]:
    """Writes the overlays behind a progress bar; returns what fails, and why."""
    failed: dict[Path, str] = {}
    written: set[Path] = set()
    meta = inferencer.model.dataset_meta
    paths = track(jobs, description='segmenting')
    for batch in read_batches(paths, args.batch_size, failed):
        try:
            labels = predict(inferencer, list(batch.values()))
            for (path, image), label in zip(batch.items(), labels, strict=True):
                overlay = overlay_image(
                    image[..., ::-1], label, meta['classes'], meta['palette'], args.opacity
                )
                write_atomically(jobs[path], encode_image(overlay[..., ::-1], path.suffix))
                written.add(path)
        except (cv2.error, RuntimeError) as error:  # such as a side that is resized to nothing
            height, width = next(iter(batch.values())).shape[:2]
            reason = f'cannot be segmented in its size, {width}x{height}: {one_line(str(error))}'
            failed |= {path: f'{path}: {reason}' for path in batch if path not in written}
    return failed


def main() -> int:
    args = parse_args()
    jobs = plan(args.images, args.out_dir)
    if args.skip_existing:
        jobs = {path: overlay for path, overlay in jobs.items() if not overlay.exists()}
    cfg = load_config(config_file(args.config), args.cfg_options)
    inferencer = build_inferencer(cfg, args.checkpoint, args.device)
    check_reading(inferencer)
    try:
        failed = segment(jobs, inferencer, args)
    except KeyboardInterrupt:
        raise ToolError('interrupted; the same with --skip-existing goes on', 130) from None
    print(f'overlays written to {args.out_dir}: {len(jobs) - len(failed)}')
    for reason in failed.values():
        print(f'failed: {reason}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
