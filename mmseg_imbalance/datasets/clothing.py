"""Clothing Co-Parsing: photographs of street fashion."""

from mmseg.registry import DATASETS

from .label_check import CheckedFiles


@DATASETS.register_module()
class ClothingDataset(CheckedFiles):
    """Clothing Co-Parsing (CCP): 1004 street-fashion photographs, about 550×830 pixels.

    W. Yang, P. Luo, L. Lin, *Clothing Co-Parsing by Joint Image Segmentation and Labeling*, CVPR
    2014, arXiv 1502.00739; the data are those of the repository ``bearpaw/clothing-co-parsing``
    under Apache-2.0. Of the 59 labels, the 42 that at least 20 photographs hold are the classes,
    with ``background`` (``null`` in the source) as the first. Pixels of the others are ignored.

    The tail is long in both ways: background has 77 % of the pixels and 35 classes have less than
    1 % each; 20 to 22 photographs show a tie, glasses or a wallet, in one pixel of ten thousand.
    There is no official split. The converter draws one by a hash of the photograph's number: 804
    photographs to train on and 200 to validate. 100 of the former can be held out to tune on::

        git clone --depth 1 https://github.com/bearpaw/clothing-co-parsing
        python tools/dataset_converters/clothing.py clothing-co-parsing data/clothing

        data/clothing/
        ├── images/<number>.jpg
        ├── labels/<number>.png
        └── splits/{train,val,kept,held_out}.txt

    Args:
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    A config: ``configs/_base_/datasets/clothing.py``.
    """

    METAINFO = dict(
        classes=(
            'background', 'accessories', 'bag', 'belt', 'blazer', 'blouse', 'boots', 'bracelet',
            'cape', 'coat', 'dress', 'glasses', 'hair', 'hat', 'jacket', 'jeans', 'jumper',
            'leggings', 'loafers', 'necklace', 'pants', 'purse', 'romper', 'sandals', 'scarf',
            'shirt', 'shoes', 'shorts', 'skin', 'skirt', 'socks', 'stockings', 'suit',
            'sunglasses', 'sweater', 'sweatshirt', 't-shirt', 'tie', 'top', 'vest', 'wallet',
            'watch',
        ),
    )  # fmt: skip
