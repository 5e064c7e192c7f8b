"""Converts SYNTHIA-SEQS and lists the frames of two splits."""

from mmseg_imbalance.datasets.conversion import add_images, check_folders, converter_parser, report
from mmseg_imbalance.datasets.convert_synthia import convert_seqs
from mmseg_imbalance.datasets.synthia import SynthiaSeqDataset
from mmseg_imbalance.utils.command_line import add_seed, run_tool


def main() -> int:
    parser = converter_parser(
        description='Convert the 16-bit labels of SYNTHIA-SEQS to 8-bit class indices and list '
        'the frames\nof two splits. splits/block cuts each sequence in time, which is the honest '
        'split.\nsplits/random draws 70/10/20 % of the frames of each view, like the code of the\n'
        'paper on recall loss, and so puts near duplicates of test frames into training.',
        example='python tools/dataset_converters/synthia_seqs.py SYNTHIA-SEQS-05-SUMMER '
        'data/synthia_seqs --images link',
        source='a SYNTHIA-SEQS-xx-SEASON folder (with RGB/ and GT/LABELS/), or a folder of several',
    )
    add_images(parser)
    add_seed(parser, of='the random split')
    args = parser.parse_args()
    check_folders(args.source, args.destination)
    outcomes, lists = convert_seqs(
        args.source, args.destination, args.nproc, args.images == 'link', args.seed
    )
    return report(outcomes, SynthiaSeqDataset.METAINFO['classes'], lists)


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
