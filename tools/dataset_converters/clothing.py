"""Converts Clothing Co-Parsing from a clone of its repository."""

from mmseg_imbalance.datasets.clothing import ClothingDataset
from mmseg_imbalance.datasets.conversion import check_folders, converter_parser, report
from mmseg_imbalance.datasets.convert_clothing import convert_clothing
from mmseg_imbalance.utils.command_line import run_tool


def main() -> int:
    args = converter_parser(
        description='Convert Clothing Co-Parsing to images/, labels/ and splits/. Labels that '
        'fewer than 20\nphotographs hold become 255. Photographs are copied unchanged.',
        example='python tools/dataset_converters/clothing.py clothing-co-parsing data/clothing',
        source='clone of bearpaw/clothing-co-parsing, with photos/ and annotations/pixel-level/',
    ).parse_args()
    check_folders(args.source, args.destination)
    outcomes, lists = convert_clothing(args.source, args.destination, args.nproc)
    return report(outcomes, ClothingDataset.METAINFO['classes'], lists)


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
