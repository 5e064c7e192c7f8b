"""What training does with label maps that it would read as other ids: end, and name them."""

import cv2
import numpy as np
import pytest
from label_files import BAD, ODD, build, config, spoil, store, write_labels
from PIL import Image, ImageFile
from torch._utils import ExceptionWrapper

from mmseg_imbalance.command_line import first_line
from mmseg_imbalance.datasets import BadFileError, CamVidDataset, SynthiaRandDataset
from mmseg_imbalance.datasets.label_check import CheckedFiles
from mmseg_imbalance.datasets.toy_streets import ToyStreetsDataset

KEY = 'labels/train/frame 2.png'
STEPS = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


def dataset(root, **settings):
    settings.setdefault('pipeline', STEPS)
    return build(config(root, **settings))


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


def test_pipelines_that_load_no_label_maps_do_not_look_at_them(tmp_path):
    write_labels(tmp_path)
    spoil(tmp_path / KEY, 'folder')
    assert dataset(tmp_path, pipeline=STEPS[:1])[2]['img'].shape == (8, 9, 3)
    other = dict(type='LoadAnnotations', imdecode_backend='tifffile')
    with pytest.raises(BadFileError, match='Is a directory'):
        dataset(tmp_path, pipeline=[other])[2]


def test_all_data_sets_of_the_package_are_checked():
    for kind in (CamVidDataset, SynthiaRandDataset, ToyStreetsDataset):
        assert issubclass(kind, CheckedFiles)


def test_truncated_images_stay_errors():
    """Pillow has a global switch that fills what is missing with zeros."""
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
