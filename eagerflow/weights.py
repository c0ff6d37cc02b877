"""Weights in safetensors files: written atomically, and read all or nothing."""

from __future__ import annotations

import os
from typing import Any

import ml_dtypes
import numpy as np

from eagerflow.core import Variable, wrap
from eagerflow.errors import CheckpointError, DTypeError, MissingExtraError
from eagerflow.nn.module import walk

__all__ = ["load_weights", "save_weights"]

# The dtype codes of safetensors: https://github.com/huggingface/safetensors (the format's README).
_CODES = {
    "BOOL": np.dtype(np.bool_),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "C64": np.dtype(np.complex64),
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    **{f"I{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
}


def save_weights(path: str | os.PathLike[str], tree: Any) -> None:
    """Write the Variables of a model to a safetensors file.

    The file appears under its name when it is complete; until then an older one stays.

    Parameters
    ----------
    path : str or path
        The file; its folder exists.
    tree : Module, optimizer, Variable, or list, tuple or dict of such
        What to save. Names are paths of attributes, positions and keys: ``"layers.0.weight"``.
        A Variable that is in several places is written once, under the first of its names.

    Raises
    ------
    MissingExtraError
        The package safetensors is not installed.
    CheckpointError
        There is nothing to save, two Variables have one name, or the file cannot be written.
    DTypeError
        There is something else than Variables in the tree, or one of a dtype that the format lacks.

    Examples
    --------
    >>> import eagerflow as ef, tempfile, os
    >>> model = ef.nn.Linear(3, 2)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> ef.save_weights(path, {"model": model})
    >>> ef.load_weights(path, {"model": model})
    """
    _safetensors("save_weights")
    from safetensors.numpy import save

    path = os.fspath(path)
    arrays = {}
    for name, variable in _named(tree, "save_weights").items():
        if variable.dtype not in _CODES.values():
            raise DTypeError(f"save_weights: {name} has dtype {variable.dtype}, which safetensors files cannot hold")
        arrays[name] = np.ascontiguousarray(variable.numpy()).reshape(variable.shape)
    if not arrays:
        raise CheckpointError(f"save_weights: there is no Variable to write to {path}")
    # In the same folder, so that the last step is a renaming.
    unfinished = f"{path}.{os.urandom(4).hex()}.part"
    try:
        # Not save_file, whose files only their owner may read.
        with open(unfinished, "xb") as file:
            file.write(save(arrays, {"format": "eagerflow"}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise CheckpointError(f"save_weights: cannot write {path}: {error}") from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise CheckpointError(f"save_weights: cannot write {path}: {error}") from error
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def load_weights(path: str | os.PathLike[str], tree: Any) -> None:
    """Assign the weights of a safetensors file to the Variables of a model.

    Everything is checked before anything is assigned.

    Parameters
    ----------
    path : str or path
        The file.
    tree : Module, optimizer, Variable, or list, tuple or dict of such
        What to load into; names as for `save_weights`.

    Raises
    ------
    MissingExtraError
        The package safetensors is not installed.
    FileNotFoundError
        There is no such file.
    CheckpointError
        The file is damaged, or its names, shapes or dtypes are not those of the tree. The message
        lists the differences; all Variables are as they were.
    DTypeError
        There is something else than Variables in the tree.

    Examples
    --------
    >>> import eagerflow as ef, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> ef.save_weights(path, {"w": ef.Variable([1.0, 2.0])})
    >>> w = ef.Variable([0.0, 0.0])
    >>> ef.load_weights(path, {"w": w})
    >>> w
    Variable([1., 2.])
    """
    path = os.fspath(path)
    wanted = _named(tree, "load_weights")
    found = _read(path)
    problems = []
    missing = [name for name in wanted if name not in found]
    unexpected = sorted(name for name in found if name not in wanted)
    if missing:
        problems.append(f"missing in the file: {_list(missing)}")
    if unexpected:
        problems.append(f"not expected: {_list(unexpected)}")
    for name, variable in wanted.items():
        if name in found and (found[name].shape != variable.shape or found[name].dtype != variable.dtype):
            problems.append(f"{name}: expected {_spec(variable)}, got {_spec(found[name])}")
    if problems:
        raise CheckpointError(f"load_weights: {path} does not fit:\n  " + "\n  ".join(problems))
    # What can still fail (memory of a device) happens before the first assignment.
    values = [
        wrap(variable.device.kind.from_host(found[name], variable.device.index), variable.device)
        for name, variable in wanted.items()
    ]
    for variable, value in zip(wanted.values(), values, strict=True):
        variable._value = value


def _named(tree: Any, what: str) -> dict[str, Variable]:
    named: dict[str, Variable] = {}
    seen: set[int] = set()
    module_like = hasattr(tree, "named_variables")
    for name, leaf in tree.named_variables() if module_like else _walk_variables(tree, what):
        if id(leaf) in seen:
            continue
        seen.add(id(leaf))
        if name in named:
            raise CheckpointError(f"{what}: two Variables have the name {name!r}; rename a dict key")
        named[name or "value"] = leaf
    return named


def _walk_variables(tree: Any, what: str) -> list[tuple[str, Variable]]:
    """Return the Variables of a tree with their names, and refuse what is none outside of Modules."""
    pairs = []
    for name, item in walk(tree, stop_at_named=True):
        if isinstance(item, Variable):
            pairs.append((name, item))
        elif hasattr(item, "named_variables"):
            pairs.extend((f"{name}.{inner}", variable) for inner, variable in item.named_variables())
        else:
            raise DTypeError(f"{what}: expected Variables, Modules and optimizers, got {item!r:.60} at {name!r}")
    return pairs


def _read(path: str) -> dict[str, np.ndarray]:
    safetensors = _safetensors("load_weights")
    with open(path, "rb") as file:
        content = file.read()
    try:
        items = safetensors.deserialize(content)
        return {name: _array(name, item) for name, item in items}
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"load_weights: {path} ({len(content)} bytes) is damaged or no safetensors file: {error}"
        ) from error
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"load_weights: cannot read {path}: {error}") from error


def _array(name: str, item: dict[str, Any]) -> np.ndarray:
    dtype = _CODES.get(item["dtype"])
    if dtype is None:
        raise ValueError(f"{name} has the dtype {item['dtype']}, which is not known here")
    return np.frombuffer(item["data"], dtype).reshape(item["shape"])


def _safetensors(what: str) -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise MissingExtraError.of("safetensors", "io", what) from error
    return safetensors


def _spec(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
