"""Configurations that others wrote: plain values, nothing looked up or executed, one sentence where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.at_once import at_once
from vistr.config.adopting import adopt_checkpoint
from vistr.config.compose import from_dict, load_config, to_dict
from vistr.config.stored import own_references, plain_config, read_yaml
from vistr.errors import MAX_SENTENCE, UserError, shortened


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"root": "ESCAPED/${oc.env:USER_SECRET,none}"}},
        {"dataset": {"root": "${outputs}/x"}},
        {"seed": "${oc.decode:${oc.env:HOME}}"},
        {"task": {"categories": ["${oc.env:HOME}"]}},
        {"seed": "???"},
        {"num_frames": "abc"},
        {"num_frames": [1, 2]},
        {"dataset": {"augmentation": {"resize_short": [[96]]}}},
        {"backbone": 3},
        {"no_such_key": 1},
        {"backbone": {"_target_": "os.system"}},
        {"seed": "x" * 500_000},
        {3: 4},
        {"seed": {"a": {"b": 1}}},
        {"outputs": 1j},
    ],
    ids=str,
)
def test_what_is_no_plain_value_of_the_schema_is_refused(changes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_SECRET", "hunter2")
    with pytest.raises(UserError) as caught:
        from_dict({**to_dict(load_config([])), **changes})
    assert len(str(caught.value)) <= MAX_SENTENCE
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("saved", [None, [], "seed: 3", 7, {"a": 1}])
def test_what_is_no_configuration_is_refused(saved: Any) -> None:
    with pytest.raises(UserError, match="The checkpoint's configuration"):
        plain_config(saved)


def test_deep_nesting_is_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(UserError, match="nested"):
        plain_config(deep)


def test_a_strangers_checkpoint_reads_no_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USER_SECRET", "hunter2")
    weights = tmp_path / "weights.safetensors"
    weights.touch()
    typed = ["task=evaluate", f"checkpoint={weights}"]
    config = load_config(typed)
    saved = to_dict(load_config([]))
    saved["dataset"]["root"] = "ESCAPED/${oc.env:USER_SECRET,none}"
    with pytest.raises(UserError, match="refers to"):
        adopt_checkpoint(config, saved, typed)


def test_references_to_keys_of_the_same_file_take_their_values_and_others_stay() -> None:
    config = {
        "outputs": "outputs",
        "seed": 7,
        "loop": "${loop}",
        "there": "${back}",
        "back": "${there}",
        "dataset": {"root": "${outputs}/data", "seed": "${seed}", "env": "${oc.env:HOME}", "section": "${dataset}"},
    }
    assert own_references(config)["dataset"] == {
        "root": "outputs/data",
        "seed": 7,
        "env": "${oc.env:HOME}",
        "section": "${dataset}",
    }


def test_references_that_multiply_stay_text() -> None:
    config = {f"k{i}": f"${{k{i + 1}}}" * 50 for i in range(30)} | {"k30": "x" * 1000}
    with at_once():
        assert len(str(own_references(config))) < 2_000_000


ALIASES = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*{'a' if i == 0 else f'b{i - 1}'}, *a]\n" for i in range(20))


@pytest.mark.parametrize(
    "content",
    [
        b"a: [",
        b"\xff\xfe",
        b"a: !!python/object/apply:os.system [echo]",
        ALIASES.encode(),
        b"[" * 50_000,
        b"a: 2020-13-45",
        b"x" * 200_000,
        b"{[]: 1}",
    ],
)
def test_a_file_that_is_no_plain_yaml_is_one_sentence_at_once(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with at_once(), pytest.raises(UserError, match=r"config\.yaml cannot be read") as caught:
        read_yaml(file)
    assert len(str(caught.value)) <= MAX_SENTENCE


def test_a_long_value_keeps_its_start_and_its_end() -> None:
    assert shortened("short") == "short"
    long = shortened("a" * 100 + "b" * 100, 40)
    assert len(long) == 40
    assert long.startswith("aaaa")
    assert long.endswith("bbbb")
