"""Finding annotations and frames in the folders people have."""

from __future__ import annotations

import pytest

from vistr.data.layouts import find_images, find_layout
from vistr.errors import UserError


@pytest.mark.parametrize(
    ("dataset", "split", "annotations", "images"),
    [
        ("ytvis2019", "train", "train.json", "train/JPEGImages"),
        ("ytvis2019", "train", "annotations/instances_train_sub.json", "train/JPEGImages"),
        ("ytvis2019", "train", "train.json", "train_all_frames/JPEGImages"),
        ("ytvis2019", "valid", "valid.json", "valid/JPEGImages"),
        ("ytvis2019", "valid", "annotations/instances_val_sub.json", "valid/JPEGImages"),
        ("ytvis2019", "test", "test.json", "test/JPEGImages"),
        ("ytvis2021", "train", "train/instances.json", "train/JPEGImages"),
        ("ytvis2021", "valid", "valid/instances.json", "valid_all_frames/JPEGImages"),
        ("ovis", "train", "annotations_train.json", "train"),
        ("ovis", "valid", "annotations_valid.json", "valid"),
        ("shapes", "train", "annotations/instances_train_sub.json", "train/JPEGImages"),
    ],
)
def test_a_known_layout_is_found(tmp_path, dataset, split, annotations, images):
    (tmp_path / images).mkdir(parents=True)
    (tmp_path / annotations).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / annotations).write_text("{}")
    assert find_layout(dataset, tmp_path, split) == (tmp_path / annotations, tmp_path / images)


def test_the_2021_file_is_preferred_where_2019_lies_in_the_same_folder(tmp_path):
    (tmp_path / "train/JPEGImages").mkdir(parents=True)
    for name in ("train.json", "train/instances.json"):
        (tmp_path / name).write_text("{}")
    assert find_layout("ytvis2019", tmp_path, "train")[0] == tmp_path / "train.json"
    assert find_layout("ytvis2021", tmp_path, "train")[0] == tmp_path / "train/instances.json"


def test_the_sentence_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"no such dataset folder: .*nowhere.*dataset.root"):
        find_layout("ytvis2019", tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match=r"no annotation file .*valid split.*valid\.json.*instances_val_sub\.json"):
        find_layout("ytvis2019", tmp_path, "valid")
    (tmp_path / "annotations_train.json").write_text("{}")
    with pytest.raises(UserError, match=r"no image folder .*train split of ovis: looked for train/JPEGImages, train,"):
        find_layout("ovis", tmp_path, "train")


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("train.json", "train/JPEGImages"),
        ("train.json", "train_all_frames/JPEGImages"),
        ("annotations/instances_val_sub.json", "valid/JPEGImages"),
        ("annotations/instances_train_sub.json", "train/JPEGImages"),
        ("valid/instances.json", "valid/JPEGImages"),
        ("annotations_train.json", "train"),
        ("my.json", "JPEGImages"),
        ("my.json", "."),
        ("annotations/my.json", "JPEGImages"),
    ],
)
def test_the_frames_of_an_annotation_file_are_found_beside_it(tmp_path, annotations, images):
    (tmp_path / "other/JPEGImages/a").mkdir(parents=True)
    (tmp_path / images / "a").mkdir(parents=True)
    (tmp_path / images / "a/00000.jpg").write_text("")
    found = find_images(tmp_path / annotations, "a/00000.jpg")
    assert found.resolve() == (tmp_path / images).resolve()


def test_a_split_whose_frames_lie_elsewhere_is_not_taken_for_another(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / split / "JPEGImages/a").mkdir(parents=True)
        (tmp_path / split / "JPEGImages/a/00000.jpg").write_text("")
    assert find_images(tmp_path / "valid.json", "a/00000.jpg") == tmp_path / "valid/JPEGImages"


def test_frames_that_are_nowhere_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"a/0\.jpg, the first frame of .*my\.json, is in none of .*dataset\.images="):
        find_images(tmp_path / "my.json", "a/0.jpg")
