"""A reader of pickles that executes nothing: tensors and plain containers come out, anything else is refused.

A pickle is a program that may call any function it names. Here it gets to name only what stands in `_find`:
constructors of our own that check what they are given. It is read by Python's own reader in Python, of which the
instructions that make objects are replaced; what a pickle nests is never hashed, compared or shown.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import IO, Any

from vistr.errors import UserError, shortened
from vistr.weights.pickled import BY_DTYPE, DTYPES, DType, PickledArray, Storage, encoded, is_size, scalar, tensor

# Bytes and instructions of a pickle; a tensor takes some 200 bytes and 40 instructions, a network has some 1,000.
LARGEST, MOST_INSTRUCTIONS = 8 << 20, 1_200_000
Storages = Callable[[tuple[Any, ...]], Storage]


class _Inert:
    """An `argparse.Namespace`, without its class and its attributes: nothing of it is needed."""


class _Constructor:
    """A function that a pickle may call."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class _Instructions(dict[int, Callable[..., None]]):
    """What each instruction does; UnpicklingError where a pickle has far more of them than a network's takes."""

    left = MOST_INSTRUCTIONS

    def __getitem__(self, code: int) -> Callable[..., None]:
        self.left -= 1
        if self.left < 0:
            raise pickle.UnpicklingError(f"more than {MOST_INSTRUCTIONS:,} instructions, far more than weights take")
        return super().__getitem__(code)


_Base: Any = pickle._Unpickler


class _Reader(_Base):
    def __init__(self, file: IO[bytes], path: Any, storages: Storages | None) -> None:
        super().__init__(file, encoding="latin1")
        self._path, self._storages = path, storages
        self.dispatch = _Instructions(self.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        found = _find(module.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core"), name)
        if found is None or (self._storages is None and module.startswith("torch")):
            raise UserError(
                f"{self._path} is not read: it asks for {shortened(f'{module}.{name}')}, and only tensors and plain"
                " containers are taken from a pickle; ask its author for a state dict or safetensors"
            )
        return found

    def persistent_load(self, identifier: Any) -> Storage:
        if self._storages is None or not isinstance(identifier, tuple) or identifier[:1] != ("storage",):
            raise pickle.UnpicklingError("a reference to something that is no storage")
        return self._storages(identifier)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call without arguments")
        self.stack[-1] = _made(function, arguments)

    def load_newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if kind is not _Inert or arguments != ():
            raise pickle.UnpicklingError("an invalid object")
        self.append(_Inert())

    def load_build(self) -> None:
        state, owner = self.stack.pop(), self.stack[-1]
        if isinstance(owner, DType | PickledArray):
            owner.set_state(state)
        # A state dict carries its versions as attributes, which are not needed.
        elif not isinstance(owner, _Inert | dict) or not isinstance(state, dict):
            raise pickle.UnpicklingError("attributes of something that has none")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _dict(self.stack[-1])[_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _dict(self.stack[-1]).update(_pairs(zip(items[::2], items[1::2], strict=True)))

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(_pairs(zip(items[::2], items[1::2], strict=True)))

    def load_append(self) -> None:
        value = self.stack.pop()
        _list(self.stack[-1]).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        _list(self.stack[-1]).extend(items)

    # Sets are not needed, and would hash what they hold; the others make memory or objects of what a file says.
    _refused: tuple[str, ...] = ("EMPTY_SET", "ADDITEMS", "FROZENSET", "BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER")
    _refused += ("EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX")
    _ours = ("reduce", "newobj", "build", "setitem", "setitems", "dict", "append", "appends")
    dispatch = {code: method for code, method in _Base.dispatch.items()}  # noqa: C416, RUF012
    for _name in _refused:
        del dispatch[getattr(pickle, _name)[0]]
    for _name in _ours:
        dispatch[getattr(pickle, _name.upper())[0]] = locals()[f"load_{_name}"]


def read_pickle(file: IO[bytes], path: Any, storages: Storages | None = None) -> Any:
    """The next pickle of `file`, made of plain containers, numbers, text, `StoredTensor` and `PickledArray`.

    `file` must end within LARGEST bytes, or be mapped into memory: a pickle may ask for more than there is. `storages`
    turns a reference to a storage into a `Storage`; None: the file has no tensors. `path` is for the complaints.
    Raises UserError for what is not admitted, and for a damaged pickle.
    """
    try:
        return _Reader(file, path, storages).load()
    except UserError:
        raise
    except Exception as error:  # whatever a broken or hostile pickle provokes
        reason = shortened(error) or type(error).__name__
        raise UserError(f"{path} is damaged, or holds what is not read from a pickle: {reason}") from None


def _find(module: str, name: str) -> Any:
    """What a pickle gets for a name it may use, else None."""
    if module in ("torch", "torch.storage"):
        kind = name.removesuffix("Storage")
        if name.endswith("Storage") and (kind in DTYPES or kind in ("Untyped", "Typed")):
            return name
        if module == "torch" and name in BY_DTYPE:
            return name
    return _CONSTRUCTORS.get((module, name))


def _made(function: Any, arguments: tuple[Any, ...]) -> Any:
    if isinstance(function, _Constructor):
        return function.call(*arguments)
    raise pickle.UnpicklingError("a call of what is no function")


def _key(key: Any) -> Any:
    plain = (str, bytes, int, float, bool, type(None))
    if type(key) in plain or (type(key) is tuple and len(key) < 9 and all(type(one) in plain for one in key)):
        return key
    raise pickle.UnpicklingError("a dictionary whose keys are neither text nor numbers")


def _pairs(items: Iterable[Any] = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


def _dict(owner: Any) -> dict[Any, Any]:
    if type(owner) is not dict:
        raise pickle.UnpicklingError("items of what is no dictionary")
    return owner


def _list(owner: Any) -> list[Any]:
    if type(owner) is not list:
        raise pickle.UnpicklingError("items of what is no list")
    return owner


def _device(kind: Any = "", index: Any = None) -> str:
    if not isinstance(kind, str) or not (index is None or is_size(index)):
        raise pickle.UnpicklingError("an invalid device")
    return kind


def _complex(real: Any, imaginary: Any = 0.0) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise pickle.UnpicklingError("an invalid complex number")
    return complex(real, imaginary)


def _sequence(items: Any = ()) -> list[Any]:
    if not isinstance(items, list | tuple | dict):
        raise pickle.UnpicklingError("invalid items")
    return list(items)


_CONSTRUCTORS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Constructor(_pairs),
    ("collections", "Counter"): _Constructor(_pairs),
    ("collections", "defaultdict"): _Constructor(lambda factory=None, items=(): _pairs(items)),
    ("builtins", "set"): _Constructor(_sequence),
    ("builtins", "list"): _Constructor(_sequence),
    ("builtins", "dict"): _Constructor(_pairs),
    ("builtins", "complex"): _Constructor(_complex),
    ("argparse", "Namespace"): _Inert,
    ("torch", "Size"): _Constructor(lambda sides=(): tuple(_sequence(sides))),
    ("torch", "device"): _Constructor(_device),
    ("torch._utils", "_rebuild_tensor"): _Constructor(tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Constructor(tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Constructor(
        lambda storage, offset, shape, strides, gradient, hooks, dtype, *_: tensor(
            storage, offset, shape, strides, dtype=dtype
        )
    ),
    ("torch._utils", "_rebuild_parameter"): _Constructor(lambda data, *_: data),
    ("torch._utils", "_rebuild_parameter_with_state"): _Constructor(lambda data, *_: data),
    ("_codecs", "encode"): _Constructor(encoded),
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Constructor(DType),
    ("numpy.core.multiarray", "_reconstruct"): _Constructor(lambda *_: PickledArray()),
    ("numpy.core.multiarray", "scalar"): _Constructor(scalar),
}
