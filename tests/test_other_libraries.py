"""Code of others that takes arrays of any library takes Tensors, and its gradient is right."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
import library_cases

ROOT = Path(__file__).parents[1]

random = np.random.default_rng(1)
X, Y, Z = (random.standard_normal(shape) for shape in ((2, 6, 4), (4, 5), (5, 3)))


# --- SciPy and scikit-learn ---------------------------------------------------------------------


@functools.cache
def found(library: str) -> dict[str, str]:
    """Return what is wrong with each function of a library: SciPy asks for its setting when it is imported."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "library_cases.py", library],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCIPY_ARRAY_API": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    problems: dict[str, str] = json.loads(done.stdout)
    return problems


def names(library: str) -> list[Any]:
    """Return the names of the cases; one that skips where the library is missing."""
    if importlib.util.find_spec(library) is None:
        return [pytest.param("", marks=pytest.mark.skip(reason=f"{library} is not installed"))]
    return list(library_cases.scipy_cases() if library == "scipy" else library_cases.scikit_learn_cases())


@pytest.mark.parametrize("name", names("scipy"))
def test_scipy(name: str) -> None:
    assert not found("scipy")[name]


@pytest.mark.parametrize("name", names("sklearn"))
def test_scikit_learn(name: str) -> None:
    assert not found("sklearn")[name]


@pytest.mark.parametrize("library", ["scipy", "sklearn"])
def test_the_page_says_what_is_tested(library: str) -> None:
    page = (ROOT / "docs" / "how-to" / "other-libraries.md").read_text()
    for name in names(library):
        if isinstance(name, str):
            assert f"`{name.partition(',')[0].rpartition('.')[2]}`" in page, name


def test_the_example_runs() -> None:
    for library in ("scipy", "sklearn"):
        pytest.importorskip(library)
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "other_libraries.py"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCIPY_ARRAY_API": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "direction [0.8" in done.stdout
    first, last = re.findall(r"held out ([\d.]+)", done.stdout)
    assert float(last) < 0.98 * float(first)


def test_scipy_special_functions_that_leave_the_tape_say_so() -> None:
    special = pytest.importorskip("scipy.special")

    def through_numpy(x: Any) -> Any:
        return ef.sum(special.struve(0, x) + x)  # a ufunc that no op of ours answers for

    with pytest.raises(ef.errors.GradientError, match=r"through struve: .* without a gradient"):
        ef.grad(through_numpy)(ef.asarray([0.5, 1.5]))


# --- opt_einsum ---------------------------------------------------------------------------------


def test_opt_einsum_contracts_tensors() -> None:
    opt_einsum = pytest.importorskip("opt_einsum")

    def f(x: Any, y: Any, z: Any) -> Any:
        return opt_einsum.contract("abc,cd,de->be", x, y, z)

    made = f(*map(ef.asarray, (X, Y, Z)))
    assert isinstance(made, ef.Tensor)
    np.testing.assert_allclose(made.numpy(), f(X, Y, Z))
    ef.check_grads(f, [X, Y, Z], order=1)


def test_opt_einsum_expressions_take_tensors() -> None:
    opt_einsum = pytest.importorskip("opt_einsum")
    expression = opt_einsum.contract_expression("abc,cd,de->be", X.shape, Y.shape, Z, constants=[2])
    np.testing.assert_allclose(expression(ef.asarray(X), ef.asarray(Y)).numpy(), expression(X, Y))
    ef.check_grads(expression, [X, Y], order=1)


# --- einops -------------------------------------------------------------------------------------

EINOPS: dict[str, Callable[[Any, Any], Any]] = {
    "rearrange": lambda e, x: e.rearrange(x, "a (b k) c -> (c a) b k", k=2),
    "rearrange a list": lambda e, x: e.rearrange([x, 2 * x], "n a b c -> a b (n c)"),
    "reduce mean": lambda e, x: e.reduce(x, "a (b k) c -> b c", "mean", k=2),
    "reduce max": lambda e, x: e.reduce(x, "a b c -> b 1", "max"),
    "reduce prod": lambda e, x: e.reduce(x, "... c -> ...", "prod"),
    "repeat": lambda e, x: e.repeat(x, "a b c -> a (b 2) c d", d=3),
    "einsum": lambda e, x: e.einsum(x, x, "a b c, a d c -> b d"),
    "pack": lambda e, x: e.pack([x, x * x], "a * c")[0],
    "unpack": lambda e, x: e.unpack(x, [[2], [2, 2]], "a * c")[1],
}


@pytest.mark.parametrize("name", EINOPS)
def test_einops(name: str) -> None:
    einops = pytest.importorskip("einops")
    f = functools.partial(EINOPS[name], einops)
    made = f(ef.asarray(X))
    assert isinstance(made, ef.Tensor)
    np.testing.assert_allclose(made.numpy(), f(X))
    ef.check_grads(f, [X], order=2)


def test_einops_reads_tensors() -> None:
    einops = pytest.importorskip("einops")
    x = ef.asarray(X)
    assert einops.parse_shape(x, "a _ c") == {"a": 2, "c": 4}
    np.testing.assert_array_equal(einops.asnumpy(x), X)


@pytest.mark.parametrize("imports", ["einops, eagerflow", "eagerflow, einops", "einops._backends, eagerflow, einops"])
def test_einops_and_eagerflow_may_be_imported_in_any_order(imports: str) -> None:
    pytest.importorskip("einops")
    program = (
        f"import sys, {imports}; from einops import rearrange; "
        "print(rearrange(eagerflow.ones((2, 3)), 'a b -> b a').shape, "
        "[finder for finder in sys.meta_path if type(finder).__module__.startswith('eagerflow')])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "(3, 2) []", run.stdout + run.stderr


def test_einops_is_not_imported_by_eagerflow() -> None:
    program = "import sys, eagerflow; print('einops' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "False"
