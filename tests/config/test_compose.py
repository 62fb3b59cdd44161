"""Composing a configuration: every option works, and every mistake is one sentence that names the key."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

import vistr.config.compose
from vistr import load_config
from vistr.config import Config, schema, search_path
from vistr.config.adopting import adopt_checkpoint
from vistr.config.compose import from_dict, load_run, to_dict
from vistr.config.open_videos import training_videos
from vistr.errors import UserError
from vistr.files import ROOT
from vistr.models.backbones import Swin

OPTIONS = [f"{group}={name}" for group, options in schema.OPTIONS.items() for name in options] + sorted(
    f"{file.parent.relative_to(ROOT / 'conf')}={file.stem}"
    for file in (ROOT / "conf").rglob("*.yaml")
    if file.parent != ROOT / "conf" and not {"hydra", "categories"} & {*file.parts} and not file.stem.startswith("_")
)
EXPERIMENTS = sorted(file.stem for file in (ROOT / "experiments").glob("*.yaml"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in that holds what some options need."""
    monkeypatch.chdir(tmp_path)
    for name in ("truth.json", "results.json", "weights.ckpt", "old.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "frames").mkdir()
    return tmp_path


def own_clone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose from copies of conf/ and experiments/ in `folder`."""
    for name in ("conf", "experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("results"))
    monkeypatch.setattr(vistr.config.compose, "CONF", folder / "conf")
    monkeypatch.setattr(search_path, "CONF", folder / "conf")
    monkeypatch.setattr(search_path, "STUDIES", folder / "experiments")


NEEDS = {
    "dataset=custom": ["dataset.annotations=truth.json", "dataset.images=frames"],
    "dataset=ytvis2019": ["dataset.root=frames"],
    "dataset=ytvis2021": ["dataset.root=frames"],
    "dataset=ovis": ["dataset.root=frames"],
    "dataset=mix": ["dataset.of=[a:shapes,b:shapes]"],
    "task=evaluate": ["checkpoint=weights.ckpt"],
    "task=infer": ["checkpoint=weights.ckpt", "input=frames"],
    "task=inspect": ["checkpoint=weights.ckpt"],
    "task=export": ["checkpoint=weights.ckpt"],
    "task=convert": ["input=weights.ckpt", "output=new.safetensors"],
    "task=average": ["input=frames", "output=new.safetensors"],
    "task=compare": ["runs=frames"],
    "task=score": ["annotations=truth.json", "results=results.json"],
    "task=view": ["annotations=truth.json", "results=results.json"],
} | {
    f"experiments={name}": ["dataset.root=frames"]
    for name in (
        "paper_r50",
        "paper_r101",
        "deformable_r50",
        "frames_ablation",
        "backbones",
        "loss_weights",
        "optimizer",
    )
}
for name in ("footage", "footage_8f"):
    NEEDS[f"experiments={name}"] = NEEDS["dataset=custom"]


@pytest.mark.parametrize("option", OPTIONS + [f"experiments={name}" for name in EXPERIMENTS])
def test_every_option_composes(option: str, files: Path) -> None:
    config = load_config([option, *NEEDS.get(option, [])])
    group, _, name = option.partition("=")
    if group in ("backbone", "dataset", "task"):
        assert getattr(config, group).name == name


def test_the_defaults_are_the_papers_recipe_on_small_generated_videos() -> None:
    config, plain = load_config([]), Config()
    assert config.dataset.name == "shapes"
    assert (config.dataset.short_side, config.dataset.long_side) == (96, 160)
    assert config.dataset.augmentation.crop_resize_short == []
    # The YAML files and the dataclasses say the same: a checkpoint without some key gets its YAML value.
    for section in ("backbone", "transformer", "loss", "training", "optimizer", "schedule", "task", "device"):
        assert getattr(config, section) == getattr(plain, section), section


def test_the_papers_augmentation_is_the_dataclass_default(files: Path) -> None:
    config = load_config(["dataset=ytvis2019", "dataset.root=frames"])
    assert config.dataset.augmentation == Config().dataset.augmentation


@pytest.mark.parametrize(("backbone", "size"), [("r50", (300, 540)), ("r101", (280, 504))])
def test_real_datasets_take_their_clip_size_from_the_backbone(
    backbone: str, size: tuple[int, int], files: Path
) -> None:
    config = load_config(["dataset=ytvis2019", "dataset.root=frames", f"backbone={backbone}"])
    assert (config.dataset.short_side, config.dataset.long_side) == size


def test_the_holdout_follows_the_seed() -> None:
    assert load_config(["seed=7"]).dataset.seed == 7


def test_runs_to_compare_are_several_paths(files: Path) -> None:
    runs = load_config(["task=compare", "runs=frames,../else*"]).task.runs
    assert runs == f"{files / 'frames'},{files.parent / 'else*'}"


def test_paths_are_relative_to_where_the_user_stands(files: Path) -> None:
    config = load_config(["dataset=custom", "dataset.annotations=truth.json", "dataset.images=./frames"])
    assert config.dataset.annotations == str(files / "truth.json")
    assert config.dataset.images == str(files / "frames")
    assert config.outputs == str(files / "outputs")


@pytest.mark.parametrize("name", ["my frames (1)", "a=1,b=2", "it's", "lr=2e-4_é"])
def test_a_path_works_as_typed(name: str, files: Path) -> None:
    (files / name).mkdir()
    assert load_config(["dataset=ovis", f"dataset.root={name}"]).dataset.root == str(files / name)


def test_keys_of_inference_work_without_their_section(files: Path) -> None:
    typed = ["min_score=0.5", "max_tracks=3", "categories=[person,traffic light]", "overlay=false"]
    config = load_config(["task=infer", "checkpoint=weights.ckpt", "input=frames", *typed])
    task = config.task
    assert (task.min_score, task.max_tracks, task.overlay) == (0.5, 3, False)
    assert task.categories == ["person", "traffic light"]
    assert config.overrides[3] == "task.min_score=0.5"


def test_a_pattern_is_an_input(files: Path) -> None:
    (files / "frames" / "a [1].png").write_text("")
    config = load_config(["task=infer", "checkpoint=weights.ckpt", "input=frames/*.png"])
    assert config.task.input == str(files / "frames" / "*.png")


def test_an_address_on_the_hub_stays_as_it_is(files: Path) -> None:
    config = load_config(["init=hf://owner/name@v1/folder/file.pth"])
    assert config.init == "hf://owner/name@v1/folder/file.pth"


MISTAKES = [
    ("nmu_frames=3", "nmu_frames", "num_frames"),
    ("+foo=3", "foo", "--cfg job"),
    ("hidden_dim=96", "hidden_dim", "transformer.hidden_dim"),
    ("backbone.nmae=r50", "backbone.nmae", "backbone.name"),
    ("+backbone.levels=3", "backbone.levels", "dilation"),
    ("bacbone=r50", "bacbone", "backbone"),
    ("backbone=r99", "backbone=r99", "r101, r18, r34, r50, swin_b, swin_l, swin_s, swin_t"),
    ("backbone=5", "backbone=5", "option"),
    ("backbone=", "backbone=", "r50"),
    ("experiments=nope", "experiments=nope", "backbones"),
    ("experiments=quickstrat", "experiments=quickstrat", "did you mean quickstart?"),
    ("dataset/augmentation=nope", "dataset/augmentation=nope", "light"),
    ("num_frames=abc", "num_frames=abc", "whole number"),
    ("num_frames=3.5", "num_frames=3.5", "whole number"),
    ("num_frames=", "num_frames=", "whole number"),
    ("num_frames=null", "num_frames=null", "whole number"),
    ("training.max_steps=x", "training.max_steps=x", "whole number or null"),
    ("optimizer.learning_rate=fast", "optimizer.learning_rate=fast", "a number"),
    ("backbone.dilation=maybe", "backbone.dilation=maybe", "true or false"),
    ("dataset.augmentation.resize_short=3", "dataset.augmentation.resize_short=3", "list of whole numbers"),
    ("dataset.augmentation=3", "dataset.augmentation=3", "section"),
    ("num_frames=0", "num_frames=0", "at least 1"),
    ("num_instances=-1", "num_instances=-1", "at least 1"),
    ("optimizer.learning_rate=nan", "optimizer.learning_rate=nan", "finite"),
    ("optimizer.learning_rate=0", "optimizer.learning_rate=0", "above 0"),
    ("training.max_steps=0", "training.max_steps=0", "at least 1"),
    ("dataset.holdout=1", "dataset.holdout=1", "below 1"),
    ("dataset.augmentation.resize_short=[0,3]", "dataset.augmentation.resize_short", "at least 1"),
    ("seed=-1", "seed=-1", "from 0"),
    ("transformer.num_heads=7", "transformer.num_heads=7", "transformer.hidden_dim=384"),
    ("transformer.hidden_dim=200", "transformer.hidden_dim=200", "96"),
    ("loss.layer_weights=falling", "loss.layer_weights=falling", "equal, growing"),
    ("loss.layer_weights=growing loss.aux_losses=false", "loss.layer_weights=growing", "loss.aux_losses=false"),
    ("loss.class_focal_gamma=0.5", "loss.class_focal_gamma=0.5", "at least 1"),
    ("optimizer.offsets_rate_factor=0", "optimizer.offsets_rate_factor=0", "above 0"),
    ("transformer.name=detr", "transformer.name=detr", "transformer=<option>"),
    ("dataset.eval_short_side=0", "dataset.eval_short_side=0", "at least 1"),
    ("dataset.eval_long_side=90", "dataset.eval_long_side=90", "dataset.eval_short_side="),
    ("backbone.short_side=700", "backbone.short_side=700", "backbone.long_side=540"),
    ("training.max_steps=3 schedule.warmup_steps=3", "training.max_steps=3", "schedule.warmup_steps=3"),
    ("schedule=cosine schedule.drop_epoch=3", "schedule.drop_epoch=", "schedule=step"),
    ("schedule=linear", "schedule=linear", "cosine, step"),
    ("dataset.augmentation.crop_min=700", "crop_min=700", "crop_max=600"),
    ("dataset.split=some", "dataset.split=some", "holdout"),
    ("dataset.holdout_ids=no.txt", "dataset.holdout_ids=", "no such file"),
    ("dataset.holdout_ids=frames", "dataset.holdout_ids=", "this is a folder"),
    ("dataset.split=valid", "dataset.split=valid", "shapes"),
    ("task=nope", "task=nope", "average, benchmark, compare, convert, evaluate"),
    ("task=evaluate", "task=evaluate", "checkpoint="),
    ("task=score", "task=score", "annotations="),
    ("task=compare", "task=compare", "runs="),
    ("runs=frames", "runs=", "task=compare"),
    ("direction=up", "direction=up", "maximize, minimize"),
    ("task=score annotations=truth.json", "task=score", "results="),
    ("task=score annotations=truth.json results=no.json", "results=", "no such file"),
    ("task=score annotations=truth.json results=frames", "results=", "this is a folder, name the file in it"),
    ("task=view", "task=view", "annotations="),
    ("task=view annotations=truth.json", "task=view", "results="),
    ("task=view annotations=truth.json results=no.json", "results=", "no such file"),
    (
        "task=view annotations=truth.json results=results.json dataset.images=no",
        "dataset.images=",
        "no such folder",
    ),
    (
        "task=view annotations=truth.json results=results.json dataset.annotations=truth.json",
        "dataset.annotations=",
        "the truth is annotations=",
    ),
    ("task=view annotations=truth.json results=results.json task.num_videos=0", "task.num_videos=0", "at least 1"),
    ("task=evaluate checkpoint=no.ckpt", "checkpoint=", "does not exist"),
    ("checkpoint=weights.ckpt", "checkpoint=", "task=evaluate"),
    ("task=infer input=frames", "task=infer", "checkpoint="),
    ("task=infer checkpoint=weights.ckpt", "task=infer", "input="),
    ("task=infer checkpoint=no.ckpt input=frames", "checkpoint=", "does not exist"),
    ("task=infer checkpoint=weights.ckpt input=no.mp4", "input=", "no such file or folder"),
    ("task=infer checkpoint=weights.ckpt input=*.mp4", "input=", "no file matches"),
    ("task=infer checkpoint=weights.ckpt input=frames dataset.images=no", "dataset.images=", "no such folder"),
    ("task=infer checkpoint=weights.ckpt input=frames init=weights.ckpt", "init=", "checkpoint="),
    ("task=infer checkpoint=weights.ckpt input=frames max_tracks=0", "task.max_tracks=0", "at least 1"),
    ("task=infer checkpoint=weights.ckpt input=frames min_score=2", "task.min_score=2", "from 0 to 1"),
    ("task=infer checkpoint=weights.ckpt input=frames categories=dog", "categories=dog", "[person,dog]"),
    ("task=infer checkpoint=weights.ckpt input=frames frames_per_second=0", "task.frames_per_second=0", "above 0"),
    ("input=frames", "input=", "task=infer"),
    ("annotations=truth.json", "annotations=", "dataset.annotations="),
    ("init=no.safetensors", "init=", "no such file"),
    ("task=convert", "task=convert", "input="),
    ("task=convert input=no.pth output=new.safetensors", "input=", "no such file"),
    ("task=convert input=weights.ckpt", "task=convert", "output="),
    ("task=convert input=weights.ckpt output=new.pth", "new.pth", ".safetensors"),
    ("task=average input=frames output=old.safetensors", "old.safetensors", "exists already"),
    ("task=convert input=weights.ckpt output=new.safetensors format=mindir", "format=mindir", "original"),
    ("task=export checkpoint=weights.ckpt format=original", "format=original", "mindir"),
    ("task=export checkpoint=weights.ckpt task.height=64", "task.height=", "task.width="),
    ("task=inspect", "task=inspect", "checkpoint="),
    ("task=evaluate checkpoint=weights.ckpt init=weights.ckpt", "init=", "checkpoint="),
    ("input=weights.ckpt", "input=", "init="),
    ("output=new.safetensors", "output=", "outputs="),
    ("sequence_head=sparse", "sequence_head=sparse", "dense"),
    ("training.ema=1", "training.ema=1", "below 1"),
    ("resume=nowhere", "resume=nowhere", "no such folder"),
    ("resume=frames", "resume=frames", "not the folder of a run"),
    ("dataset=ytvis2019", "dataset=ytvis2019", "dataset.root="),
    ("dataset=ytvis2019 dataset.root=nowhere", "dataset.root=", "no such folder"),
    ("dataset=custom", "dataset=custom", "dataset.annotations="),
    ("dataset=custom dataset.images=frames", "dataset.images=", "dataset.annotations="),
    (
        "dataset=custom dataset.images=frames dataset.annotations=no.json",
        "dataset.annotations=",
        "no such file",
    ),
    ("device=tpu", "device=tpu", "cpu"),
    ("device.precision=fp8", "device.precision=fp8", "fp32"),
    ("num_frames", "'num_frames'", "key=value"),
    ("=3", "'=3'", "key=value"),
    ("num_frames={3", "'num_frames={3'", "quotes"),
    ("num_frames=2,4", "num_frames=2,4", "add -m"),
    ("num_frames=range(2,4)", "num_frames=range(2,4)", "add -m"),
    ("num_frames=${nowhere}", "num_frames", "nowhere"),
    ("~num_frames", "~num_frames", "cannot be removed"),
    ("+num_frames=3", "num_frames", "without the +"),
    ("run_dir=here", "run_dir=here", "outputs="),
    ("outputs=", "outputs=", "empty"),
    ("dataset.augmentation.resize_short=[[3,4]]", "dataset.augmentation.resize_short=", "single numbers"),
    ("resume=", "resume=", "empty"),
    ("optimize=mAP", "optimize=mAP", "AP"),
    ("optimize=accuracy", "optimize=accuracy", "AP50"),
    ("optimize=ema_AP", "optimize=ema_AP", "training.ema="),
    ("optimize=", "optimize=", "AP50"),
    ("task=score annotations=truth.json results=results.json optimize=loss", "optimize=loss", "AP50"),
    ("hydra.run.dir=", "hydra.run.dir=", "empty"),
    ("dataset.root=${oc.env:NO_SUCH_DATA}", "dataset.root=", "the environment variable NO_SUCH_DATA is not set"),
    ("seed=${oc.env:NO_SUCH}", "seed=", "the environment variable NO_SUCH is not set"),
    ("hydra.run.dir=${oc.env:NO_SUCH}/x", "hydra.run.dir=", "the environment variable NO_SUCH is not set"),
    ("seed=${foo:1}", "seed", "${foo:...}"),
    ("seed=${seed}", "seed", "refers to itself"),
    ("backbone=${.}", "backbone=${.}", "backbone=<option>"),
    ("backbone=${oc.env:NO_SUCH}", "backbone=", "backbone=<option>"),
    (f"backbone={'y' * 5000}", "yyy", "too long"),
    (f"resume={'x' * 3000}", "resume=xxx", "no such folder"),
    (f"init={'x' * 300}", "init=", "no such file"),
    (f"dataset=ovis dataset.root={'x' * 3000}", "dataset.root=", "no such folder"),
    (f"task=infer checkpoint=weights.ckpt input={'x' * 3000}", "input=", "no such file"),
    (f"task=score annotations={'x' * 3000} results=results.json", "annotations=", "no such file"),
    (f"num_frames={'9' * 6000}", "num_frames=999", "4300 digits"),
    ("x" * 100_000, "xxx", "key=value"),
]


WITHOUT_EFFECT = [
    ("dataset.motion.zoom=1.5", "with dataset=shapes, only with dataset=shape_pictures or dataset=coco"),
    (
        "dataset=ytvis2019 dataset.root=frames dataset.motion.zoom=1.3",
        "with dataset=ytvis2019, only with dataset=shape_pic",
    ),
    (
        "dataset=ovis dataset.root=frames dataset.height=64",
        "with dataset=ovis, only with dataset=shapes or dataset=shape_",
    ),
    ("dataset=shape_pictures dataset.video_length=4", "with dataset=shape_pictures, only with dataset=shapes."),
    ("dataset=mix dataset.of=[a:shapes] dataset.parts.a.motion.shift=0", "with dataset.parts.a=shapes, only with"),
    (
        "dataset=custom dataset.annotations=truth.json dataset.images=frames dataset.root=frames",
        "with dataset.annotations=",
    ),
    ("dataset.augmentation.crop_max=500", "with dataset.augmentation.crop_resize_short=[]."),
    ("dataset.augmentation.resize_long=500", "with dataset.augmentation.resize_short=[]."),
    ("transformer=deformable transformer.temporal_window=1", "with transformer.temporal_points=0."),
    ("schedule.drop_epoch=null schedule.drop_factor=0.5", "with schedule.drop_epoch=null."),
    ("task=benchmark task.sweep=false task.limit_minutes=1", "with task.sweep=false."),
    ("task=infer checkpoint=weights.ckpt input=frames overlay=false frames_per_second=3", "with task.overlay=false."),
    ("task=view dataset=shapes min_score=0.5", "without task.results=."),
]


@pytest.mark.parametrize(("typed", "why"), WITHOUT_EFFECT, ids=[typed for typed, _ in WITHOUT_EFFECT])
def test_a_key_that_is_typed_without_effect_is_refused(typed: str, why: str, files: Path) -> None:
    key = typed.split()[-1].partition("=")[0]
    with pytest.raises(UserError, match=re.escape(f"{key}= has no effect {why}")) as caught:
        load_config(typed.split())
    assert len(str(caught.value)) < 250


def test_a_benchmark_generates_its_videos_whichever_dataset_is_chosen(files: Path) -> None:
    config = load_config(["task=benchmark", "dataset=ovis", "dataset.max_objects=2"])
    assert config.dataset.max_objects == 2


def test_what_a_study_sets_without_effect_is_not_held_against_another_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_clone(tmp_path, monkeypatch)
    text = "# @package _global_\ndataset:\n  video_length: 5\n  motion:\n    zoom: 2.0\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(text)
    config = load_config(["experiments=mine", "dataset=ovis", "dataset.augmentation.crop_max=500"])
    assert (config.dataset.motion.zoom, config.dataset.augmentation.crop_max) == (2.0, 500)


@pytest.mark.parametrize(("mistake", "named", "hint"), MISTAKES, ids=[mistake[0][:40] for mistake in MISTAKES])
def test_a_mistake_is_one_sentence_that_names_its_key(mistake: str, named: str, hint: str, files: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_run(mistake.split(" "))
    sentence = str(caught.value)
    assert named in sentence
    assert hint in sentence
    assert "\n" not in sentence
    assert len(sentence) < 250


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nmu_frames: 3", "There is no key nmu_frames (in experiments/wrong.yaml): did you mean num_frames?"),
        ("schedule:\n  drop_epch: 3", "There is no key schedule.drop_epch (in experiments/wrong.yaml)"),
        ("num_frames: abc", "num_frames has the wrong type (in experiments/wrong.yaml)"),
        ("num_frames: [", "wrong.yaml"),
        ("seed: ${oc.env:NO_SUCH}", "seed: the environment variable NO_SUCH is not set."),
    ],
)
def test_a_mistake_in_an_experiment_names_its_file(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_clone(tmp_path, monkeypatch)
    (tmp_path / "experiments" / "wrong.yaml").write_text(f"# @package _global_\n{text}\n")
    with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
        load_config(["experiments=wrong"])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num_frames: 2", "lacks its first line, '# @package _global_'"),
        ("defaults: [override /backbone: r10]", "lacks its first line, '# @package _global_'"),
        ("\ufeff# @package _global_\nnum_frames: 2", "a byte order mark comes before it"),
        ("# @package global\nnum_frames: 2", "lacks its first line, '# @package _global_'"),
        ("# @package _global_\ndefaults: [override backbone: r10]", "write 'override /backbone'"),
    ],
)
def test_a_study_that_hydra_would_put_elsewhere_is_told_what_it_lacks(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_clone(tmp_path, monkeypatch)
    (tmp_path / "experiments" / "mine.yaml").write_text(f"{text}\n")
    with pytest.raises(UserError, match=r"^experiments/mine\.yaml[^\n]*$") as caught:
        load_config(["experiments=mine"])
    assert expected in str(caught.value)


def test_a_folder_of_runs_in_the_clone_does_not_shadow_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_clone(tmp_path, monkeypatch)
    (tmp_path / "outputs").mkdir()
    assert Path(load_config(["outputs=elsewhere"]).outputs).name == "elsewhere"


def test_experiment_names_a_study_as_experiments_does() -> None:
    assert load_config(["experiment=quickstart"]) == load_config(["experiments=quickstart"])


def test_a_configuration_survives_json() -> None:
    config = load_config(["backbone=r18", "training.max_steps=3", "dataset.augmentation.resize_short=[96,128]"])
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == replace(config, overrides=[])


def test_keys_a_checkpoint_lacks_take_their_defaults_and_unknown_ones_are_named() -> None:
    saved = to_dict(load_config(["transformer=small"]))
    del saved["transformer"]["pre_norm"], saved["device"]
    assert from_dict(saved).transformer.hidden_dim == 96
    saved["transformer"]["depth"] = 3
    with pytest.raises(UserError, match=r"transformer\.depth"):
        from_dict(saved)


def test_an_option_is_known_once_it_is_registered_also_after_a_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    load_config()
    for holder, name in ((ConfigStore.instance(), "repo"), (vistr.config.compose, "_stored")):
        monkeypatch.setattr(holder, name, copy.deepcopy(getattr(holder, name)))
    for depths in ([2, 2, 2, 2], [2, 2, 4, 2]):
        monkeypatch.setitem(schema.OPTIONS["backbone"], "late", Swin("late", depths=depths))
        assert load_config(["backbone=late"]).backbone == Swin("late", depths=depths)


def test_loading_a_configuration_leaves_mindspore_alone() -> None:
    code = "import sys; from vistr import load_config; load_config(); print('mindspore' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_a_network_for_a_known_dataset_needs_no_files_of_it() -> None:
    for name in ("ytvis2019", "ytvis2021", "ovis", "custom"):
        config = load_config([f"dataset={name}"])
        assert config.dataset.name == name
        with pytest.raises(UserError, match=f"dataset={name} needs dataset"):
            training_videos(config)


class TestAdoptCheckpoint:
    """Evaluating a checkpoint: its model, its dataset, and what the user changed on purpose."""

    @pytest.fixture
    def saved(self, files: Path) -> dict[str, Any]:
        trained = ["backbone=r18", "transformer=small", "num_frames=6", "num_instances=4", "seed=7"]
        data = ["dataset.num_videos=30", "dataset.holdout=0.2", "dataset.augmentation.flip=0.25"]
        return to_dict(load_config([*trained, *data]))

    def adopt(self, saved: dict[str, Any], *typed: str) -> Config:
        overrides = ["task=evaluate", "checkpoint=weights.ckpt", *typed]
        return adopt_checkpoint(load_config(overrides), saved, overrides)

    def test_untouched_sections_are_the_checkpoints(self, saved: dict[str, Any]) -> None:
        config = self.adopt(saved, "task.min_score=0.5")
        adopted, before = to_dict(config), saved
        for key in ("backbone", "transformer", "num_frames", "num_instances", "dataset"):
            assert adopted[key] == before[key], key
        assert config.dataset.seed == 7  # another seed would evaluate on videos it was trained on
        assert config.task.name == "evaluate"
        assert config.task.min_score == 0.5

    def test_a_dotted_override_changes_one_key_of_the_checkpoints_dataset(self, saved: dict[str, Any]) -> None:
        config = self.adopt(saved, "dataset.split=train", "dataset.short_side=64")
        assert (config.dataset.split, config.dataset.short_side) == ("train", 64)
        assert (config.dataset.num_videos, config.dataset.long_side) == (30, 160)

    def test_a_group_override_replaces_the_dataset_all_but_the_size_of_training(self, files: Path) -> None:
        saved = to_dict(load_config(["backbone=r101"]))
        config = self.adopt(saved, "dataset=ovis", "dataset.root=frames", "dataset.split=valid")
        assert (config.dataset.name, config.dataset.root) == ("ovis", str(files / "frames"))
        assert (config.dataset.short_side, config.dataset.long_side) == (96, 160)

    def test_a_network_trained_elsewhere_is_evaluated_on_all_videos(self, files: Path) -> None:
        saved = {"dataset": {"name": "ytvis2019", "split": "valid"}}
        typed = ("dataset.annotations=truth.json", "dataset.images=frames")
        assert self.adopt(saved, "dataset=custom", *typed).dataset.split == "train"
        assert self.adopt(saved, "dataset=ytvis2021", "dataset.root=frames").dataset.split == "valid"
        assert self.adopt(saved, "dataset=custom", *typed, "dataset.split=holdout").dataset.split == "holdout"

    def test_a_split_of_the_checkpoints_dataset_is_not_held_against_the_default_one(self, files: Path) -> None:
        saved = to_dict(load_config(["dataset=ytvis2019", "dataset.root=frames"]))
        assert self.adopt(saved, "dataset.split=valid").dataset.name == "ytvis2019"

    def test_a_key_typed_beside_a_checkpoint_must_have_an_effect_on_its_settings(self, saved: dict[str, Any]) -> None:
        saved["dataset"] |= {"name": "coco", "annotations": "truth.json", "images": "frames"}
        assert self.adopt(saved, "dataset.motion.zoom=2").dataset.motion.zoom == 2
        with pytest.raises(UserError, match=r"dataset\.height= has no effect with dataset=coco"):
            self.adopt(saved, "dataset.height=64")

    def test_repeating_the_checkpoints_model_is_fine(self, saved: dict[str, Any]) -> None:
        config = self.adopt(saved, "backbone=r18", "transformer=small", "transformer.dropout=0.2", "num_frames=6")
        assert config.num_frames == 6

    def test_a_clip_may_have_fewer_frames(self, saved: dict[str, Any]) -> None:
        assert self.adopt(saved, "num_frames=2").num_frames == 2
        assert self.adopt(saved).num_frames == 6

    @pytest.mark.parametrize(
        ("typed", "mine", "theirs"),
        [
            ("backbone=r101", "backbone.name=r101", "backbone.name=r18"),
            ("backbone.name=r50", "backbone.name=r50", "backbone.name=r18"),
            ("transformer.hidden_dim=384", "transformer.hidden_dim=384", "transformer.hidden_dim=96"),
            ("num_instances=10", "num_instances=10", "num_instances=4"),
            ("num_frames=36", "num_frames=36", "num_frames=6"),
            ("sequence_head=dense", "sequence_head=dense", "sequence_head=dilated"),
        ],
    )
    def test_another_model_is_refused_with_both_values(
        self, typed: str, mine: str, theirs: str, saved: dict[str, Any]
    ) -> None:
        with pytest.raises(UserError, match="contradicts") as caught:
            self.adopt(saved, typed)
        assert mine in str(caught.value)
        assert theirs in str(caught.value)

    def test_what_does_not_fit_the_adopted_dataset_is_said(self, saved: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"dataset\.split=test"):
            self.adopt(saved, "dataset.split=test")
        with pytest.raises(UserError, match=r"dataset\.short_side="):
            self.adopt(saved, "backbone.short_side=64")
        with pytest.raises(UserError, match="experiments="):
            self.adopt(saved, "experiments=quickstart")


def test_slots_are_the_papers_unless_the_dataset_is_crowded_or_they_are_typed(tmp_path: Path) -> None:
    def slots(*overrides: str) -> int:
        return load_config([*overrides, f"dataset.root={tmp_path}"]).num_instances

    assert (slots("dataset=ytvis2019"), slots("dataset=ovis"), slots("dataset=ovis", "num_instances=7")) == (10, 20, 7)
