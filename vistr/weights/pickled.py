"""The objects in pickles of weights: storages, tensors that are views of them, NumPy's arrays. All is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pickle import UnpicklingError
from typing import Any

import numpy as np

BFLOAT16 = "bfloat16"  # NumPy has none: read as raw 16 bits and widened
# What torch calls its dtypes, and its storages: `FloatStorage` holds float32.
DTYPES = {
    "Double": ("float64", "<f8"),
    "Float": ("float32", "<f4"),
    "Half": ("float16", "<f2"),
    "BFloat16": (BFLOAT16, "<u2"),
    "Long": ("int64", "<i8"),
    "Int": ("int32", "<i4"),
    "Short": ("int16", "<i2"),
    "Char": ("int8", "<i1"),
    "Byte": ("uint8", "<u1"),
    "Bool": ("bool", "?"),
    "ComplexFloat": ("complex64", "<c8"),
    "ComplexDouble": ("complex128", "<c16"),
}
BY_DTYPE = dict(DTYPES.values()) | {"uint16": "<u2", "uint32": "<u4", "uint64": "<u8"}
MAX_DIMENSIONS = 16
MOST_ARRAYS = 100_000  # of a file; with an optimizer's state a large network has some 10,000
_CODE = re.compile(r"[<>|=]?([biufc]\d{1,2}|\?)|O8?")


def is_size(value: Any) -> bool:
    """Whether it is a number that may count elements."""
    return type(value) is int and 0 <= value < 1 << 48


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file: its key there, NumPy's code of one number ("" where the tensor says it), and
    whether the numbers are bfloat16."""

    key: str
    code: str
    is_bfloat16: bool
    num_elements: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage; `offset` and `strides` count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """The memory its array takes."""
        return prod(self.shape) * (4 if self.storage.is_bfloat16 else np.dtype(self.storage.code).itemsize)

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor out of its storage's flat `numbers`; bfloat16 becomes float32. ValueError: it is not in them."""
        count = prod(self.shape)
        last = self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        if count and last >= len(numbers):
            raise ValueError("a tensor reaches past its stored numbers")
        if not count or self._is_contiguous():
            values = numbers[self.offset : self.offset + count].reshape(self.shape)
        else:
            places = np.array(self.offset)
            for side, step in zip(self.shape, self.strides, strict=True):
                places = places[..., None] + np.arange(side) * step
            values = numbers[places]
        return (values.astype(np.uint32) << 16).view(np.float32) if self.storage.is_bfloat16 else values

    def _is_contiguous(self) -> bool:
        expected = 1
        for side, step in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if side != 1 and step != expected:
                return False
            expected *= side
        return True


class DType:
    """`numpy.dtype` as a pickle makes it: "f8" and the like, or "O8" for objects."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise UnpicklingError("an array of what is no numbers")
        self.code = code

    def set_state(self, state: Any) -> None:
        """The byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">") and self.code[0] not in "<>|=O?":
            self.code = state[1] + self.code

    def numbers(self, data: Any) -> np.ndarray:
        """The numbers in `data`, bytes or (of objects) a list, as a flat array."""
        if self.code.startswith("O"):
            if not isinstance(data, list):
                raise UnpicklingError("objects that are no list")
            flat = np.empty(len(data), object)
            for place, one in enumerate(data):
                flat[place] = one
            return flat
        if not isinstance(data, bytes):
            raise UnpicklingError("an array of what is no bytes")
        return np.frombuffer(data, np.dtype(self.code))


class PickledArray:
    """A NumPy array as a pickle makes it; `value` is the array, None before its state is set."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        """Shape, dtype, order and numbers."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], DType):
            raise UnpicklingError("an invalid array")
        _, shape, dtype, by_columns, data = state
        self.value = dtype.numbers(data).reshape(_sizes(shape), order="F" if by_columns is True else "C")


def refuse_many(count: int) -> None:
    """ValueError where a file has more arrays than any network."""
    if count > MOST_ARRAYS:
        raise ValueError(f"{count:,} arrays, far more than any network has")


def storage_of(identifier: tuple[Any, ...]) -> Storage:
    """The storage that a reference `("storage", kind, key, device, number of elements, ...)` names."""
    if len(identifier) < 5 or not isinstance(identifier[1], str) or not isinstance(identifier[2], str):
        raise UnpicklingError("an invalid reference to a storage")
    kind, num_elements = identifier[1].removesuffix("Storage"), identifier[4]
    if kind not in (*DTYPES, "Untyped") or not is_size(num_elements):
        raise UnpicklingError("a storage of another kind")
    dtype, code = ("", "") if kind == "Untyped" else DTYPES[kind]
    return Storage(identifier[2], code, dtype == BFLOAT16, num_elements)


def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any, dtype: Any = None) -> StoredTensor:
    """A view of a storage, of its numbers' dtype or of another one. UnpicklingError: not one."""
    sides, steps = _sizes(shape), _sizes(strides)
    if not isinstance(storage, Storage) or not is_size(offset) or len(sides) != len(steps):
        raise UnpicklingError("an invalid tensor")
    if dtype is not None:
        if not isinstance(dtype, str) or dtype not in BY_DTYPE:
            raise UnpicklingError("a tensor of another kind")
        storage = Storage(storage.key, BY_DTYPE[dtype], dtype == BFLOAT16, storage.num_elements)
    if not storage.code:
        raise UnpicklingError("a tensor of numbers of no kind")
    return StoredTensor(storage, offset, sides, steps)


def encoded(text: Any, encoding: Any) -> bytes:
    """Text that stands for bytes."""
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise UnpicklingError("text in another encoding than latin1")
    return text.encode("latin1")


def scalar(dtype: Any, data: Any) -> Any:
    """One of NumPy's numbers."""
    if not isinstance(dtype, DType) or dtype.code.startswith("O"):
        raise UnpicklingError("an invalid number")
    return dtype.numbers(data)[0].item()


def _sizes(sides: Any) -> tuple[int, ...]:
    """Sizes, strides: a few numbers that are not negative. NumPy's own functions copy more than it has room for."""
    if not isinstance(sides, tuple | list) or len(sides) > MAX_DIMENSIONS or not all(is_size(side) for side in sides):
        raise UnpicklingError("a tensor of invalid sizes")
    return tuple(sides)
