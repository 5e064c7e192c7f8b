"""Converts SYNTHIA-RAND-CITYSCAPES and splits it into training and validation images."""

from mmseg_imbalance.datasets.conversion import add_images, check_folders, converter_parser, report
from mmseg_imbalance.datasets.convert_synthia import convert_rand
from mmseg_imbalance.datasets.synthia import SynthiaRandDataset
from mmseg_imbalance.utils.command_line import add_seed, ratio, run_tool


def main() -> int:
    parser = converter_parser(
        description='Convert the 16-bit labels of SYNTHIA-RAND-CITYSCAPES to 8-bit Cityscapes '
        'train ids\nand draw lists of training and validation images.',
        example='python tools/dataset_converters/synthia_rand.py RAND_CITYSCAPES '
        'data/synthia_rand --images link',
        source='RAND_CITYSCAPES (with RGB/ and GT/LABELS/), or the folder that contains it',
    )
    add_images(parser)
    parser.add_argument(
        '--val-ratio',
        type=ratio,
        default=0.1,
        metavar='R',
        help='share of images for validation, between 0 and 1 (default: %(default)s)',
    )
    add_seed(parser, of='the split')
    args = parser.parse_args()
    check_folders(args.source, args.destination)
    outcomes, lists = convert_rand(
        args.source,
        args.destination,
        args.nproc,
        args.images == 'link',
        args.val_ratio,
        args.seed,
    )
    return report(outcomes, SynthiaRandDataset.METAINFO['classes'], lists)


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
