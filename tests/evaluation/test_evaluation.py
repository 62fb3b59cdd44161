"""The evaluation against the official code: 55 cases with its figures (tests/data/ytvis_eval)."""

from __future__ import annotations

import copy
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vistr.data.segmentation import area, to_rle
from vistr.errors import UserError
from vistr.evaluation.accumulation import category_curves
from vistr.evaluation.assignment import match_group
from vistr.evaluation.official import evaluate
from vistr.evaluation.reading import read

# Case name -> {"gt": ..., "results": ..., "expected": ...}, as the official code was given and gave them.
CASES = json.loads(gzip.decompress((Path(__file__).parents[1] / "data/ytvis_eval/cases.json.gz").read_bytes()))
SCORED = [name for name, case in CASES.items() if "error" not in case["expected"]]
CRASHING = {
    "probes/gt_missing_iscrowd": "annotation 1 .*'iscrowd'",
    "probes/missing_score": r"entry 0 \(video 63\) has no 'score'",
    "probes/result_polygon": r"entry 0 \(video 63\), frame 0: .*compressed RLE",
    "probes/result_uncompressed_rle": r"entry 0 \(video 63\), frame 0: .*compressed RLE",
    "probes/unknown_video": r"entry \d+ \(video \d+\) is of a video",
}
WITHOUT_AREAS = "probes/gt_missing_areas"  # the official code crashes: areas are taken from the masks here
SUSPICIOUS = {
    "d_empty_list": "empty list",
    "probes/no_gt_at_all": "no annotations",
    "probes/short_result": "another number of frames",
    "probes/long_result": "another number of frames",
    "probes/empty_seg_list": "0 segmentations, 6 frames",
    "probes/gt_short": "another number of frames",
    "probes/video_length_field_wrong": "another number of frames",
    "probes/result_wrong_size": "masks of another size",
    "probes/result_wrong_size_some": "masks of another size",
    "probes/result_transposed_size": "masks of another size",
    "probes/unknown_category": "category_id that the truth does not list",
    "probes/gt_category_missing": "category_id that the truth does not list",
    "probes/gt_duplicate_ids": "id used again",
    "probes/gt_id_zero": "id 0",
    "probes/extreme_scores": "scores outside 0 to 1",
    "b_edge": "category_id that the truth does not list",
}


def near(value: Any) -> Any:
    return pytest.approx(value, abs=1e-9, rel=0)


def test_all_55_cases_are_here() -> None:
    assert len(CASES) == 55
    assert set(CRASHING) == set(CASES) - set(SCORED) - {"d_empty_list", WITHOUT_AREAS}


@pytest.mark.parametrize("name", SCORED)
def test_the_figures_are_the_official_ones(name: str) -> None:
    case = CASES[name]
    evaluation = evaluate(case["gt"], case["results"])
    assert list(evaluation.figures) == list(case["expected"]["stats"])
    assert evaluation.figures == near(case["expected"]["stats"])


@pytest.mark.parametrize("name", [*SCORED, "d_empty_list"])
def test_the_figures_of_each_category_are_the_official_ones(name: str) -> None:
    case = CASES[name]
    expected = case["expected"].get("if_bypassed", case["expected"])["per_category"]
    evaluation = evaluate(case["gt"], case["results"])
    assert set(evaluation.per_category) == {int(category) for category in expected}
    for category, numbers in expected.items():
        ours = evaluation.per_category[int(category)]
        assert ours["name"] == numbers["name"]
        assert (ours["num_truth"], ours["num_results"]) == (numbers["num_gt"], numbers["num_dt_considered"])
        shared = [key for key in numbers if key.startswith("A")]
        assert len(shared) == 9
        assert {key: ours[key] for key in shared} == near({key: numbers[key] for key in shared})


@pytest.mark.parametrize("name", SCORED)
def test_overlaps_hits_and_curves_are_the_official_ones(name: str) -> None:
    case = CASES[name]
    contents = read(case["gt"], case["results"])
    keys = sorted(contents.truth.keys() | contents.results.keys())
    groups = {key: match_group(contents.truth.get(key, []), contents.results.get(key, [])) for key in keys}
    for entry in case["expected"]["ious"]:
        group = groups[entry["video_id"], entry["category_id"]]
        assert group.indices == entry["result_indices"]
        assert group.iou == near(np.array(entry["iou"]).reshape(group.iou.shape))
    for category, numbers in case["expected"]["per_category"].items():
        mine = [group for key, group in groups.items() if key[1] == int(category)]
        hit = np.concatenate([group.hit[0] for group in mine], axis=1)
        ignored = np.concatenate([group.ignored[0] for group in mine], axis=1)
        assert (hit & ~ignored).sum(1).tolist() == numbers["tps"]
        assert (~hit & ~ignored).sum(1).tolist() == numbers["fps"]
        assert ignored.sum(1).tolist() == numbers["ignored_dets"]
        assert category_curves(mine).precision[0, -1].mean(1) == near(np.array(numbers["ap_by_iou"]))


def test_an_empty_list_of_results_scores_nothing() -> None:
    case = CASES["d_empty_list"]
    assert evaluate(case["gt"], case["results"]).figures == case["expected"]["if_bypassed"]["stats"]


@pytest.mark.parametrize(("name", "message"), CRASHING.items())
def test_what_the_official_code_crashes_on_is_named(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(CASES[name]["gt"], CASES[name]["results"])


@pytest.mark.parametrize("name", [*SCORED, "d_empty_list"])
def test_suspicious_input_is_warned_of_and_the_rest_is_not(name: str) -> None:
    warnings = evaluate(CASES[name]["gt"], CASES[name]["results"]).warnings
    assert (SUSPICIOUS[name] in "\n".join(warnings)) if name in SUSPICIOUS else warnings == []


def test_files_score_like_their_contents_which_stay_unchanged(tmp_path: Path) -> None:
    case = copy.deepcopy(CASES["b_edge"])
    for key in ("gt", "results"):
        (tmp_path / f"{key}.json").write_text(json.dumps(case[key]))
    from_files = evaluate(tmp_path / "gt.json", str(tmp_path / "results.json"))
    assert from_files.figures == evaluate(case["gt"], case["results"]).figures
    assert case == CASES["b_edge"]


def test_warnings_name_the_file_and_how_many_more(tmp_path: Path) -> None:
    case = CASES["probes/result_wrong_size_some"]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(case["results"]))
    (warning,) = evaluate(case["gt"], path).warnings
    assert f"{path}: entry 0" in warning
    assert "(and 1 more)" in warning


def test_the_table_shows_figures_categories_and_warnings() -> None:
    case = CASES["b_edge"]
    evaluation = evaluate(case["gt"], case["results"])
    lines = evaluation.table().splitlines()
    assert lines[0].split() == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert lines[1].split() == ["0.289", "0.399", "0.264", "0.289", "-", "-"]
    assert ["parrot", "1", "4", "0.550", "1.000", "0.250", "0.400", "1.000"] in [line.split() for line in lines]
    assert sum(line.startswith("Warning: ") for line in lines) == len(evaluation.warnings) > 0
    assert json.loads(json.dumps(evaluation.to_json()))["figures"] == evaluation.figures


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CASES["probes/ties_in_video"]["gt"]), **changes}


def annotation(**changes: Any) -> dict[str, Any]:
    truth = changed()
    truth["annotations"][0].update(changes)
    return truth


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([], "no YouTube-VIS annotation file"),
        (changed(videos=None), "no list 'videos'"),
        (changed(categories={}), "no list 'categories'"),
        (changed(videos=[{"id": "a"}]), r"videos\[0\] has no integer 'id'"),
        (changed(annotations=[{"id": 3}]), "annotation 3 has no integer 'video_id'"),
        (annotation(segmentations=None), "annotation .* has no list 'segmentations'"),
        (annotation(areas=["big"]), "neither a number of pixels nor null"),
        (annotation(areas=[float("nan")]), "neither a number of pixels nor null"),
        (annotation(areas=[float("inf")]), "neither a number of pixels nor null"),
        (annotation(areas=[-5]), "neither a number of pixels nor null"),
        (annotation(areas=[10**400]), "neither a number of pixels nor null"),
        (annotation(areas=3), "'areas' is no list"),
        (annotation(iscrowd=7), "'iscrowd': set it to 0 or 1, not 7"),
        (annotation(category_id=True), "no integer 'category_id'"),
        (changed(videos=[{"id": True}]), r"videos\[0\] has no integer 'id'"),
        (annotation(segmentations=[[[1, 2, 3]]]), "annotation .*, frame 0: a polygon"),
        (annotation(segmentations=[None, {"size": [4, 4], "counts": [3]}]), "frame 1: .*cover 3"),
    ],
)
def test_truth_that_is_no_truth_is_named(truth: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(truth, [])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"score": "0.5"}, r"entry 1 \(video \d+\) has no 'score'"),
        ({"score": float("nan")}, r"entry 1 \(video \d+\) has no 'score'"),
        ({"score": float("inf")}, r"entry 1 \(video \d+\) has no 'score'"),
        ({"score": -float("inf")}, r"entry 1 \(video \d+\) has no 'score'"),
        ({"score": 10**400}, r"entry 1 \(video \d+\) has no 'score'"),
        ({"score": True}, r"entry 1 \(video \d+\) has no 'score'"),
        ({"video_id": "x"}, "entry 1 .* is of a video"),
        ({"segmentations": None}, "entry 1 .* has no list 'segmentations'"),
        ({"segmentations": ["abc"]}, "entry 1 .*, frame 0: .* compressed RLE"),
        ({"segmentations": [{"counts": "abc"}]}, "entry 1 .*, frame 0: .* size"),
        ({"segmentations": [None, {"size": [5, 5], "counts": "1"}]}, "entry 1 .*, frame 1: .* cover 1"),
    ],
)
def test_a_result_that_is_no_result_is_named(entry: dict[str, Any], message: str) -> None:
    case = CASES["probes/ties_in_video"]
    results = [case["results"][0], {**case["results"][0], **entry}]
    with pytest.raises(UserError, match=message):
        evaluate(case["gt"], results)


@pytest.mark.parametrize("entry", [3, None, {"video_id": 1}])
def test_an_entry_that_is_nothing_like_a_result_is_named(entry: Any) -> None:
    with pytest.raises(UserError, match="entry 0 is not a result"):
        evaluate(changed(), [entry])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"videos": [')
    with pytest.raises(UserError, match=r"broken\.json is not JSON"):
        evaluate(broken, [])
    with pytest.raises(UserError, match=r"missing\.json.*No such file"):
        evaluate(tmp_path / "missing.json", [])
    with pytest.raises(UserError, match="the results should be a list"):
        evaluate(changed(), {"results": []})  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["no key", "null", "nulls"])
def test_truth_without_areas_is_scored_by_its_masks(missing: str) -> None:
    case = CASES["probes/ties_in_video"]
    evaluate(CASES[WITHOUT_AREAS]["gt"], CASES[WITHOUT_AREAS]["results"])
    truth = copy.deepcopy(case["gt"])
    for entry in truth["annotations"]:
        masks = [None if not rle else area(to_rle(rle, *rle["size"])) for rle in entry["segmentations"]]
        assert entry["areas"] == masks
        if missing == "no key":
            del entry["areas"]
        else:
            entry["areas"] = None if missing == "null" else [None] * len(masks)
    evaluation = evaluate(truth, case["results"])
    assert evaluation.figures == near(evaluate(case["gt"], case["results"]).figures)
    assert "without areas, they are taken from the masks" in "\n".join(evaluation.warnings)


def test_what_was_done_with_duplicates_is_said() -> None:
    case = CASES["probes/ties_in_video"]
    twice = [*case["results"], case["results"][0]]
    (warning,) = evaluate(case["gt"], twice).warnings
    assert warning.startswith("a result given twice, both are scored: the results: entry")
    again = {"id": case["results"][0]["category_id"], "name": "other"}
    truth = changed(categories=[*case["gt"]["categories"], again])
    evaluation = evaluate(truth, case["results"])
    assert "an id of 'categories' used again, the last entry counts" in "\n".join(evaluation.warnings)
    assert "other" in {row["name"] for row in evaluation.per_category.values()}


def test_the_masks_of_an_annotation_that_is_repeated_are_read_once() -> None:
    truth = changed()
    first = truth["annotations"][0]
    truth["annotations"] += [{key: first[key] for key in ("id", "video_id", "category_id")}] * 1000 + [first]
    tracks = read(truth, []).truth[first["video_id"], first["category_id"]]
    assert sum(track is tracks[0] for track in tracks) == 1002


def test_names_that_are_no_text_can_be_printed() -> None:
    truth = changed()
    truth["categories"][0]["name"] = "\ud800 cat"
    assert evaluate(truth, CASES["probes/ties_in_video"]["results"]).table().encode()


def archive(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in files.items():
            written.writestr(name.replace("_json", ".json"), content)
    return path


def test_the_zip_for_the_evaluation_server_scores_like_the_file_in_it(tmp_path: Path) -> None:
    case = CASES["b_edge"]
    path = archive(tmp_path / "results.zip", results_json=json.dumps(case["results"]).encode(), readme=b"x")
    assert evaluate(case["gt"], path).figures == evaluate(case["gt"], case["results"]).figures


def test_zips_that_hold_no_results_are_one_sentence(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.zip", results_json=json.dumps(CASES["b_edge"]["results"]).encode()).read_bytes()
    bent = {
        "none": archive(tmp_path / "b.zip", readme=b"x").read_bytes(),
        "two": archive(tmp_path / "c.zip", a_json=b"[]", b_json=b"[]").read_bytes(),
        "bomb": archive(tmp_path / "d.zip", a_json=bytes(70 * 2**20)).read_bytes(),
        "no json": archive(tmp_path / "e.zip", a_json=b"[" * 100_000).read_bytes(),
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:200] + bytes([whole[200] ^ 255]) + whole[201:],
        "encrypted": whole[:6]
        + b"\1"
        + whole[7:-60].replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
        + whole[-60:],
    }
    for name, content in bent.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}\.zip") as error:
            evaluate(CASES["b_edge"]["gt"], path)
        assert len(str(error.value)) <= 300 + len(str(tmp_path))


def test_a_zip_without_its_end_is_told_from_json(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", results_json=bytes(10_000))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"a\.zip is a zip that is cut short or damaged"):
        evaluate(CASES["b_edge"]["gt"], path)


def test_json_that_is_nested_too_deeply_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"deep\.json is not JSON"):
        evaluate(tmp_path / "deep.json", [])
