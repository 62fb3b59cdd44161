"""`dataset=mix`: parts with sections of their own, and every mistake in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vistr import load_config
from vistr.config import search_path
from vistr.config.adopting import adopt_checkpoint
from vistr.config.compose import from_dict, load_run, to_dict
from vistr.config.evaluation_sizes import evaluation_size
from vistr.config.open_videos import evaluation_videos, training_videos
from vistr.config.overrides import ready
from vistr.config.resuming import write_settings
from vistr.config.run_names import override_key
from vistr.errors import UserError
from vistr.files import CONF
from vistr.sweeps.plan import plan

MIX = ("dataset=mix", "dataset.of=[a:shapes,b:shapes]")


def small(part: str, seed: int, **changes: object) -> list[str]:
    settings = {"num_videos": 3, "video_length": 2, "height": 32, "width": 48, "seed": seed, **changes}
    return [f"dataset.parts.{part}.{key}={value}" for key, value in settings.items()]


def test_every_part_has_a_section_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = (
        "dataset=mix", "dataset.of=[ovis, small:shapes]", "dataset.ratios=[1,0.75]", "dataset.parts.ovis.root=my, ovis",
        "dataset.parts.small.height=48", "dataset.parts.ovis.augmentation.flip=0.25", "seed=7",
    )  # fmt: skip
    dataset = load_config(typed).dataset
    assert list(dataset.parts) == ["ovis", "small"]
    assert dataset.ratios == [1, 0.75]
    ovis, shapes = dataset.parts.values()
    assert (ovis.name, ovis.root, ovis.augmentation.flip) == ("ovis", str(tmp_path / "my, ovis"), 0.25)
    assert (ovis.short_side, ovis.augmentation.resize_long, ovis.num_instances) == (300, 800, 20)
    assert (shapes.name, shapes.short_side, shapes.augmentation.resize_short) == ("shapes", 48, [])
    assert ovis.seed == shapes.seed == 7
    assert dataset.evaluated_part is shapes


def test_slots_are_those_of_the_most_crowded_part() -> None:
    assert load_config(["dataset=mix", "dataset.of=[ovis,shapes]"]).num_instances == 20
    assert load_config([*MIX]).num_instances == 10


def test_a_mix_is_evaluated_at_the_size_of_its_evaluated_part() -> None:
    typed = ["dataset.parts.a.height=32", "dataset.parts.a.width=64"]
    assert evaluation_size(load_config([*MIX, *typed]))[:2] == (96, 160)
    assert evaluation_size(load_config([*MIX, *typed, "dataset.evaluated=a"]))[:2] == (32, 64)


def test_a_study_lists_parts_in_its_defaults_and_what_is_typed_is_laid_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /dataset@dataset.parts.pictures: shapes\n"
        "  - /dataset@dataset.parts.videos: ytvis2019\n  - _self_\n  - override /dataset: mix\n"
        "dataset: {ratios: [3, 1], parts: {pictures: {height: 48}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search_path, "STUDIES", tmp_path / "experiments")
    typed = ["dataset.parts.videos.root=here", "dataset.parts.pictures.width=80"]
    dataset = load_config(["experiments=mine", *typed]).dataset
    assert (dataset.parts["pictures"].height, dataset.parts["pictures"].width) == (48, 80)
    assert dataset.parts["videos"].root == str(tmp_path / "here")
    assert dataset.evaluated_part.name == "ytvis2019"


def test_a_study_that_says_of_is_told_how_studies_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [_self_, override /dataset: mix]\ndataset: {of: [shapes, ovis]}\n"
    )
    monkeypatch.setattr(search_path, "STUDIES", tmp_path / "experiments")
    with pytest.raises(UserError, match=r"dataset.of=.*a study lists /dataset@dataset.parts"):
        load_config(["experiments=mine"])


def test_a_mix_can_be_swept_over() -> None:
    swept = [*MIX, "dataset.ratios=[1,1],[1,3]", "seed=1,2"]
    planned = plan(ready(swept, sweep=True))
    assert "dataset.parts.a" in " ".join(planned.hydra_overrides)
    with pytest.raises(UserError, match="cannot be read"):
        ready(["dataset.of=[shapes],[ovis]"], sweep=True)


WRONG = [
    ("dataset.ratios=[1]", "dataset.ratios=[1.0] are 1 for 2 parts", "a, b"),
    ("dataset.ratios=[1,2,3]", "are 3 for 2 parts", "a, b"),
    ("dataset.ratios=[1,0]", "dataset.ratios=[1.0, 0.0]", "above 0"),
    ("dataset.ratios=[1,-2]", "dataset.ratios=[1.0, -2.0]", "above 0"),
    ("dataset.ratios=[1,nan]", "dataset.ratios=[1.0, nan]", "finite"),
    ("dataset.ratios=[1,x]", "dataset.ratios=[1,x]", "a list of numbers"),
    ("dataset.evaluated=c", "dataset.evaluated=c", "a, b"),
    ("dataset.epoch_clips=0", "dataset.epoch_clips=0", "at least 1"),
    ("dataset.root=there", "dataset.root=", "dataset.parts.b.root="),
    ("dataset.augmentation.flip=0", "dataset.augmentation=", "no effect"),
    ("dataset.parts.c.root=there", "dataset.parts.c", "dataset.of="),
    ("dataset.parts.a.rot=there", "dataset.parts.a.rot", "dataset.parts.a.root"),
    ("dataset.parts.a.height=x", "dataset.parts.a.height=x", "a whole number"),
    ("dataset.parts.a.holdout=2", "dataset.parts.a.holdout=2.0", "below 1"),
    ("dataset.parts.a.split=valid", "dataset.parts.a.split=valid", "shapes"),
    ("dataset.parts.a.holdout_ids=no.txt", "dataset.parts.a.holdout_ids=", "no such file"),
    ("dataset.parts.a.images=there", "dataset.parts.a.images=", "dataset.parts.a.annotations="),
    ("dataset.of=[]", "dataset.of=[]", "<name>:<option>"),
    ("dataset.of=shapes", "dataset.of=shapes", "<name>:<option>"),
    ("dataset.of=[a:shapes,a:ovis]", "a twice", "<name>:<option>"),
    ("dataset.of=[shapes,nope]", "dataset=nope", "ytvis2019"),
    ("dataset.of=[shapes,mix]", "cannot be a mixture", "dataset.of="),
    ("dataset.of=[a:shape_pictures] dataset.parts.a.categories=coco_to_ovis", "dataset=shape_pictures", "dataset=coco"),
    ("dataset.of=[ovis]", "dataset=ovis", "dataset.parts.ovis.root="),
]


@pytest.mark.parametrize(("typed", "at_fault", "words"), WRONG, ids=[typed for typed, *_ in WRONG])
def test_a_mistake_is_one_sentence(typed: str, at_fault: str, words: str) -> None:
    overrides = ["dataset=mix", *typed.split()] if typed.startswith("dataset.of") else [*MIX, typed]
    with pytest.raises(UserError) as caught:
        load_run(overrides)
    assert at_fault in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("dataset=mix", "dataset=mix needs dataset.of="),
        ("dataset.of=[shapes,ovis]", "belong to dataset=mix, and dataset=shapes is chosen"),
        ("dataset.parts.a.root=there", "belong to dataset=mix, and dataset=shapes is chosen"),
        ("dataset.ratios=[1,2]", "belong to dataset=mix, and dataset=shapes is chosen"),
    ],
)
def test_parts_and_the_mix_need_each_other(typed: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_run([typed])


def test_a_mix_survives_json_and_the_folder_of_a_run(tmp_path: Path) -> None:
    config = load_config([*MIX, "dataset.ratios=[1,0.5]", *small("b", 1, root=tmp_path)])
    stored = json.loads(json.dumps(to_dict(config)))
    assert from_dict(stored).dataset == config.dataset
    write_settings(tmp_path, to_dict(config))
    resumed, _ = load_run([f"resume={tmp_path}", "dataset.parts.a.height=64"])
    assert list(resumed.dataset.parts) == ["a", "b"]
    assert resumed.dataset.parts["a"].height == 64
    # Stored settings do not say where to write: videos that are not there yet go to the user's own place.
    assert resumed.dataset.parts["b"] == replace(config.dataset.parts["b"], root=config.dataset.parts["a"].root)
    assert resumed.dataset.ratios == [1, 0.5]


def test_a_checkpoint_of_a_mix_is_evaluated_on_its_evaluated_part(tmp_path: Path) -> None:
    saved = to_dict(load_config([*MIX, *small("a", 0), *small("b", 1)]))

    def adopted(*typed: str):
        overrides = ["task=evaluate", f"checkpoint={tmp_path}", f"outputs={tmp_path}", *typed]
        return adopt_checkpoint(load_config(overrides), saved, overrides)

    assert adopted().dataset.parts["b"].num_videos == 3
    assert adopted("dataset.evaluated=a").dataset.evaluated_part.seed == 0
    assert [len(evaluation_videos(adopted(*typed)).videos) for typed in ([], ["dataset.parts.b.split=train"])] == [1, 3]
    # Another dataset takes over the size of training.
    other = adopted("dataset=ovis", f"dataset.root={tmp_path}").dataset
    assert (other.short_side, other.long_side) == (32, 48)


def test_parts_are_trained_on_without_what_each_holds_out(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("2\n3\n")
    typed = [*small("a", 0, root=tmp_path, holdout=0), *small("b", 1, root=tmp_path, holdout_ids=tmp_path / "ids.txt")]
    parts, judged = training_videos(load_config([*MIX, *typed]))
    assert {name: [video.id for video in some.videos] for name, some in parts.items()} == {"a": [1, 2, 3], "b": [1]}
    assert [video.id for video in judged.videos] == [2, 3]
    assert judged.annotation_file == parts["b"].annotation_file != parts["a"].annotation_file


def test_generated_pictures_and_videos_are_of_the_same_categories(tmp_path: Path) -> None:
    parts = ["dataset=mix", "dataset.of=[pictures:shape_pictures,videos:shapes]", *small("videos", 1, root=tmp_path)]
    typed = [one for one in small("pictures", 1, root=tmp_path, num_videos=2) if "video_length" not in one]
    found, judged = training_videos(load_config([*parts, *typed]))
    assert [len(some.videos) for some in found.values()] == [2, 2]
    assert [len(video) for video in judged.videos] == [2]


def test_categories_that_disagree_are_refused(tmp_path: Path) -> None:
    parts, _ = training_videos(load_config([*MIX, *small("a", 0, root=tmp_path), *small("b", 1, root=tmp_path)]))
    content = json.loads(parts["b"].annotation_file.read_text())
    file = tmp_path / "other.json"
    named = [f"dataset.parts.b.annotations={file}", f"dataset.parts.b.images={parts['b'].image_folder}"]
    *first, last = content["categories"]
    for added, words in (
        ([{**last, "name": "blob"}], "number 6 is cross in a and blob"),
        ([], "is cross in a and none"),
    ):
        categories = [*first, *added]
        kept = {one["id"] for one in categories}
        annotations = [one for one in content["annotations"] if one["category_id"] in kept]
        file.write_text(json.dumps({**content, "categories": categories, "annotations": annotations}))
        with pytest.raises(UserError, match=words):
            training_videos(load_config([*MIX, *small("a", 0, root=tmp_path), *named]))


def test_an_option_put_into_a_part_is_a_key_of_its_own() -> None:
    assert override_key("+dataset@dataset.parts.a=ovis") == "dataset.parts.a"
    assert override_key("dataset/augmentation@dataset.parts.a.augmentation=none") == "dataset.parts.a.augmentation"
    assert override_key("+db@:backbone=r18") == "db"
    assert (CONF / "dataset" / "mix.yaml").is_file()
