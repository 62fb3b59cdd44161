"""Videos and pictures."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from scripts.mutate.changes import change_bytes, change_text
from scripts.mutate.readers import Case, Maker

_FRAMES = 12


def _sound(folder: Path, suffix: str) -> bytes:
    from PIL import Image

    from vistr.data.video import VideoWriter

    frames = [np.full((48, 64, 3), frame * 20, np.uint8) for frame in range(_FRAMES)]
    if suffix == "mp4":
        with VideoWriter(folder / "sound.mp4", 10) as writer:
            for frame in frames:
                writer.write(frame)
        return (folder / "sound.mp4").read_bytes()
    out = io.BytesIO()
    if suffix == "gif":
        first, *others = (Image.fromarray(frame) for frame in frames)
        first.save(out, "GIF", save_all=True, append_images=others, duration=100)
    else:
        pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(out, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    return out.getvalue()


def _read(path: Path) -> str:
    from vistr.data.sources import open_sources

    count = 0
    for _, source in open_sources(str(path)):
        for frame in source:
            count += 1
            if count > 1000 or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                return f"frame {count}: {frame.dtype} {frame.shape}"
    return ""


def _bytes_reader(suffix: str, folder: Path) -> Maker:
    sound, path = _sound(folder, suffix), folder / "input" / f"v.{suffix}"

    def make(rng: Random) -> Case:
        change, data = change_bytes(sound, rng, head=120)
        return Case(change, {path.name: data}, lambda: _read(path))

    return make


def playlist(folder: Path) -> Maker:
    """A playlist, under its own and other suffixes: it must not lead to other files."""
    video = _sound(folder, "mp4")
    (folder / "private.mp4").write_bytes(video)

    def make(rng: Random) -> Case:
        target = rng.choice(
            ["private.mp4", str(folder / "private.mp4"), f"file://{folder}/private.mp4", "../private.mp4"]
        )
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
        text = rng.choice([text, change_text(text, rng), f"ffconcat version 1.0\nfile {target}\n"])
        path = folder / "input" / f"v.{rng.choice(['m3u8', 'm3u', 'mp4', 'avi', 'ffconcat', 'txt'])}"

        def read() -> str:
            _read(path)
            return "the video that a playlist names was read"

        return Case(f"{path.suffix} {target}", {path.name: text.encode(), "private.mp4": video}, read)

    return make


READERS = {name: partial(_bytes_reader, name) for name in ("mp4", "gif", "png", "jpg", "tif", "webp")}
READERS["m3u8"] = playlist  # type: ignore[assignment]
