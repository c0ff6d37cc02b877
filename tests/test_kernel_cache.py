"""Compiled kernels on disk: written once, found by the next process, compiled again when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eagerflow.capture.kernels import cache, scalar_math
from eagerflow.errors import MissingExtraError

ROOT = Path(__file__).resolve().parent.parent
SOURCE = """from eagerflow.capture.kernels.scalar_math import exp
def double(x, out):
    for i in range(out.size):
        out[i] = exp(x[i]) * 2.0
"""
X = np.linspace(-1, 1, 5)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give each test a cache of its own."""
    monkeypatch.setenv("EAGERFLOW_CACHE", str(tmp_path / "cache"))
    cache.forget()
    yield tmp_path / "cache" / "kernels"
    cache.forget()


@pytest.fixture
def numba() -> Any:
    return pytest.importorskip("numba", reason="numba is not installed: there are no compiled kernels")


def result(function: Any) -> Any:
    out = np.empty(5)
    function(X, out)
    return out


def counts(function: Any) -> tuple[int, int]:
    """Return how often a function was found on disk, and how often compiled."""
    return sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values())


def check(function: Any, hits: int, misses: int) -> None:
    np.testing.assert_allclose(result(function), 2 * np.exp(X), rtol=1e-15)
    assert counts(function) == (hits, misses)


def test_the_same_text_is_compiled_once(numba: Any) -> None:
    function = cache.load(SOURCE, "double")
    assert cache.load(SOURCE, "double") is function
    check(function, 0, 1)
    check(function, 0, 1)
    assert cache.load(SOURCE + "# other\n", "double") is not function
    assert cache.load(SOURCE, "double", noalias=True) is not function


PROGRAM = """
import sys
import numpy as np
from eagerflow.capture.kernels import cache
function = cache.load(sys.argv[1], "double", noalias=True, fastmath=["reassoc"])
x, out = np.linspace(-1, 1, 5), np.empty(5)
function(x, out)
np.testing.assert_allclose(out, 2 * np.exp(x), rtol=1e-15)
print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""


def process(where: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, SOURCE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "EAGERFLOW_CACHE": str(where)},
    )


def counted(running: subprocess.Popen[str]) -> str:
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, error
    return out.strip()


def test_a_second_process_compiles_nothing(numba: Any, tmp_path: Path) -> None:
    assert counted(process(tmp_path / "shared")) == "0 1"
    assert counted(process(tmp_path / "shared")) == "1 0"


def test_processes_share_a_cache_at_the_same_time(numba: Any, tmp_path: Path) -> None:
    first, second = process(tmp_path / "shared"), process(tmp_path / "shared")
    assert {counted(first), counted(second)} <= {"0 1", "1 0"}
    assert counted(process(tmp_path / "shared")) == "1 0"
    assert not list(tmp_path.rglob("*.part"))


def test_threads_get_one_function(numba: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        functions = set(pool.map(lambda _: cache.load(SOURCE, "double"), range(8)))
        assert len(functions) == 1
        for out in pool.map(lambda _: result(next(iter(functions))), range(8)):
            np.testing.assert_allclose(out, 2 * np.exp(X), rtol=1e-15)


def test_signatures_are_compiled_at_once_and_no_others(numba: Any) -> None:
    array = numba.types.Array(numba.float64, 1, "C")
    function = cache.load(SOURCE, "double", [(array, array)])
    assert counts(function) == (0, 1)
    check(function, 0, 1)
    with pytest.raises(TypeError, match="No matching definition"):
        function(X.astype(np.float32), np.empty(5, np.float32))


def damage_cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def damage_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def damage_all(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_cut, damage_bit, damage_all])
def test_a_damaged_file_is_compiled_again(numba: Any, folder: Path, damage: Any) -> None:
    result(cache.load(SOURCE, "double"))
    for file in folder.iterdir():
        damage(file)
    cache.forget()
    check(cache.load(SOURCE, "double"), 0, 1)
    cache.forget()
    check(cache.load(SOURCE, "double"), 1, 0)


def test_a_folder_that_cannot_be_written_is_no_error(
    numba: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EAGERFLOW_CACHE", str(tmp_path / "file"))
    check(cache.load(SOURCE, "double"), 0, 1)


def test_other_scalar_functions_make_other_kernels(numba: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.digest("text")
    assert cache.digest("text") == before != cache.digest("other text")
    cache._surroundings.cache_clear()
    monkeypatch.setattr(scalar_math, "fingerprint", lambda: "changed")
    assert cache.digest("text") != before
    cache._surroundings.cache_clear()


def test_arrays_that_do_not_overlap_are_told_to_the_compiler(numba: Any) -> None:
    source = "def move(x, out):\n    for i in range(out.size):\n        out[i] = x[i] + x[0]\n"
    told = []
    for noalias in (False, True):
        function = cache.load(source, "move", noalias=noalias)
        result(function)
        told.append(function.inspect_llvm(function.signatures[0]).count("noalias"))
    assert told[1] > told[0]


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.folder() == tmp_path / "cache" / "kernels"
    monkeypatch.delenv("EAGERFLOW_CACHE")
    for platform, variable, expected in (
        ("linux", "XDG_CACHE_HOME", tmp_path / "eagerflow" / "kernels"),
        ("win32", "LOCALAPPDATA", tmp_path / "eagerflow" / "kernels"),
        ("darwin", "XDG_CACHE_HOME", Path.home() / "Library" / "Caches" / "eagerflow" / "kernels"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv(variable, str(tmp_path))
        assert cache.folder() == expected


def test_without_numba_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingExtraError, match=r"eagerflow\[jit\]"):
        cache.load(SOURCE, "double")
    scalar_math.function.cache_clear()
    with pytest.raises(MissingExtraError, match=r"eagerflow\[jit\]"):
        scalar_math.function("exp")
