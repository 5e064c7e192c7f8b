"""SYNTHIA's synthetic street scenes: the still images and the video sequences."""

from mmseg.datasets.cityscapes import CityscapesDataset
from mmseg.registry import DATASETS

from .label_check import CheckedFiles

_WITHOUT = {
    19: (),
    16: ('terrain', 'truck', 'train'),
    13: ('terrain', 'truck', 'train', 'wall', 'fence', 'pole'),
}


@DATASETS.register_module()
class SynthiaRandDataset(CheckedFiles):
    """The SYNTHIA-RAND-CITYSCAPES data set: 9400 rendered street images of 1280×760 pixels.

    Ros et al., "The SYNTHIA dataset" (CVPR 2016). Get ``SYNTHIA-RAND-CITYSCAPES`` from
    https://synthia-dataset.net/downloads and convert its 16-bit labels, which mmseg cannot read,
    to 8-bit Cityscapes train ids (255 is ignored)::

        python tools/dataset_converters/synthia_rand.py RAND_CITYSCAPES data/synthia_rand

        data/synthia_rand/
        ├── images/0000000.png …
        ├── labels/0000000.png …
        └── splits/{train,val}.txt

    The scored classes are the 16 of Cityscapes' 19 that are usual in the domain adaptation
    literature, 13 of these (without wall, fence and pole), or all 19. They keep their order and
    are numbered 0 to ``num_classes`` - 1. Pixels of the other classes are ignored.

    Args:
        num_classes (int): 16, 13 or 19.
        metainfo (dict, optional): As in ``BaseSegDataset``. Its ``classes`` override
            ``num_classes``.
        img_suffix (str): Suffix of image files.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    Raises:
        ValueError: If ``num_classes`` is neither 13, 16 nor 19.

    A config: ``configs/_base_/datasets/synthia_rand.py``.
    """

    METAINFO = dict(
        classes=CityscapesDataset.METAINFO['classes'],
        palette=CityscapesDataset.METAINFO['palette'],
    )

    def __init__(
        self,
        num_classes: int = 16,
        metainfo: dict | None = None,
        img_suffix: str = '.png',
        **kwargs,
    ) -> None:
        if num_classes not in _WITHOUT:
            raise ValueError(f'num_classes must be 13, 16 or 19, but is {num_classes!r}')
        classes = tuple(c for c in self.METAINFO['classes'] if c not in _WITHOUT[num_classes])
        metainfo = {'classes': classes, **(metainfo or {})}
        super().__init__(metainfo=metainfo, img_suffix=img_suffix, **kwargs)


@DATASETS.register_module()
class SynthiaSeqDataset(CheckedFiles):
    """The SYNTHIA-SEQS data set: rendered drives, each in eight views, 1280×760 pixels, 13 classes.

    Ros et al., "The SYNTHIA dataset" (CVPR 2016). Get one or more ``SYNTHIA-SEQS-xx-SEASON`` from
    https://synthia-dataset.net/downloads and convert their 16-bit labels, which mmseg cannot
    read, to 8-bit class indices (13 is void)::

        python tools/dataset_converters/synthia_seqs.py SYNTHIA-SEQS-05-SUMMER data/synthia_seqs

        data/synthia_seqs/
        ├── images/<sequence>/<stereo>/<omni>/000000.png …
        ├── labels/<sequence>/<stereo>/<omni>/000000.png …
        └── splits/{block,random}/{train,val,test}.txt

    Use ``splits/block``, which cuts all views of a sequence at the same points in time.
    ``splits/random`` draws frames of each view at random, like the recall loss paper (ICRA 2022),
    so test frames have near-duplicates among the training frames. Use it only to compare with
    that paper, which also scores void as a class.

    Args:
        score_void (bool): Whether void is the 14th class; otherwise it is ignored.
        metainfo (dict, optional): As in ``BaseSegDataset``. Its ``classes`` override
            ``score_void``.
        img_suffix (str): Suffix of image files.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    A config: ``configs/_base_/datasets/synthia_seqs.py``.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'road', 'sidewalk', 'fence', 'vegetation', 'pole', 'car',
            'traffic sign', 'pedestrian', 'bicycle', 'lane marking', 'traffic light', 'void',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [128, 64, 128], [0, 0, 192], [64, 64, 128],
            [128, 128, 0], [192, 192, 128], [64, 0, 128], [192, 128, 128], [64, 64, 0],
            [0, 128, 192], [0, 172, 0], [0, 128, 128], [0, 0, 0],
        ],
    )  # fmt: skip

    def __init__(
        self,
        score_void: bool = False,
        metainfo: dict | None = None,
        img_suffix: str = '.png',
        **kwargs,
    ) -> None:
        classes = self.METAINFO['classes'] if score_void else self.METAINFO['classes'][:-1]
        metainfo = {'classes': classes, **(metainfo or {})}
        super().__init__(metainfo=metainfo, img_suffix=img_suffix, **kwargs)
