"""The toy streets data set: small procedural street scenes with a long tail of rare classes."""

from mmseg.registry import DATASETS

from .label_check import CheckedFiles


@DATASETS.register_module()
class ToyStreetsDataset(CheckedFiles):
    """Procedural street scenes, for trying out a method in minutes on a CPU.

    The ten classes range from road and building (a third of the pixels each) to sign (0.3 %) and
    bicycle (0.2 %). Classes share colours, objects hide one another, and light, blur and noise
    vary between images, so the classes must be learned. The files are generated on your machine,
    and the same seed gives the same files::

        python tools/dataset_converters/toy_streets.py data/toy_streets --train 300 --val 60

    The layout is that of Cityscapes. Labels hold class indices; 255 is ignored::

        data/toy_streets/
        ├── leftImg8bit/{train,val}/<city>/<city>_<index>_leftImg8bit.png
        └── gtFine/{train,val}/<city>/<city>_<index>_gtFine_labelTrainIds.png

    Args:
        img_suffix (str): Suffix of image files.
        seg_map_suffix (str): Suffix of label files.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    A config: ``configs/_base_/datasets/toy_streets.py``.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'road', 'sidewalk', 'vegetation', 'car', 'pole', 'sign',
            'pedestrian', 'bicycle',
        ),
        palette=[
            [70, 130, 180], [70, 70, 70], [128, 64, 128], [244, 35, 232], [107, 142, 35],
            [0, 0, 142], [153, 153, 153], [220, 220, 0], [220, 20, 60], [0, 220, 220],
        ],
    )  # fmt: skip

    def __init__(
        self,
        img_suffix: str = '_leftImg8bit.png',
        seg_map_suffix: str = '_gtFine_labelTrainIds.png',
        **kwargs,
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
