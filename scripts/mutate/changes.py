"""Changes to JSON, text and bytes, drawn from a random generator; each returns what it did in words, and the result."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

# Values that readers meet where they expect something else.
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 7, 10**6, 2**31, 2**32, 2**63, 10**30, 10**400, -(10**400)),
    *(0.5, -0.0, 1e308, 1e400, -1e400, float("nan"), "", "x", "1", "nan", "${oc.env:HOME}", "???", "=1+1"),
    *("../../x", "/etc/passwd", "a/../b", "\x00", "\n", "\ud800", "名前", "a" * 5000, [], {}, [[]], [None]),
    *({"a": 1}, [1, 2, 3], ["x"], [1.5, "x"], [0, 0, 999999, 999999] * 10, [1e300] * 6, {"_target_": "os.system"}),
    *({"size": [4, 4], "counts": "x"}, {"size": [10**6, 10**6], "counts": [10**12]}, {"size": [-1, 4], "counts": []}),
]

SOUND = "nothing"  # what is done to one input of thirty: a reader must still accept what is sound


def change_json(content: Any, rng: Random) -> tuple[str, Any]:
    """None to three changes at places of any depth in plain JSON content, which stays as it is."""
    whole = {"": copy.deepcopy(content)}
    done: list[str] = []
    if rng.random() < 0.03:
        return SOUND, whole[""]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = [place for place in _places(whole) if place]
        # All depths alike: most places are leaves.
        depth = rng.choice(sorted({len(place) for place in places}))
        place = rng.choice([place for place in places if len(place) == depth])
        done.append(f"{_change_at(whole, place, rng)} {'.'.join(map(str, place[1:]))}")
        if "" not in whole:
            whole = {"": None}
    return "; ".join(done), whole[""]


def _places(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield prefix
    if len(prefix) < 12 and isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*prefix, key))


def _at(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        content = content[key]
    return content


def _change_at(whole: Any, place: tuple[Any, ...], rng: Random) -> str:
    owner, key = _at(whole, place[:-1]), place[-1]
    old = owner[key]
    how = rng.choice(["odd"] * 4 + ["drop", "repeat", "scale", "text", "swap", "deep", "shorten", "rename", "add"])
    if how == "drop":
        del owner[key]
    elif how == "repeat" and isinstance(owner, list):
        owner.insert(key, copy.deepcopy(old))
    elif how == "scale" and type(old) in (int, float) and abs(old) < 1e200:
        owner[key] = old * rng.choice([-1, 2, 1000, 1e9, 10**12])
    elif how == "text":
        owner[key] = change_text(str(old)[:1000], rng)
    elif how == "swap":
        other = rng.choice([one for one in _places(whole) if one])
        owner[key] = copy.deepcopy(_at(whole, other))
    elif how == "deep":
        owner[key] = json.loads("[" * (depth := rng.choice([5, 100, 400])) + "]" * depth)
    elif how == "shorten" and isinstance(old, list | str) and old:
        owner[key] = old[: rng.randrange(len(old))]
    elif how == "rename" and isinstance(owner, dict):
        owner[f"{key}_"] = owner.pop(key)
    elif how == "add" and isinstance(old, dict):
        old[rng.choice(["new", "id", "0", "__init__"])] = copy.deepcopy(rng.choice(ODD))
    else:
        owner[key] = copy.deepcopy(rng.choice(ODD))
    return how


def change_text(text: str, rng: Random) -> str:
    """One change to a text: a character, a double, a snowman, a gap, or all of it turned round."""
    if not text:
        return rng.choice(["\x00", "é", "x"])
    at = rng.randrange(len(text))
    character = chr(rng.randrange(32, 127))
    changed = [f"{text[:at]}{character}{text[at + 1 :]}", f"{text[:at]}\u2603{text[at:]}", text + text]
    return rng.choice([*changed, text[:at] + text[at + 1 :], text[::-1]])


def change_bytes(data: bytes, rng: Random, head: int = 400) -> tuple[str, bytes]:
    """One change to bytes, or none, more often within the first `head`, where formats keep their sizes and counts."""
    if rng.random() < 0.03:
        return SOUND, data
    changed = bytearray(data)
    how = rng.choice(
        ["cut", "flip", "flip", "head", "head", "head", "tail", "zeros", "ones", "insert", "remove", "nest"]
    )
    end = len(changed)
    at, length = rng.randrange(end), rng.randrange(1, 64)
    if how == "cut":
        del changed[at:]
    elif how in ("flip", "head", "tail"):
        for _ in range(rng.choice([1, 1, 2, 8])):
            near = rng.randrange(min(head, end))
            place = {"flip": rng.randrange(end), "head": near, "tail": end - 1 - near}[how]
            changed[place] ^= 1 << rng.randrange(8)
    elif how in ("zeros", "ones"):
        changed[at : at + length] = (b"\0" if how == "zeros" else b"\xff") * len(changed[at : at + length])
    elif how == "insert":
        changed[at:at] = rng.randbytes(length)
    elif how == "remove":
        del changed[at : at + length]
    else:
        changed[at:at] = rng.choice([b"[", b'{"a":', b"(", b"]", b"\x85"]) * rng.choice([900, 100_000])
    return f"{how} at {at}", bytes(changed)


def change_json_file(content: Any, rng: Random) -> tuple[str, bytes]:
    """A JSON file with its content changed, or in one of seven cases its bytes."""
    if rng.random() < 1 / 7:
        return change_bytes(json.dumps(content).encode(), rng)
    change, changed = change_json(content, rng)
    return change, json.dumps(changed).encode("utf-8", "surrogatepass")
