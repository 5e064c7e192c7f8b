"""What training does with label maps that it would read as other ids: end, and name them."""

import re
import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_files import BAD, ODD, build, config, png, spoil, store, write_labels
from mmengine.config import Config
from mmseg.datasets import CityscapesDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image, ImageFile
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from mmseg_imbalance.datasets import count_classes, find_label_maps
from mmseg_imbalance.datasets.label_check import CheckedFiles, check_label_map
from mmseg_imbalance.datasets.wrappers import inside
from mmseg_imbalance.utils import logs
from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.errors import BadFileError
from mmseg_imbalance.utils.shipped import config_path

KEY = 'labels/train/frame 2.png'
STEPS = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


def dataset(root, **settings):
    settings.setdefault('pipeline', STEPS)
    return build(config(root, **settings))


@pytest.mark.elsewhere
@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('how', BAD)
def test_a_bad_label_map_ends_the_training_and_is_named(tmp_path, how, test_mode):
    write_labels(tmp_path)
    spoil(tmp_path / KEY, how)
    samples = dataset(tmp_path, test_mode=test_mode)
    assert samples[0]['gt_seg_map'].shape == (6, 9)
    image = tmp_path / KEY.replace('labels', 'images')
    with pytest.raises(BadFileError, match=f'^{tmp_path / KEY} of {image}: {BAD[how]}'):
        samples[2]


def test_label_maps_are_checked_in_test_time_augmentation_too(tmp_path):
    write_labels(tmp_path)
    spoil(tmp_path / KEY, '16 bits')
    flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    augmented = dict(type='TestTimeAug', transforms=[flips, STEPS[1:]])
    samples = dataset(tmp_path, test_mode=True, pipeline=[STEPS[0], augmented])
    assert len(samples[0]['gt_seg_map']) == 2
    with pytest.raises(BadFileError, match=BAD['16 bits']):
        samples[2]


@pytest.mark.elsewhere
def test_the_error_of_a_worker_names_the_file(tmp_path):
    """PyTorch makes a new error of that of a worker, with the traceback there as its text."""
    write_labels(tmp_path)
    spoil(tmp_path / KEY, '16 bits')
    try:
        dataset(tmp_path)[2]
    except BadFileError:
        wrapped = ExceptionWrapper(where='in DataLoader worker process 1')
    with pytest.raises(BadFileError, match='Original Traceback') as error:
        wrapped.reraise()
    assert first_line(error.value).startswith(f'{tmp_path / KEY} of ')


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    write_labels(tmp_path)
    for content in (b'', b'no image'):
        image = tmp_path / KEY.replace('labels', 'images')
        image.write_bytes(content)
        with pytest.raises(BadFileError, match=f'^{tmp_path / KEY} of {image}: '):
            dataset(tmp_path)[2]


@pytest.mark.parametrize('how', ODD)
def test_an_odd_label_map_is_read_as_stored(tmp_path, how):
    expected = store(tmp_path / KEY, write_labels(tmp_path, values=(0, 1, 3))[KEY], how)
    np.testing.assert_array_equal(dataset(tmp_path)[2]['gt_seg_map'], expected)


def pillow(kind, mode='L', **options):
    """Files of a format as Pillow writes them; the ids are the indices of a palette, if any."""

    def write(label):
        image = Image.fromarray(label)
        if mode == 'P':
            image.putpalette(range(255, -1, -1))
        file = BytesIO()
        (image.point(lambda v: 255 * v, '1') if mode == '1' else image).save(file, kind, **options)
        return file.getvalue()

    return write


def tiff(label, depth=8, white_is_zero=False, order=1):
    """A grey TIFF file by hand."""
    bits = np.unpackbits(label[..., None], axis=2)[..., 8 - depth :]
    rows = np.packbits(bits.reshape(len(label), -1), axis=1).tobytes()
    height, width = label.shape
    numbers = {
        256: width, 257: height, 258: depth, 259: 1, 262: 0 if white_is_zero else 1, 266: order,
        273: 8 + 2 + 12 * 10 + 4, 277: 1, 278: height, 279: len(rows),
    }  # fmt: skip
    tags = b''.join(struct.pack('<HHII', key, 4, 1, value) for key, value in numbers.items())
    return struct.pack('<2sHIH', b'II', 42, 8, len(numbers)) + tags + bytes(4) + rows


def bmp(label, depth):
    """A BMP file by hand with the grey values from 0 on as its palette."""
    bits = np.unpackbits(label[::-1, :, None], axis=2)[..., 8 - depth :]
    packed = np.packbits(bits.reshape(len(label), -1), axis=1)
    rows = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4))).tobytes()
    palette = b''.join(bytes([i, i, i, 0]) for i in range(1 << depth))
    start = 54 + len(palette)
    header = struct.pack('<2sIII', b'BM', start + len(rows), 0, start)
    size = label.shape[::-1]
    about = struct.pack('<IiiHHIIiiII', 40, *size, 1, depth, 0, len(rows), 0, 0, 1 << depth, 0)
    return header + about + palette + rows


WRITERS = {
    **{f'png {d}': lambda label, d=d: png(label, d) for d in (1, 2, 4, 8)},
    **{f'png palette {d}': lambda label, d=d: png(label, d, colour=3) for d in (1, 2, 4, 8)},
    'png by Pillow': pillow('PNG'),
    'png transparent': pillow('PNG', transparency=1),
    'png palette by Pillow': pillow('PNG', 'P'),
    'png palette transparent': pillow('PNG', 'P', transparency=1),
    **{f'tiff {d}': lambda label, d=d: tiff(label, d) for d in (1, 2, 4, 8)},
    **{f'tiff white 0 {d}': lambda label, d=d: tiff(label, d, True) for d in (1, 4, 8)},
    'tiff reversed bits': lambda label: tiff(label, order=2),
    **{
        f'tiff {name}': pillow('TIFF', compression=name)
        for name in ('raw', 'packbits', 'tiff_lzw', 'tiff_deflate', 'tiff_adobe_deflate', 'jpeg')
    },
    'tiff group4': pillow('TIFF', '1', compression='group4'),
    'tiff palette': pillow('TIFF', 'P'),
    'tiff turned': pillow('TIFF', tiffinfo={274: 6}),
    'tiff mirrored': pillow('TIFF', tiffinfo={274: 2}),
    **{f'bmp {d}': lambda label, d=d: bmp(label, d) for d in (1, 4, 8)},
    'bmp palette': pillow('BMP', 'P'),
    'jpeg': pillow('JPEG', quality=95),
    'jpeg 2000': pillow('JPEG2000', irreversible=True, quality_layers=[60]),
    'webp': pillow('WEBP', quality=50),
    'gif': pillow('GIF', 'P'),
    'pgm': pillow('PPM'),
    'tga': pillow('TGA'),
}  # fmt: skip
GREY = {
    'png 8', 'png by Pillow', 'png transparent', 'tiff 8', 'tiff raw', 'tiff packbits',
    'tiff tiff_lzw', 'tiff tiff_deflate', 'tiff tiff_adobe_deflate', 'bmp 8',
}  # fmt: skip
ACCEPTED = {
    'cv2': GREY,
    'pillow': GREY | {
        'png 1', *(f'png palette {d}' for d in (1, 2, 4, 8)), 'png palette by Pillow',
        'png palette transparent', 'tiff 1', 'tiff palette', 'bmp palette',
    },
}  # fmt: skip


@pytest.mark.parametrize('backend', ACCEPTED)
@pytest.mark.parametrize('how', WRITERS)
def test_a_file_is_read_as_stored_or_refused(tmp_path, how, backend):
    """In whatever way ids are stored; the common ways are accepted."""
    write_labels(tmp_path)
    depth = 1 if how == 'tiff group4' else next((int(d) for d in '124' if how.endswith(f' {d}')), 8)
    highest = min((1 << depth) - 1, 10)  # 11 is read as ignored
    label = np.random.default_rng(0).integers(0, highest + 1, size=(8, 9)).astype(np.uint8)
    (tmp_path / KEY).write_bytes(WRITERS[how](label))
    samples = dataset(tmp_path, pipeline=[dict(type='LoadAnnotations', imdecode_backend=backend)])
    if how not in ACCEPTED[backend]:
        with pytest.raises(BadFileError, match=f'^{tmp_path / KEY} of .*(store|convert) it|not'):
            samples[2]
        return
    np.testing.assert_array_equal(samples[2]['gt_seg_map'], label)


@pytest.mark.parametrize('kind', ['TIFF', 'BMP'])
@pytest.mark.parametrize('backend', ACCEPTED)
def test_files_without_checksums_are_not_cut_short(tmp_path, kind, backend):
    write_labels(tmp_path)
    data = pillow(kind)(np.ones((8, 9), np.uint8))
    (tmp_path / KEY).write_bytes(data[:-20] if kind == 'BMP' else data.replace(b'\1' * 72, b'\1'))
    loader = dict(type='LoadAnnotations', imdecode_backend=backend)
    with pytest.raises(BadFileError, match='not a complete image file'):
        dataset(tmp_path, pipeline=[loader])[2]


@TRANSFORMS.register_module(force=True)
class BrokenTransform:
    def __init__(self, error):
        self.error = error

    def __call__(self, results):
        raise self.error


@pytest.mark.parametrize(
    'error, text',
    [
        (KeyError('scale'), "KeyError: 'scale'"),
        (ZeroDivisionError('division by zero'), 'ZeroDivisionError: division by zero'),
        (AssertionError(), 'AssertionError'),
        (OSError(28, 'No space left'), '[Errno 28] No space left'),
        (BadFileError('no good'), 'no good'),
    ],
)
def test_the_bug_of_a_transform_looks_like_one(tmp_path, error, text):
    write_labels(tmp_path)
    samples = dataset(tmp_path)
    samples.pipeline.transforms.append(BrokenTransform(error))
    with pytest.raises(BadFileError) as found:
        samples[2]
    image = tmp_path / KEY.replace('labels', 'images')
    assert str(found.value) == f'{tmp_path / KEY} of {image}: {text}'
    assert found.value.__cause__ is error


class LikeAlbu:
    """Has settings of another library in a list, and is equal to transforms alike."""

    transforms = [dict(type='Blur', p=0.5)]

    def __eq__(self, other):
        return isinstance(other, LikeAlbu)

    def __call__(self, results):
        return results


def test_transforms_with_lists_of_settings(tmp_path):
    write_labels(tmp_path)
    samples = dataset(tmp_path)
    samples.pipeline.transforms.append(LikeAlbu())
    assert samples[0]['gt_seg_map'].shape == (6, 9)
    assert not any(isinstance(step, dict) for step in inside(samples.pipeline))


def test_an_image_turned_by_its_camera_has_the_size_that_is_read(tmp_path):
    """OpenCV turns it; a label of the size that the file's header tells does not fit."""
    write_labels(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, name in (('JPEG', 'frame 2.jpg'), ('PNG', 'frame 2.png')):
        for old in (tmp_path / 'images/train').glob('frame 2.*'):
            old.unlink()
        image = tmp_path / 'images/train' / name
        Image.new('RGB', (9, 8)).save(image, kind, exif=exif)
        assert cv2.imread(str(image)).shape == (9, 8, 3)
        with pytest.raises(BadFileError, match='9x8 pixels, but its image .* has 8x9'):
            dataset(tmp_path)[2]
        cv2.imwrite(str(tmp_path / KEY), np.zeros((9, 8), np.uint8))
        assert dataset(tmp_path)[2]['gt_seg_map'].shape == (9, 8)
        cv2.imwrite(str(tmp_path / KEY), np.zeros((8, 9), np.uint8))


def test_a_tiff_image_that_is_turned_has_the_size_that_is_read(tmp_path):
    """Pillow turns the size of a TIFF file itself, but not in all releases."""
    image, label = tmp_path / 'image.tif', tmp_path / 'label.png'
    Image.new('RGB', (9, 8)).save(image, 'TIFF', tiffinfo={274: 6})
    read = cv2.imdecode(np.fromfile(image, np.uint8), cv2.IMREAD_COLOR)  # as MMCV does
    assert read.shape == (9, 8, 3)
    info = dict(seg_map_path=str(label), img_path=str(image))
    cv2.imwrite(str(label), np.zeros((9, 8), np.uint8))
    check_label_map(info, LoadAnnotations())
    cv2.imwrite(str(label), np.zeros((8, 9), np.uint8))
    with pytest.raises(BadFileError, match='9x8 pixels, but its image .* has 8x9'):
        check_label_map(info, LoadAnnotations())


def test_pipelines_that_load_no_label_maps_do_not_look_at_them(tmp_path):
    write_labels(tmp_path)
    spoil(tmp_path / KEY, 'folder')
    assert dataset(tmp_path, pipeline=STEPS[:1])[2]['img'].shape == (8, 9, 3)
    other = dict(type='LoadAnnotations', imdecode_backend='tifffile')
    with pytest.raises(BadFileError, match='Is a directory'):
        dataset(tmp_path, pipeline=[other])[2]


@pytest.mark.elsewhere
def test_all_data_sets_of_the_package_are_checked():
    own = {
        name: kind
        for name, kind in DATASETS.module_dict.items()
        if kind.__module__.startswith('mmseg_imbalance.')
    }
    assert {'CamVidDataset', 'SynthiaSeqDataset', 'CheckedCityscapesDataset'} <= own.keys()
    for kind in own.values():
        assert issubclass(kind, CheckedFiles)


def test_all_shipped_configs_have_checked_data_sets():
    folder = Path(config_path('_base_/datasets/cityscapes.py')).parent
    files = sorted(folder.glob('*.py'))
    assert len(files) >= 7
    for file in files:
        cfg = Config.fromfile(file)
        for stage in ('train', 'val', 'test'):
            kind = DATASETS.get(cfg[f'{stage}_dataloader'].dataset.type)
            assert issubclass(kind, CheckedFiles), (file.name, stage)


def test_checked_cityscapes_differs_in_the_check_alone(tmp_path):
    write_labels(tmp_path)
    for file in [*tmp_path.rglob('*.png')]:
        ends = '_leftImg8bit' if 'images' in file.parts else '_gtFine_labelTrainIds'
        file.rename(file.with_name(f'{file.stem}{ends}.png'))
    cfg = config(tmp_path, pipeline=STEPS)
    plain, checked = (
        build(cfg | dict(type=name)) for name in ('CityscapesDataset', 'CheckedCityscapesDataset')
    )
    assert isinstance(checked, CityscapesDataset) and len(checked) == 4
    assert checked.metainfo == plain.metainfo
    for i, (one, other) in enumerate(zip(checked, plain, strict=True)):
        assert checked.get_data_info(i) == plain.get_data_info(i)
        np.testing.assert_array_equal(one['gt_seg_map'], other['gt_seg_map'])
    spoil(tmp_path / 'labels/train/frame 2_gtFine_labelTrainIds.png', '16 bits')
    plain[2]  # without a word
    with pytest.raises(BadFileError, match='more than 8 bits deep'):
        checked[2]


def test_truncated_images_stay_errors():
    """Pillow has a global switch that fills what is missing with zeros."""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@TRANSFORMS.register_module(force=True)
class LoadAnnotationsOfMine(TRANSFORMS.get('mmseg.LoadAnnotations')):
    """A subclass that reads with MMSegmentation's code."""


@TRANSFORMS.register_module(force=True)
class LoadAnnotationsMyWay(LoadAnnotationsOfMine):
    """A subclass that reads in a way of its own."""

    def _load_seg_map(self, results):
        super()._load_seg_map(results)


@pytest.mark.parametrize('how', ['16 bits', 'jpeg', 'cut short'])
def test_a_subclass_that_reads_alike_is_checked_alike(tmp_path, how):
    write_labels(tmp_path)
    spoil(tmp_path / KEY, how)
    samples = dataset(tmp_path, pipeline=[STEPS[0], dict(type='LoadAnnotationsOfMine')])
    with pytest.raises(BadFileError, match=BAD[how]):
        samples[2]


def test_a_subclass_that_reads_in_its_own_way_is_named_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logs, 'warn', said.append)
    write_labels(tmp_path)
    samples = dataset(tmp_path, pipeline=[STEPS[0], dict(type='LoadAnnotationsMyWay')])
    assert samples[0]['gt_seg_map'].shape == samples[0]['ori_shape']
    samples[1]
    assert len(said) == 1 and said[0].startswith('LoadAnnotationsMyWay reads label maps in a way')


def test_of_several_workers_one_names_it(tmp_path, monkeypatch):
    said = tmp_path / 'said'
    monkeypatch.setattr(logs, 'warn', lambda text: said.open('a').write(f'{text}\n'))
    write_labels(tmp_path)
    loader = type('LoadAnnotationsByWorkers', (LoadAnnotationsMyWay,), {})()
    samples = dataset(tmp_path, pipeline=[loader])
    for _ in DataLoader(samples, num_workers=2, collate_fn=list, multiprocessing_context='fork'):
        pass
    assert len(said.read_text().splitlines()) == 1


@pytest.mark.parametrize('kind', ['CheckedCityscapesDataset', 'CityscapesDataset'])
def test_images_left_out_for_the_case_of_their_suffix_are_named_once(tmp_path, monkeypatch, kind):
    said = []
    monkeypatch.setattr(logs, 'warn', said.append)
    write_labels(tmp_path)
    folder = tmp_path / 'images/train'
    for i in (1, 3):
        (folder / f'frame {i}.png').rename(folder / f'frame {i}.Png')
    settings = dict(type=kind, img_suffix='.png', seg_map_suffix='.png')
    (tmp_path / 'list.txt').write_text('frame 0\n')
    find_label_maps(build(config(tmp_path, ann_file='list.txt') | settings))
    assert not said  # a list leaves out what it likes
    for _ in range(2):
        samples = build(config(tmp_path) | settings)
        assert len(find_label_maps(samples).maps) == len(samples) == 2
    (message,) = said
    assert message.startswith(f'{kind} does not list the images in {folder} whose suffix has other')
    assert re.search(r'than .png: 2, such as frame [13].Png; rename them', message)


TIFFS = {
    'whole floats': (np.arange(54) % 5).reshape(6, 9).astype(np.float32),
    '16-bit 257': np.where(np.eye(6, 9), 257, 0).astype(np.uint16),
    'NaN': np.where(np.eye(6, 9), np.nan, 1).astype(np.float32),
    '0.999': np.full((6, 9), 0.999, np.float32),
    'negative': np.full((6, 9), -1, np.int16),
    'colours': np.zeros((6, 9, 3), np.uint8),
}


@pytest.mark.parametrize('kind', TIFFS)
def test_what_tifffile_reads_has_to_be_ids(tmp_path, kind):
    tifffile = pytest.importorskip('tifffile')
    write_labels(tmp_path, count=1)
    path = tmp_path / 'labels/train/frame 0.tif'
    tifffile.imwrite(path, TIFFS[kind])
    loader = dict(type='LoadAnnotations', imdecode_backend='tifffile')
    samples = dataset(tmp_path, pipeline=[STEPS[0], loader], seg_map_suffix='.tif')
    if kind == 'whole floats':
        np.testing.assert_array_equal(samples[0]['gt_seg_map'], TIFFS[kind])
        return
    with pytest.raises(BadFileError, match=f'{path}.*: tifffile reads'):
        samples[0]
    with pytest.raises(ValueError, match='frame 0.tif: tifffile reads'):
        count_classes(samples, 1)
