"""Invalid calls of every public function: only our own errors, never a traceback of NumPy's, a crash or a wrong answer.

A valid call is taken from the example in each function's docstring; one argument of it is then replaced by something
odd, or its arrays by arrays whose shapes do not fit. Calls are kept as text, so that a failure prints one to run.
"""

from __future__ import annotations

import ast
import doctest
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.core import numpy_functions

SPACES = {
    "ef": ef,
    "ef.linalg": ef.linalg,
    "ef.fft": ef.fft,
    "ef.special": ef.special,
    "ef.nn": ef.nn,
    "ef.random": ef.random,
    "ef.optim": ef.optim,
}
# They take functions, not arrays, or change how eagerflow works; their errors have tests of their own.
OTHERS = {
    "check_grads", "checkpoint", "custom_fixed_point", "custom_gradient", "custom_root", "device", "function", "grad",
    "hessian", "hvp", "jacobian", "jvp", "linearize", "load_weights", "print", "py_function", "save_weights",
    "set_default_dtype", "value_and_grad", "vjp", "vmap",
}  # fmt: skip
ODD = [
    "np.ones((2, 3))", "np.ones(3)", "np.ones(())", "np.ones(0)", "np.ones((2, 0, 3))", "np.ones((1, 1, 1, 1))",
    "np.ones((5, 4))", "np.arange(6).reshape(2, 3)", "np.array([1, -7])", "np.array([True, False])",
    "np.ones((2, 2), complex)", "np.ones(3, np.uint8)", "np.array(['a', 'b'])", "np.array([object()])",
    "np.array([np.nan, np.inf])", "np.array(['2020-01-01'], 'M8[D]')", "[[1.0], [1.0, 2.0]]", "None", "{}",
    "{'a': 1}", "'text'", "''", "b'bytes'", "object()", "{1, 2}", "len", "-1", "0", "1", "2", "7", "-9", "2**70",
    "-(2**70)", "1.5", "np.nan", "np.inf", "1j", "True", "False", "slice(1)", "...", "()", "(0, 0)", "(5,)", "(0, 1)",
    "(-1,)", "[0, 'a']", "((),)", "(None,)", "np.float32", "'float64'", "'int8'", "'complex128'", "np.dtype('M8[D]')",
    "ef",
]  # fmt: skip
# What they call is the user's, and so are its errors.
CALL_BACK = {
    "ef.apply_along_axis",
    "ef.apply_over_axes",
    "ef.fromfunction",
    "ef.mask_indices",
    "ef.nn.Conv2D",
    "ef.nn.Embedding",
    "ef.nn.Linear",
    "ef.pad",
    "ef.piecewise",
}
# Where we mean to differ from NumPy, and why.
DIFFERENT = {
    "ef.dsplit": "NumPy takes the length of the first axis for that of the third in nested lists",
    "ef.interp": "points that do not increase mean nothing",
    "ef.linalg.lstsq": "the shape of the residuals does not depend on the rank",
    "ef.linalg.tensorsolve": "for arrays of as many axes NumPy gives x all of them, not none",
    "ef.polymul": "leading zeros stay, so that the shape does not depend on values",
    "ef.unique_values": "NumPy gives them in no particular order",
}


@dataclass(frozen=True, repr=False)
class Call:
    """A valid call as text: what is called, with which arguments, and what their names mean."""

    name: str
    args: tuple[str, ...] = ()
    kwargs: dict[str, str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join([*self.args, *[f'{k}={v}' for k, v in self.kwargs.items()]])})"

    def values(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments, made anew."""
        return [self.value(a) for a in self.args], {k: self.value(v) for k, v in self.kwargs.items()}

    def value(self, text: str) -> Any:
        return eval(compiled(text), {"np": np, "ef": ef, **self.names})

    def with_argument(self, place: int | str, text: str) -> Call:
        if isinstance(place, int):
            return replace(self, args=(*self.args[:place], text, *self.args[place + 1 :]))
        return replace(self, kwargs={**self.kwargs, place: text})


@lru_cache(4096)
def compiled(text: str) -> Any:
    return compile(text, "argument", "eval")


def functions() -> Iterator[tuple[str, Any]]:
    for space, module in SPACES.items():
        for name in getattr(module, "__all__", dir(module)):
            value = getattr(module, name)
            if name.startswith("_") or inspect.isclass(value) or inspect.ismodule(value) or not callable(value):
                continue
            if isinstance(value, np.dtype) or name in OTHERS:
                continue
            yield f"{space}.{name}", value


def calls_in(text: str) -> Iterator[Call]:
    """Give the calls in the examples of a docstring."""
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(text):
        tree = ast.parse(example.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                kwargs = {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg}
                call = Call(ast.unparse(node.func), tuple(map(ast.unparse, node.args)), kwargs, dict(names))
                try:
                    call.values()
                except Exception:
                    continue
                yield call
        exec(compile(tree, "example", "exec"), names)


def collect() -> tuple[dict[str, Call], list[str]]:
    found = {call.name: call for call in BY_HAND}
    missing = []
    for name, function in functions():
        if name in found:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for call in calls_in(inspect.getdoc(function) or ""):
                    # Under another of its names, too.
                    if call.name == name or (call.name.startswith("ef.") and resolve(call.name) is function):
                        found[name] = replace(call, name=name)
                        break
                else:
                    missing.append(name)
        except Exception as error:
            missing.append(f"{name}: {error!r:.80}")
    return found, missing


def resolve(path: str) -> Any:
    value: Any = ef
    for part in path.split(".")[1:]:
        value = getattr(value, part, None)
    return value


# Their examples call something else.
BY_HAND = [
    Call("ef.getitem", ("[[1.0, 2.0], [3.0, 4.0]]", "0")), Call("ef.linalg.norm", ("[3.0, 4.0]",)),
    Call("ef.stop_gradient", ("[1.0, 2.0]",)),
]  # fmt: skip
CALLS, MISSING = collect()
NUMPY = {function: np_function for np_function, function in numpy_functions.items()}


def test_every_function_has_a_call_to_start_from() -> None:
    assert not MISSING


# --- calls made odd -----------------------------------------------------------------------------


def places(call: Call, function: Any) -> list[Any]:
    """Return what can be replaced or added: positions of arguments, and names of others."""
    try:
        named = list(inspect.signature(function).parameters.values())
    except ValueError:
        named = []
    count = len(call.args)
    # The next argument, if it has no name to be given by.
    more = [count] if count < len(named) and named[count].kind == inspect.Parameter.POSITIONAL_ONLY else []
    names = [p.name for p in named[count:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [*range(count), *more, *{**call.kwargs, **dict.fromkeys(names)}]


def is_array(value: Any) -> bool:
    """Tell whether an argument stands for an array, with axes."""
    if isinstance(value, ef.Tensor | ef.Variable | np.ndarray):
        return value.ndim > 0 and value.dtype.kind in "biufc"
    try:
        return isinstance(value, list) and np.asarray(value).dtype.kind in "biufc"
    except ValueError:
        return False


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and abs(value) < 2**63


@st.composite
def arrays(draw: st.DrawFn) -> str:
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    kind = draw(st.sampled_from(["float", "float", "float32", "int", "bool", "complex"]))
    return f"np.full({shape}, 2, '{kind}')"


@st.composite
def odd_calls(draw: st.DrawFn, call: Call, function: Any) -> Call:
    """Replace an argument by something odd, or all arrays by others."""
    given = [place for place in range(len(call.args)) if is_array(call.value(call.args[place]))]
    if given and draw(st.integers(0, 3)) == 0:
        for place in given:
            value = call.value(call.args[place])
            # A list of arrays to join, or an array.
            several = isinstance(value, list) and any(is_array(item) for item in value)
            parts = (
                [draw(arrays()) for _ in range(draw(st.integers(0, 3)))] if several and draw(st.booleans()) else None
            )
            call = call.with_argument(place, draw(arrays()) if parts is None else f"[{', '.join(parts)}]")
        return call
    free = places(call, function)
    return call.with_argument(draw(st.sampled_from(free)), draw(st.sampled_from(ODD))) if free else call


# --- what is expected ---------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return Tensors within a value as arrays."""
    if isinstance(value, ef.Tensor | ef.Variable):
        return value.numpy()
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


def check_against_numpy(call: Call, function: Any, result: Any) -> None:
    """Compare a result with NumPy's, where NumPy takes the call."""
    args, kwargs = call.values()
    try:
        expected = function(*[plain(a) for a in args], **{k: plain(v) for k, v in kwargs.items()})
    except Exception:
        return
    if not isinstance(expected, tuple | list):
        result, expected = [result], [expected]
    assert len(result) == len(expected), f"{call} gives {len(result)} results, NumPy {len(expected)}"
    for mine, theirs in zip(result, expected, strict=True):
        if (
            not isinstance(theirs, np.ndarray | np.generic | float | int)
            or np.asarray(theirs).dtype.kind not in "biufc"
        ):
            continue
        got = np.asarray(plain(mine))
        assert got.shape == np.shape(theirs), f"{call} has shape {got.shape}, NumPy's {np.shape(theirs)}"
        tolerance = 1e-6 if np.asarray(theirs).dtype.itemsize > 4 else 1e-2
        same = np.allclose(got, theirs, rtol=tolerance, atol=1e-12, equal_nan=True)
        assert same, f"{call} gives {got!r:.200}, NumPy {theirs!r:.200}"


def ours(error: BaseException, call: Call) -> bool:
    if isinstance(error, ef.errors.EagerflowError | np.linalg.LinAlgError):
        return bool(str(error))
    of_users = any(name in str(error) for name in ("<lambda>()", "len()", "function takes", "float32"))
    return call.name in CALL_BACK and isinstance(error, TypeError) and of_users


def attempt(call: Call, function: Any, other: Any = None) -> bool:
    """Run a call; it succeeds, as NumPy's `other` if that does too, or raises an error of ours."""
    args, kwargs = call.values()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            if not ours(error, call):
                raise AssertionError(f"{call} raises {type(error).__name__}: {error}") from error
            return False
        if other is not None:
            check_against_numpy(call, other, result)
    return True


@pytest.mark.parametrize("name", sorted(CALLS))
@given(data=st.data())
def test_invalid_calls_raise_our_errors_only(name: str, data: st.DataObject) -> None:
    function = resolve(name)
    call = data.draw(odd_calls(CALLS[name], function))
    attempt(call, function, None if name in DIFFERENT else NUMPY.get(function))


# --- classes -----------------------------------------------------------------------------------

VARIABLES = "[ef.Variable([1.0, 2.0])]"
CONSTRUCTORS = {
    "ef.nn.BatchNorm": ("3",), "ef.nn.Conv2D": ("2", "4", "3"), "ef.nn.Dropout": ("0.5",),
    "ef.nn.Embedding": ("3", "2"), "ef.nn.Flatten": (), "ef.nn.LSTM": ("3", "2"), "ef.nn.LayerNorm": ("3",),
    "ef.nn.Linear": ("3", "2"), "ef.nn.MaxPool2D": ("2",), "ef.nn.Module": (), "ef.nn.Sequential": ("ef.nn.relu",),
    "ef.optim.Adam": (VARIABLES,), "ef.optim.AdamW": (VARIABLES,), "ef.optim.DynamicLossScale": (),
    "ef.optim.LossScale": (), "ef.optim.Optimizer": (VARIABLES, "0.1"), "ef.optim.SGD": (VARIABLES, "0.1"),
}  # fmt: skip


def test_every_class_is_constructed() -> None:
    spaces = {"ef.nn": ef.nn, "ef.optim": ef.optim}
    classes = {
        f"{s}.{n}" for s, module in spaces.items() for n in module.__all__ if inspect.isclass(getattr(module, n))
    }
    assert classes == set(CONSTRUCTORS)
    for name, args in CONSTRUCTORS.items():
        assert attempt(Call(name, args), resolve(name))


@pytest.mark.parametrize("name", CONSTRUCTORS)
@given(data=st.data())
def test_invalid_constructions_raise_our_errors_only(name: str, data: st.DataObject) -> None:
    attempt(data.draw(odd_calls(Call(name, CONSTRUCTORS[name]), resolve(name))), resolve(name))


# --- transformations ----------------------------------------------------------------------------

X = "[ef.asarray([1.0, 2.0])]"
# What is called beside the function, and which arguments are replaced.
TRANSFORMATIONS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "ef.check_grads": ({"args": X}, ("seed", "step", "tolerance")),
    "ef.grad": ({}, ("argnums", "has_aux")),
    "ef.hessian": ({}, ("argnums", "chunk_size")),
    "ef.hvp": ({"primals": X, "vectors": X}, ("primals", "vectors")),
    "ef.jacobian": ({}, ("argnums", "mode", "chunk_size")),
    "ef.jvp": ({"primals": X, "tangents": X}, ("primals", "tangents")),
    "ef.value_and_grad": ({}, ("argnums", "has_aux")),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@given(data=st.data())
def test_invalid_arguments_of_transformations_raise_our_errors_only(name: str, data: st.DataObject) -> None:
    arguments, replaced = TRANSFORMATIONS[name]
    call = Call(name, (), arguments)
    call = call.with_argument(data.draw(st.sampled_from(replaced)), data.draw(st.sampled_from(ODD)))

    def run(**kwargs: Any) -> Any:
        made = resolve(name)(lambda *args: ef.sum(args[0] * args[0]) if args else ef.zeros(()), **kwargs)
        return made(ef.asarray([1.0, 2.0])) if callable(made) else made

    attempt(call, run)


# --- with Tensors and Variables, on a tape ------------------------------------------------------


@settings(max_examples=500)
@given(data=st.data())
def test_failed_calls_leave_inputs_and_the_tape_as_they_were(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CALLS)))
    call = data.draw(odd_calls(CALLS[name], resolve(name)))
    wrap = data.draw(st.sampled_from(["ef.asarray", "ef.Variable"]))
    for place, text in [*enumerate(call.args), *call.kwargs.items()]:
        if is_array(call.value(text)) or (is_number(call.value(text)) and data.draw(st.booleans())):
            call = call.with_argument(place, f"{wrap}({text})")
    args, kwargs = call.values()
    inputs = [x for x in (*args, *kwargs.values()) if isinstance(x, ef.Tensor | ef.Variable)]
    before = [x.numpy().copy() for x in inputs]
    probe = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(probe)
        for x in inputs:
            if isinstance(x, ef.Tensor) and x.dtype.kind in "fc":  # Variables are watched anyway
                tape.watch(x)
        worked = attempt(replace(call, args=(), kwargs={}), lambda: resolve(name)(*args, **kwargs))
        y = ef.sum(probe * probe)
    if not worked:
        for x, values in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(x.numpy(), values, err_msg=f"{call} changed its input")
    np.testing.assert_array_equal(tape.gradient(y, probe).numpy(), [2.0, 4.0], err_msg=str(call))


# --- methods ------------------------------------------------------------------------------------

RECEIVER = "[[4.0, -2.0], [1.0, 3.0]]"
# Methods that need arguments.
ARGUMENTS = {
    "__getitem__": ("0",), "__setitem__": ("0", "1.0"), "astype": ("'float32'",), "dot": ("[1.0, 2.0]",),
    "repeat": ("2",), "reshape": ("4",), "swapaxes": ("0", "1"), "take": ("[0]",), "to": ("'cpu:0'",),
    "to_device": ("'cpu:0'",), "transpose": ("(1, 0)",),  "clip": ("0.0", "1.0"),
    "__matmul__": ("[1.0, 2.0]",), "squeeze": (),
}  # fmt: skip
METHODS = sorted({*ARGUMENTS, *[n for n in dir(ef.Tensor) if n[0] != "_" and callable(getattr(ef.Tensor, n))]})


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
def test_invalid_calls_of_methods_raise_our_errors_only(name: str, data: st.DataObject) -> None:
    method = getattr(ef.asarray(eval(RECEIVER)), name)
    call = data.draw(odd_calls(Call(f"ef.asarray({RECEIVER}).{name}", ARGUMENTS.get(name, ())), method))
    attempt(call, method, getattr(np.array(eval(RECEIVER)), name, None))
