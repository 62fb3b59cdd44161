"""One clip from the disk: frames, targets, and the sentence for an image that cannot be used."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from PIL import Image

from vistr.data.samples import check_sizes, collate, load_frames, load_targets
from vistr.data.transforms import Flip, Resize, ResizedCrop
from vistr.errors import UserError

# The tiny videos of conftest.py.
HEIGHT, WIDTH, SIDE, TOP = 48, 64, 16, 12

NOTHING = Resize((HEIGHT, WIDTH), (HEIGHT, WIDTH))


def crop(top: int, left: int, height: int, width: int) -> ResizedCrop:
    return ResizedCrop(NOTHING, top, left, height, width)


def brightness(frames: np.ndarray) -> np.ndarray:
    """The first channel."""
    return frames[..., 0]


def test_frames_come_in_the_clips_order_repeated_ones_included(tiny):
    dataset = tiny(4)
    video_set = dataset.read()
    order = [3, 0, 1, 0]
    frames, size = load_frames(video_set, video_set.videos[0], order, [], 1)
    assert frames.shape == (4, HEIGHT, WIDTH, 3)
    assert frames.dtype == np.uint8
    assert size == (HEIGHT, WIDTH)
    for position, frame in enumerate(order):
        np.testing.assert_array_equal(brightness(frames)[position] > 120, dataset.mask(frame) > 0)


def test_targets_hold_the_object_in_every_frame(tiny):
    dataset = tiny(4)
    video_set = dataset.read()
    targets = load_targets(video_set, video_set.videos[0], [3, 0, 0], [], 1)
    assert targets.labels.tolist() == [2]
    assert targets.valid.tolist() == [[True, True, True]]
    assert (targets.masks.dtype, targets.boxes.dtype) == (np.uint8, np.float32)
    for position, frame in enumerate([3, 0, 0]):
        np.testing.assert_array_equal(targets.masks[0, position], dataset.mask(frame))
        box = np.array([dataset.left_of(frame) + SIDE / 2, TOP + SIDE / 2, SIDE, SIDE])
        np.testing.assert_allclose(targets.boxes[0, position], box / [WIDTH, HEIGHT, WIDTH, HEIGHT], rtol=1e-6)
    assert (targets.video_id, targets.frames) == (100, [3, 0, 0])
    assert targets.size == targets.original_size == (HEIGHT, WIDTH)


def test_frames_boxes_and_masks_are_padded_at_the_bottom_and_right(tiny):
    dataset = tiny(2)
    video_set = dataset.read()
    steps = [Flip(WIDTH), Resize((HEIGHT, WIDTH), (36, 48))]
    frames, size = load_frames(video_set, video_set.videos[0], [0, 1], steps, 32)
    targets = load_targets(video_set, video_set.videos[0], [0, 1], steps, 32)
    assert size == targets.size == (36, 48)
    assert frames.shape[1:3] == targets.masks.shape[2:] == (64, 64)
    assert not frames[:, 36:].any()
    assert not frames[:, :, 48:].any()
    assert frames[:, :36, :48].all()
    # Boxes are relative to the unpadded clip: the square's left side is its mirrored right one.
    left = (targets.boxes[0, 0, 0] - targets.boxes[0, 0, 2] / 2) * 48
    assert left == pytest.approx((WIDTH - dataset.left_of(0) - SIDE) * 0.75, abs=1e-4)
    assert np.flatnonzero(targets.masks[0, 0].any(axis=0))[0] == pytest.approx(left, abs=1)


def test_an_object_that_a_crop_removes_is_absent_there(tiny):
    video_set = tiny(4).read()
    # The square's left side is at 4, 8, 12, 16: of the crop's 14 columns it takes 10, 6, 2 and none.
    targets = load_targets(video_set, video_set.videos[0], [0, 1, 2, 3], [crop(0, 0, HEIGHT, 14)], 1)
    assert targets.valid.tolist() == [[True, True, True, False]]
    assert not targets.masks[0, 3].any()
    assert targets.boxes[0, 3].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(targets.boxes[0, 2, [0, 2]], [13 / 14, 2 / 14], rtol=1e-6)


def test_an_object_seen_in_no_frame_is_left_out(tiny):
    video_set = tiny(4).read()
    targets = load_targets(video_set, video_set.videos[0], [2, 3], [crop(30, 0, 10, 10)], 32)
    assert targets.labels.shape == (0,)
    assert targets.boxes.shape == (0, 2, 4)
    assert targets.valid.shape == (0, 2)
    assert targets.masks.shape == (0, 2, 32, 32)


def test_absent_frames_and_frames_outside_the_clip_do_not_count(tiny):
    dataset = tiny(4)
    dataset.annotation["segmentations"][:3] = [None, None, None]
    video_set = dataset.read()
    assert load_targets(video_set, video_set.videos[0], [0, 1], [], 1).labels.shape == (0,)
    targets = load_targets(video_set, video_set.videos[0], [2, 3], [], 1)
    assert targets.valid.tolist() == [[False, True]]
    assert not targets.masks[0, 0].any()
    assert targets.boxes[0, 0].tolist() == [0, 0, 0, 0]


def test_crowds_are_left_out(tiny):
    dataset = tiny(2)
    crowd = {**copy.deepcopy(dataset.annotation), "id": 50, "iscrowd": 1, "category_id": 3}
    dataset.content["annotations"].append(crowd)
    video_set = dataset.read()
    assert len(video_set.videos[0].annotations) == 2
    assert load_targets(video_set, video_set.videos[0], [0], [], 1).labels.tolist() == [2]


def test_a_box_with_nothing_left_is_taken_from_a_mask_that_has(tiny):
    dataset = tiny(2)
    dataset.annotation["bboxes"][0] = [0, 0, 0, 0]
    video_set = dataset.read()
    targets = load_targets(video_set, video_set.videos[0], [0], [], 1)
    np.testing.assert_allclose(targets.boxes[0, 0, 2:] * [WIDTH, HEIGHT], [SIDE, SIDE], rtol=1e-6)


def test_a_batch_is_padded_to_its_largest_clip(tiny):
    video_set = tiny(2).read()
    video = video_set.videos[0]
    clips = []
    for steps in ([Resize((HEIGHT, WIDTH), (24, 32))], [crop(0, 0, 40, 20)]):
        frames, _ = load_frames(video_set, video, [0, 1], steps, 8)
        clips.append((frames, load_targets(video_set, video, [0, 1], steps, 8)))
    batch = collate(clips)
    assert batch.frames.shape == (2, 2, 40, 32, 3)
    assert batch.padding.shape == (2, 2, 40, 32)
    assert (~batch.padding).sum(axis=(2, 3)).tolist() == [[24 * 32] * 2, [40 * 20] * 2]
    assert not batch.padding[0, :, :24, :32].any()
    assert not batch.frames[batch.padding].any()
    assert [targets.masks.shape[2:] for targets in batch.targets] == [(40, 32)] * 2
    np.testing.assert_array_equal(batch.frames[1, :, :40, :20], clips[1][0][:, :, :20])


def test_an_image_that_cannot_be_used_is_named_with_its_video_and_frame(tiny):
    dataset = tiny(4)
    video_set = dataset.read()
    dataset.image("video0/00000.jpg").unlink()
    jpeg = dataset.image("video0/00001.jpg")
    jpeg.write_bytes(jpeg.read_bytes()[:-200])
    dataset.image("video0/00002.jpg").write_text("not an image")
    Image.new("RGB", (WIDTH, HEIGHT + 2)).save(dataset.image("video0/00003.jpg"))
    for frame, reason in enumerate(["no image", "cut short", "not an image", f"{WIDTH}x{HEIGHT + 2}"]):
        with pytest.raises(UserError) as error:
            load_frames(video_set, video_set.videos[0], [frame], [], 1)
        sentence = str(error.value)
        assert "\n" not in sentence
        for part in (reason, str(dataset.image(f"video0/0000{frame}.jpg")), "video 100", f"frame {frame}"):
            assert part in sentence


def test_frames_turned_by_exif_fit_the_size_that_viewers_show(tiny):
    dataset = tiny(2)
    video_set = dataset.read()
    exif = Image.Exif()
    exif[0x0112] = 6
    path = dataset.image("video0/00000.jpg")
    Image.new("RGB", (HEIGHT, WIDTH)).save(path, exif=exif)
    assert load_frames(video_set, video_set.videos[0], [0], [], 1)[1] == (HEIGHT, WIDTH)
    # A file of annotations made on what lies on the disk, not turned, is refused with the reason.
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=exif)
    with pytest.raises(UserError, match=f"is {HEIGHT}x{WIDTH} turned upright as its EXIF orientation says, .* says"):
        load_frames(video_set, video_set.videos[0], [0], [], 1)
    with pytest.raises(UserError, match=f"video 100, frame 0.* is {HEIGHT}x{WIDTH} turned upright"):
        check_sizes(video_set)
