"""Tables of categories: those that come with the project are right, and mistakes in one's own are one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from vistr.config.compose import load_config, load_run
from vistr.data.categories import assumed_categories
from vistr.data.category_tables import COCO, TABLES, coco_ids, read_table
from vistr.errors import UserError

OWN = "categories: [person, cat]\nnames: {person: person, dog: cat}\n"


@pytest.mark.parametrize(("name", "count", "sources"), [("ytvis2019", 40, 19), ("ytvis2021", 40, 21), ("ovis", 25, 18)])
def test_the_tables_name_categories_of_both_sets(name: str, count: int, sources: int) -> None:
    table = read_table(f"coco_to_{name}")
    assert [category.id for category in table.categories] == list(range(1, count + 1))
    assert len(table.targets(set(COCO), "COCO")) == sources
    assert len(COCO) == len(set(COCO)) == 80


def test_the_faults_of_published_tables_are_mended() -> None:
    tables = {path.stem: read_table(path.stem).names for path in TABLES.glob("*.yaml")}
    assert len(tables) == 3
    for names in tables.values():
        assert not {"mouse", "skis"} & set(names)
    assert "bicycle" not in tables["coco_to_ytvis2019"]
    assert "bicycle" not in tables["coco_to_ytvis2021"]
    assert tables["coco_to_ovis"]["bicycle"] == "Bicycle"
    assert tables["coco_to_ytvis2021"]["bird"] == "bird"
    assert tables["coco_to_ovis"]["bird"] == "Bird"
    assert "bird" not in tables["coco_to_ytvis2019"]
    assert "train" not in tables["coco_to_ovis"]


def test_ids_are_those_of_youtube_vis() -> None:
    assert list(read_table("coco_to_ytvis2019").categories) == assumed_categories(40)
    ids = {name: {c.name: c.id for c in read_table(f"coco_to_{name}").categories} for name in ("ytvis2021", "ovis")}
    assert [ids["ytvis2021"][name] for name in ("person", "bird", "motorbike", "truck", "zebra")] == [26, 3, 23, 37, 40]
    assert [ids["ovis"][name] for name in ("Person", "Bird", "Bicycle", "Boat", "Vehical")] == [1, 2, 21, 24, 25]


def test_categories_that_coco_has_are_found_by_the_stored_table() -> None:
    for name, count in (("coco_to_ytvis2019", 19), ("coco_to_ytvis2021", 21), ("coco_to_ovis", 16)):
        names = [category.name for category in read_table(name).categories]
        assert len(coco_ids(names)) == count
    ids = coco_ids([category.name for category in assumed_categories(40)])
    assert {name: ids.get(name) for name in ("sedan", "motorbike", "tennis_racket", "mouse", "fox")} == {
        "sedan": 3,
        "motorbike": 4,
        "tennis_racket": 43,
        "mouse": None,
        "fox": None,
    }


def test_categories_of_other_sets_are_found_by_name() -> None:
    assert coco_ids(["Person", "stop_sign", "lizard", "mouse"]) == {"Person": 1, "stop_sign": 13}
    assert coco_ids(COCO)["mouse"] == 74
    assert list(coco_ids(COCO)) == list(COCO)
    assert coco_ids(COCO)["toothbrush"] == 90


def test_a_table_of_ones_own_may_name_categories_that_a_smaller_file_lacks(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert read_table(str(path)).targets({"person"}, "a file") == {"person": 1, "dog": 2}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (OWN.replace("dog: cat", "dog: kat"), r"names: 'dog': 'kat' is none of 'categories': did you mean cat\?"),
        (OWN.replace("dog: cat", "dgo: cat"), r"'dgo' is no category of a file or of COCO: did you mean dog\?"),
        (OWN.replace("[person, cat]", "[cat, cat]"), "'categories' must be a list of different names"),
        (OWN.replace("{person: person, dog: cat}", "[person]"), "'names' must have lines such as person: person"),
        (OWN.replace("dog: cat", "7: cat"), "names: 7: 'cat' is no pair of names"),
        (OWN + "more: 1\n", "must hold 'categories' and 'names', and nothing else"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_table(str(path)).targets({"person"}, "a file")


def test_an_unknown_table_is_said_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"dataset\.categories=coco_to_x: .* these are coco_to_ovis, coco_to_ytvis2019"):
        read_table("coco_to_x")


def test_a_file_is_found_from_where_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(["dataset=coco", "dataset.categories=own.yaml"]).dataset.categories == str(tmp_path / "own.yaml")
    assert load_config(["dataset=coco", "dataset.categories=coco_to_ovis"]).dataset.categories == "coco_to_ovis"


def test_a_table_for_another_dataset_and_a_split_that_coco_lacks_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.categories= has no effect on dataset=ovis: it is of dataset=coco"):
        load_run(["dataset=ovis", "dataset.categories=coco_to_ovis", "dataset.root=."])
    with pytest.raises(UserError, match=r"dataset\.split=test: coco has no such split, only holdout, train, valid"):
        load_run(["dataset=coco", "dataset.split=test", "dataset.root=."])
