"""Both layouts of CamVid, and what is not CamVid."""

import cv2
import numpy as np
import pytest
from label_files import png

from mmseg_imbalance.datasets.convert_camvid import convert_camvid
from mmseg_imbalance.utils.errors import ToolError

RAW = np.arange(12, dtype=np.uint8).reshape(3, 4)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def picture(shape=(3, 4)):
    return np.full((*shape, 3), 7, np.uint8)


@pytest.mark.parametrize('layout', ['{split}/{f}.png {split}annot/{f}.png',
                                    'images/{split}/{f}.jpg labels/{split}/{f}.png'])  # fmt: skip
def test_both_layouts(tmp_path, layout):
    image, label = layout.split()
    for split, frame in (('train', 'a'), ('train', 'b'), ('val', 'a'), ('test', 'c')):
        write(tmp_path / 'raw' / image.format(split=split, f=frame), picture())
        write(tmp_path / 'raw' / label.format(split=split, f=frame), RAW)
    outcomes = convert_camvid(tmp_path / 'raw', tmp_path / 'out', nproc=1)
    assert [o.key for o in outcomes] == ['train/a', 'train/b', 'val/a', 'test/c']
    assert {o.status for o in outcomes} == {'written'}
    for outcome in outcomes:
        split, frame = outcome.key.split('/')
        source = tmp_path / 'raw' / image.format(split=split, f=frame)
        copy = tmp_path / 'out' / 'images' / f'{outcome.key}{source.suffix}'
        assert copy.read_bytes() == source.read_bytes()
        converted = cv2.imread(f'{tmp_path}/out/labels/{outcome.key}.png', cv2.IMREAD_UNCHANGED)
        assert converted.ravel().tolist() == [*range(11), 255]


def test_converted_data_can_be_converted_again(tmp_path):
    write(tmp_path / 'raw/train/a.png', picture())
    write(tmp_path / 'raw/trainannot/a.png', RAW)
    convert_camvid(tmp_path / 'raw', tmp_path / 'one', nproc=1)
    convert_camvid(tmp_path / 'one', tmp_path / 'two', nproc=1)
    one, two = (tmp_path / n / 'labels/train/a.png' for n in ('one', 'two'))
    assert one.read_bytes() == two.read_bytes()


def test_every_bad_frame_is_named(tmp_path):
    for frame in ('colour', 'deep', 'packed', 'palette', 'id', 'good', 'unpaired_image'):
        write(tmp_path / f'train/{frame}.png', picture())
    write(tmp_path / 'trainannot/colour.png', picture())
    write(tmp_path / 'trainannot/deep.png', RAW.astype(np.uint16))
    (tmp_path / 'trainannot/packed.png').write_bytes(png(np.full(RAW.shape, 3), depth=2))
    (tmp_path / 'trainannot/palette.png').write_bytes(png(RAW, colour=3))
    write(tmp_path / 'trainannot/id.png', RAW + 1)
    write(tmp_path / 'trainannot/good.png', RAW)
    write(tmp_path / 'trainannot/unpaired_label.png', RAW)
    outcomes = convert_camvid(tmp_path, tmp_path / 'out', nproc=1)
    reasons = {o.key.split('/')[1]: o.reason for o in outcomes if o.status == 'failed'}
    assert '3 channels' in reasons.pop('colour')
    assert 'more than 8 bits deep' in reasons.pop('deep')
    assert 'less than 8 bits deep' in reasons.pop('packed')
    assert 'one channel' in reasons.pop('palette')  # OpenCV would read its colours
    assert 'unknown class id 12' in reasons.pop('id')
    assert 'label' in reasons.pop('unpaired_image') and 'image' in reasons.pop('unpaired_label')
    assert reasons == {}
    assert [p.name for p in (tmp_path / 'out').rglob('*.png')] == ['good.png'] * 2


def test_nothing_found(tmp_path):
    with pytest.raises(ToolError, match='trainannot'):
        convert_camvid(tmp_path, tmp_path / 'out', nproc=1)


def test_two_images_of_one_frame(tmp_path):
    write(tmp_path / 'train/a.png', picture())
    write(tmp_path / 'train/a.jpg', picture())
    with pytest.raises(ToolError, match='both a.png and a.jpg'):
        convert_camvid(tmp_path, tmp_path / 'out', nproc=1)


@pytest.mark.parametrize('name', ['train/b.PNG', 'train/b.Jpg', 'trainannot/b.PNG'])
def test_suffixes_in_capitals_are_refused(tmp_path, name):
    for path in ('train/a.png', 'trainannot/a.png', name):
        write(tmp_path / path, picture())
    with pytest.raises(ToolError, match=f'{tmp_path / name}: the suffix has to be .*1 such'):
        convert_camvid(tmp_path, tmp_path / 'out', nproc=1)
