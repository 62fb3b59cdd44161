"""Reading annotation files: what is understood, and the one sentence for each thing that is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from vistr.data.segmentation import decode
from vistr.data.ytvis import check_images, read_ytvis
from vistr.errors import UserError

# The tiny videos of conftest.py.
HEIGHT, WIDTH, SIDE, TOP = 48, 64, 16, 12


def uncompressed(mask: np.ndarray) -> dict:
    """Run lengths over the columns, the first of them outside the mask."""
    flat = np.concatenate(([0], mask.flatten(order="F")))
    edges = np.flatnonzero(np.diff(flat))
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, mask.size]).tolist()}


def compressed(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def test_a_file_is_read_with_labels_in_the_order_of_category_ids(tiny):
    dataset = tiny(3, 2)
    video_set = dataset.read()
    assert video_set.labels == {3: 1, 7: 2}
    assert video_set.names == ["circle", "square"]
    assert [len(video) for video in video_set.videos] == [3, 2]
    assert video_set.videos[1].file_names[1] == "video1/00001.jpg"
    annotation = video_set.videos[0].annotations[0]
    assert annotation.boxes[2] == (dataset.left_of(2), TOP, SIDE, SIDE)
    assert not annotation.iscrowd
    assert video_set.has_truth
    check_images(video_set)


@pytest.mark.parametrize("code", [uncompressed, compressed, None], ids=["uncompressed", "compressed", "polygon"])
def test_every_kind_of_mask_gives_the_same_pixels(tiny, code):
    dataset = tiny(3)
    if code:
        dataset.annotation["segmentations"] = [code(dataset.mask(frame)) for frame in range(3)]
    rles = dataset.read().videos[0].annotations[0].segmentations
    for frame, rle in enumerate(rles):
        np.testing.assert_array_equal(decode(rle), dataset.mask(frame))


@pytest.mark.parametrize("null", [None, [], {}])
def test_a_null_mask_is_an_absent_frame_even_with_a_box(tiny, null):
    dataset = tiny(3)
    dataset.annotation["segmentations"][1] = null
    annotation = dataset.read().videos[0].annotations[0]
    assert [mask is None for mask in annotation.segmentations] == [False, True, False]
    assert [box is None for box in annotation.boxes] == [False, True, False]


def test_a_null_box_is_an_absent_frame(tiny):
    dataset = tiny(3)
    dataset.annotation["bboxes"][2] = None
    assert dataset.read().videos[0].annotations[0].segmentations[2] is None


def test_boxes_come_from_the_masks_where_the_file_has_none(tiny):
    dataset = tiny(3)
    dataset.annotation["bboxes"] = None
    del dataset.annotation["areas"]
    dataset.annotation["segmentations"][0] = None
    annotation = dataset.read().videos[0].annotations[0]
    assert annotation.boxes == (
        None,
        (dataset.left_of(1), TOP, SIDE, SIDE),
        (dataset.left_of(2), TOP, SIDE, SIDE),
    )


@pytest.mark.parametrize("value", [None, "left out"])
def test_a_validation_file_has_videos_without_truth(tiny, value):
    dataset = tiny(3)
    if value is None:
        dataset.content["annotations"] = None
    else:
        del dataset.content["annotations"]
    video_set = dataset.read()
    assert not video_set.has_truth
    assert video_set.videos[0].annotations == ()


def change(path: str, value: object):
    """A change of one entry, e.g. 'annotations.0.video_id'."""

    def apply(content: dict) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parents:
            content = content[part]
        content[last] = value

    return apply


WRONG_SIZE = {"size": [HEIGHT, WIDTH + 1], "counts": [HEIGHT * (WIDTH + 1)]}
CUT_SHORT = {"size": [HEIGHT, WIDTH], "counts": [5, 5]}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (change("videos", None), ["'videos'"]),
        (change("videos", []), ["'videos'"]),
        (change("categories", {}), ["'categories'"]),
        (change("annotations", {}), ["'annotations'"]),
        (change("videos.0.file_names", []), ["video 100", "no frames"]),
        (change("videos.0.file_names.1", 5), ["video 100", "frame 1", "5"]),
        (change("videos.0.height", "48"), ["video 100", "'height'", "'48'"]),
        (change("videos.0.width", 0), ["video 100", "'width'", "0"]),
        (change("videos.1", "clip"), ["a video", "'clip'"]),
        (change("videos.1.id", 100), ["video 100", "twice"]),
        (change("categories.1.id", 7), ["category 7", "twice"]),
        (change("annotations.1.id", 1), ["annotation 1", "twice"]),
        (change("annotations.0.video_id", 5), ["annotation 1", "video 5"]),
        (change("annotations.0.category_id", 9), ["annotation 1", "video 100", "category 9"]),
        (change("annotations.0.segmentations", None), ["annotation 1", "video 100", "'segmentations'"]),
        (
            change("annotations.0.segmentations", [None]),
            ["annotation 1", "'segmentations'", "3 frames", "1 entries"],
        ),
        (change("annotations.0.bboxes", [None]), ["annotation 1", "'bboxes'", "3 frames"]),
        (change("annotations.0.bboxes.1", [1, 2, 3]), ["annotation 1", "video 100", "frame 1", "[1, 2, 3]"]),
        (
            change("annotations.0.segmentations.2", WRONG_SIZE),
            ["annotation 1", "video 100", "frame 2", "size"],
        ),
        (
            change("annotations.0.segmentations.2", CUT_SHORT),
            ["annotation 1", "video 100", "frame 2", "10 pixels"],
        ),
        (change("annotations.0.segmentations.0", "mask"), ["annotation 1", "video 100", "frame 0", "'mask'"]),
        (
            change("annotations.0.segmentations.0", [[1, 2]]),
            ["annotation 1", "video 100", "frame 0", "[1, 2]"],
        ),
    ],
)
def test_a_malformed_entry_is_named_in_one_sentence(tiny, wrong, named):
    dataset = tiny(3, 2)
    wrong(dataset.content)
    with pytest.raises(UserError) as error:
        dataset.read()
    sentence = str(error.value)
    assert "\n" not in sentence
    for part in [str(dataset.annotation_file), *named]:
        assert part in sentence


def test_a_missing_file_or_folder_or_text_that_is_not_json_is_named(tiny, tmp_path):
    dataset = tiny(3)
    with pytest.raises(UserError, match=r"no annotation file .*train.json"):
        read_ytvis(dataset.annotation_file, dataset.image_folder)
    dataset.annotation_file.write_text('{"videos": [')
    with pytest.raises(UserError, match=r"train.json is not JSON"):
        read_ytvis(dataset.annotation_file, dataset.image_folder)
    dataset.annotation_file.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(UserError, match=r"train.json is not JSON"):
        read_ytvis(dataset.annotation_file, dataset.image_folder)
    dataset.annotation_file.write_text("[1, 2]")
    with pytest.raises(UserError, match=r"JSON list"):
        read_ytvis(dataset.annotation_file, dataset.image_folder)
    dataset.image_folder = tmp_path / "elsewhere"
    with pytest.raises(UserError, match=r"no image folder .*elsewhere"):
        dataset.read()


def test_missing_images_are_counted_and_the_first_is_named(tiny):
    dataset = tiny(3, 2)
    video_set = dataset.read()
    dataset.image("video0/00002.jpg").unlink()
    with pytest.raises(UserError, match=r"video0/00002.jpg \(video 100, frame 2\)$"):
        check_images(video_set)
    dataset.image("video1/00000.jpg").unlink()
    with pytest.raises(UserError, match=r"video 100, frame 2\) and 1 more$"):
        check_images(video_set)


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "video0/../../x.png", "..", "a\0.png", "\ud800.png", "", "."]
)
def test_file_names_that_leave_the_folder_are_refused(tiny, name):
    dataset = tiny(3)
    dataset.content["videos"][0]["file_names"][1] = name
    with pytest.raises(UserError, match=r"video 100, frame 1: .* is not a file name inside the folder of images"):
        dataset.read()


@pytest.mark.parametrize("area", ["x", float("nan"), float("inf"), -1, True, 10**400, [1]])
def test_areas_that_are_no_numbers_of_pixels_are_refused(tiny, area):
    dataset = tiny(3)
    dataset.annotation["areas"] = [None, area, 3]
    with pytest.raises(UserError, match="frame 1: an area is a number of pixels or null, not"):
        dataset.read()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.content["videos"][0].update(height=10**6),
        lambda d: d.content["videos"][0].update(id=10**30),
        lambda d: d.content["videos"][0]["file_names"].__setitem__(0, "x" * 5000),
        lambda d: d.annotation.update(iscrowd=7),
        lambda d: d.annotation.update(iscrowd=[]),
        lambda d: d.annotation.update(bboxes=[[1, "a" * 5000, 2, 3]] * 3),
        lambda d: d.annotation.update(bboxes=[[1, 10**400, 2, 3]] * 3),
        lambda d: d.annotation.update(segmentations="x" * 5000),
        lambda d: d.content.update(categories=[{"id": 10**300}]),
    ],
)
def test_odd_values_are_one_short_sentence(tiny, change):
    dataset = tiny(3)
    change(dataset)
    with pytest.raises(UserError) as error:
        check_images(dataset.read())
    assert len(str(error.value).replace(str(dataset.annotation_file.parent), "")) <= 300


def test_names_of_half_characters_can_be_printed(tiny):
    dataset = tiny(3)
    dataset.content["categories"][0]["name"] = "\ud800"
    assert "?" in dataset.read().names
