"""A reader of pickles that executes nothing: tensors and plain containers come out, anything else is refused.

A pickle is a program that may call any function it names. Here it gets to name only what stands in `_Reader.find`:
constructors of our own that check what they are given, and containers of the standard library.
"""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np

from vistr.errors import UserError

BFLOAT16 = "bfloat16"  # NumPy has none: read as raw 16 bits and widened
# What torch calls its dtypes, and its storages: `FloatStorage` holds float32.
_DTYPES = {
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
_BY_DTYPE = dict(_DTYPES.values()) | {"uint16": "<u2", "uint32": "<u4", "uint64": "<u8"}


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

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor out of its storage's flat `numbers`, copied; bfloat16 becomes float32. ValueError: not in it."""
        last = self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        if prod(self.shape) and last >= len(numbers):
            raise ValueError(f"a tensor of {self.shape} reaches past its {len(numbers)} stored numbers")
        if not prod(self.shape):
            return np.zeros(self.shape, np.float32 if self.storage.is_bfloat16 else numbers.dtype)
        strides = tuple(step * numbers.itemsize for step in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False)
        if self.storage.is_bfloat16:
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.copy()


class _Inert:
    """What an object was, without its class: its attributes, and nothing that runs."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("attributes that are no dictionary")
        self.__dict__.update(state)


class _Constructor:
    """A function that a pickle may call, and cannot change."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"an attempt to replace {name}")


class _DType:
    """`numpy.dtype` as a pickle makes it: "f8" and the like, or "O8" for objects."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or code[:1] not in "biufcO":
            raise pickle.UnpicklingError(f"numbers of the kind {code!r}")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.code = state[1] + self.code

    def numbers(self, data: Any) -> np.ndarray:
        """The numbers in `data`, bytes or (of objects) a list, as a flat array."""
        if self.code.endswith("O8") or self.code.endswith("O"):
            flat = np.empty(len(data), object)
            flat[:] = data
            return flat
        return np.frombuffer(data, np.dtype(self.code))


class PickledArray:
    """A NumPy array as a pickle makes it; `value` is the array."""

    value: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, data = state
        self.value = dtype.numbers(data).reshape(shape, order="F" if by_columns else "C")


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes], path: Any, storages: Callable[[tuple[Any, ...]], Storage] | None) -> None:
        super().__init__(file, encoding="latin1")
        self._path, self._storages = path, storages
        # A class of this reader's own: whatever a pickle does to it ends with it.
        self._namespace = type("Namespace", (_Inert,), {})

    def find_class(self, module: str, name: str) -> Any:
        found = self.find(module.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core"), name)
        if found is None:
            raise UserError(
                f"{self._path} is not read: it asks for {module}.{name}, and only tensors and plain containers are"
                " taken from a pickle, as anything else could run code; ask its author for a state dict or safetensors"
            )
        return found

    def find(self, module: str, name: str) -> Any:
        """What a pickle gets for a name it may use, else None."""
        if module in ("torch", "torch.storage"):
            kind = name.removesuffix("Storage")
            if name.endswith("Storage") and (kind in _DTYPES or kind in ("Untyped", "Typed")):
                return _Constructor(_refuse(name)) if self._storages is None else name
            if module == "torch" and name in _BY_DTYPE:
                return name
        constructors: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("collections", "Counter"): _Constructor(lambda counts=(): dict(counts)),
            ("collections", "defaultdict"): _Constructor(lambda factory=None, *more: dict(*more)),
            ("builtins", "set"): _Constructor(set),
            ("builtins", "list"): _Constructor(list),
            ("builtins", "dict"): _Constructor(dict),
            ("builtins", "complex"): _Constructor(complex),
            ("argparse", "Namespace"): self._namespace,
            ("torch", "Size"): _Constructor(lambda sides=(): tuple(sides)),
            ("torch", "device"): _Constructor(lambda *parts: ":".join(str(part) for part in parts)),
            ("torch._utils", "_rebuild_tensor"): _Constructor(_tensor),
            ("torch._utils", "_rebuild_tensor_v2"): _Constructor(_tensor),
            ("torch._utils", "_rebuild_tensor_v3"): _Constructor(_tensor_of_dtype),
            ("torch._utils", "_rebuild_parameter"): _Constructor(lambda data, *_: data),
            ("torch._utils", "_rebuild_parameter_with_state"): _Constructor(lambda data, *_: data),
            ("_codecs", "encode"): _Constructor(_encode),
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): _Constructor(_DType),
            ("numpy.core.multiarray", "_reconstruct"): _Constructor(lambda *_: PickledArray()),
            ("numpy.core.multiarray", "scalar"): _Constructor(_scalar),
        }
        return constructors.get((module, name))

    def persistent_load(self, identifier: Any) -> Storage:
        if self._storages is None or not isinstance(identifier, tuple) or identifier[:1] != ("storage",):
            raise pickle.UnpicklingError(f"a reference to {identifier!r:.40}")
        return self._storages(identifier)


def read_pickle(file: IO[bytes], path: Any, storages: Callable[[tuple[Any, ...]], Storage] | None = None) -> Any:
    """The next pickle of `file`, made of plain containers, numbers, text, `StoredTensor` and `PickledArray`.

    `storages` turns a reference to a storage into a `Storage`; None: the file has no tensors. `path` is for the
    complaints. UserError: something that is not admitted, or a damaged pickle.
    """
    try:
        return _Reader(file, path, storages).load()
    except UserError:
        raise
    except Exception as error:  # whatever a broken or hostile pickle provokes
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UserError(f"{path} is damaged, or holds what is not read from a pickle: {reason}") from error


def storage_of(identifier: tuple[Any, ...]) -> Storage:
    """The storage that a reference `("storage", kind, key, device, number of elements, ...)` names."""
    _, kind, key, _, num_elements = identifier[:5]
    kind = str(kind).removesuffix("Storage")
    dtype, code = ("", "") if kind == "Untyped" else _DTYPES[kind]
    return Storage(str(key), code, dtype == BFLOAT16, int(num_elements))


def _tensor(storage: Storage, offset: int, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    sides, steps = tuple(int(side) for side in shape), tuple(int(step) for step in strides)
    if not isinstance(storage, Storage) or len(sides) != len(steps) or min((offset, *sides, *steps)) < 0:
        raise pickle.UnpicklingError("a tensor that is none")
    return StoredTensor(storage, int(offset), sides, steps)


def _tensor_of_dtype(
    storage: Storage, offset: int, shape: Any, strides: Any, gradient: Any, hooks: Any, dtype: str, *_: Any
) -> StoredTensor:
    typed = Storage(storage.key, _BY_DTYPE[dtype], dtype == BFLOAT16, storage.num_elements)
    return _tensor(typed, offset, shape, strides)


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return codecs.encode(text, "latin1")


def _scalar(dtype: _DType, data: bytes) -> Any:
    return dtype.numbers(data)[0].item()


def _refuse(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise pickle.UnpicklingError(f"a {name} outside a torch file")

    return refuse
