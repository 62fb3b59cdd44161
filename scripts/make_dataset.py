"""Makes the annotation file of a `dataset=custom` from mask pictures, LabelMe's files or a CVAT (COCO) export.

Usage: python scripts/make_dataset.py masks   <masks> <frames> instances.json [--classes classes.json]
       python scripts/make_dataset.py labelme <folder> instances.json
       python scripts/make_dataset.py coco    <annotations.json> <frames> instances.json
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from vistr.data.importing.coco import read_coco
from vistr.data.importing.labelme import read_labelme
from vistr.data.importing.mask_pictures import read_masks
from vistr.data.importing.writing import write_custom
from vistr.errors import UserError
from vistr.files import read_json
from vistr.runtime.streams import outlive_readers


def parser() -> argparse.ArgumentParser:
    """The three ways to call it."""
    whole = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = whole.add_subparsers(dest="kind", required=True)
    masks = kinds.add_parser("masks", help="<masks>/<video>/<frame>.png, or <masks>/<video>/<class>_<n>/<frame>.png")
    masks.add_argument("source", type=Path)
    masks.add_argument("--classes", type=Path, help='{"video": {"1": "car"}}: the classes of numbered objects')
    labelme = kinds.add_parser("labelme", help="<folder>/<video>/<frame>.jpg and .json")
    coco = kinds.add_parser("coco", help="a COCO file whose annotations have track ids")
    coco.add_argument("source", type=Path)
    for one in (masks, labelme, coco):
        one.add_argument("frames", type=Path, help="the folder of the videos' frames")
        one.add_argument("output", type=Path, help="the annotation file to write")
        one.add_argument("--categories", default="", help="car,person: the classes in the order of their ids")
    return whole


def main(arguments: list[str]) -> int:
    """Write the file and print how to train on it; 1 after a mistake."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    names = [name for name in options.categories.split(",") if name]
    try:
        if options.kind == "masks":
            classes = None if options.classes is None else read_json(options.classes, "--classes:")
            videos = read_masks(options.source, options.frames, classes)
        elif options.kind == "labelme":
            videos = read_labelme(options.frames, names)
        else:
            videos = read_coco(options.source, options.frames)
        made = write_custom(options.output, options.frames, videos, names)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    objects = sum(len(video.annotations) for video in made.videos)
    print(f"{options.output}: {len(made.videos)} videos, {objects} objects, classes {', '.join(made.names)}")
    print(f"python run.py dataset=custom dataset.annotations={options.output} dataset.images={options.frames}")
    return 0


if __name__ == "__main__":
    outlive_readers()
    sys.exit(main(sys.argv[1:]))
