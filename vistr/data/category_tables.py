"""Tables that map COCO's categories to those of another dataset, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vistr.data.values import is_printable
from vistr.data.videos import Category
from vistr.errors import UserError, shortened, shown
from vistr.files import CONF

TABLES = CONF / "dataset" / "categories"
_COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,"
    " parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,"
    " handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,"
    " surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,"
    " broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,"
    " laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,"
    " scissors, teddy bear, hair drier, toothbrush"
)
COCO = tuple(_COCO.split(", "))
"""The names of COCO's 80 categories, in the order of their ids, which leave some numbers out."""
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = dict(zip(COCO, sorted({*range(1, 91)}.difference(_UNUSED_IDS)), strict=True))
"""Their ids by their names."""


@dataclass(frozen=True)
class CategoryTable:
    """All categories of a set, and which of them each name of a file stands for."""

    path: Path
    categories: tuple[Category, ...]
    names: dict[str, str]

    def targets(self, known: Set[str], file: str) -> dict[str, int]:
        """The category id by each name of the table. Raises UserError for a name that neither the file nor COCO has."""
        for name in self.names:
            if name not in known and name not in COCO:
                hint = _nearest(name, sorted({*known, *COCO}))
                raise UserError(f"{self.path}: names: {shown(name)} is no category of {file} or of COCO{hint}")
        ids = {category.name: category.id for category in self.categories}
        return {name: ids[target] for name, target in self.names.items()}


def read_table(given: str) -> CategoryTable:
    """The table of that name in conf/dataset/categories, or in the file <name>.yaml; UserError for what is wrong in it.

    It holds `categories`, all names of the set in the order of their ids, 1, 2, ..., and `names`, the name of a file's
    category: that of one of them.
    """
    path = Path(given) if given.endswith((".yaml", ".yml")) else TABLES / f"{given}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in TABLES.glob("*.yaml")))
        raise UserError(
            f"dataset.categories={shortened(given)}: there is no such table; these are {known}, or give a file of your"
            " own, <name>.yaml"
        ) from None
    except OSError as error:
        raise UserError(f"the table of categories {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"the table of categories {path} is no YAML: {shown(error, 100)}") from None
    if not isinstance(content, dict) or set(content) != {"categories", "names"}:
        raise UserError(f"the table of categories {path} must hold 'categories' and 'names', and nothing else")
    names, entries = content["categories"], content["names"]
    if not isinstance(names, list) or not names or not all(map(_is_name, names)) or len(set(names)) < len(names):
        raise UserError(f"{path}: 'categories' must be a list of different names, those of the set in the order of ids")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{path}: 'names' must have lines such as person: person")
    for name, target in entries.items():
        if not _is_name(name) or not _is_name(target):
            raise UserError(f"{path}: names: {shown(name, 40)}: {shown(target, 40)} is no pair of names")
        if target not in names:
            hint = _nearest(target, names)
            raise UserError(f"{path}: names: {shown(name, 40)}: {shown(target, 40)} is none of 'categories'{hint}")
    return CategoryTable(path, tuple(Category(place, name) for place, name in enumerate(names, 1)), dict(entries))


def coco_ids(names: Sequence[str]) -> dict[str, int]:
    """The COCO id of each of a set's categories that COCO has too.

    By the stored table for a set of these categories; for another set by names that are equal but for case and
    underscores. COCO's mouse is a computer's: it is no animal of that name, unless the set has COCO's keyboard too.
    """
    for file in sorted(TABLES.glob("*.yaml")):
        table = read_table(str(file))
        if [category.name for category in table.categories] == list(names):
            found = {target: COCO_IDS[name] for name, target in reversed(table.names.items()) if name in COCO_IDS}
            return {name: found[name] for name in names if name in found}
    spelt = {name: " ".join(name.lower().replace("_", " ").split()) for name in names}
    ids = {name: number for name, number in COCO_IDS.items() if name != "mouse" or "keyboard" in spelt.values()}
    return {name: ids[plain] for name, plain in spelt.items() if plain in ids}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and is_printable(value)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {near[0]}?" if near else ""
