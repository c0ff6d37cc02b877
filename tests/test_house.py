"""The house: the order of its floors, its wheel, and how long the door takes to open."""

from __future__ import annotations

import ast
import graphlib
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "eagerflow"

FLOORS = {"errors": 0, "devices": 1, "core": 2, "ops": 3, "capture": 4}
USER_LEVEL = 5

# Whatever is imported inside a function must be one of these: the extras, which may be missing,
# and what is too slow to import before it is needed.
SLOW = {"concurrent", "opt_einsum"}
OPTIONAL = {
    "cupy",
    "cupyx",
    "llvmlite",
    "malt",
    "matplotlib",
    "numba",
    "onnx",
    "ray",
    "safetensors",
    "scipy",
    "sklearn",
    "starlette",
    "tensorboard",
    "threadpoolctl",
    "torch",
    "tqdm",
    "uvicorn",
    "zmq",
}


def modules() -> dict[str, Path]:
    """Return the modules of eagerflow by name."""
    found = {}
    for folder, _, files in os.walk(PACKAGE, followlinks=True):
        for file in files:
            if file.endswith(".py"):
                path = Path(folder, file)
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def floor(module: str) -> int:
    """Return the floor that a module is on."""
    parts = module.split(".")
    return FLOORS.get(parts[1], USER_LEVEL) if len(parts) > 1 else USER_LEVEL


def imports(path: Path, typing_too: bool) -> Iterator[tuple[str, int]]:
    """Give the modules that a file imports, with the line; those of eagerflow as precisely as can be."""
    for node, _, typing_only in walk(ast.parse(path.read_text()), False, False):
        if typing_only and not typing_too:
            continue
        yield from ((name, node.lineno) for name in imported(node))


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0, "imports name the whole way: eagerflow.…"
    assert node.module is not None
    return [inner if (inner := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names]


def walk(node: ast.AST, inside: bool, typing_only: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    """Give each import, whether it is inside a function, and whether only type checkers see it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside, typing_only
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            yield from walk(child, inside, True)
        else:
            yield from walk(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef), typing_only)


def ours(name: str) -> bool:
    """Tell whether a module is part of eagerflow."""
    return name.partition(".")[0] == "eagerflow"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_come_from_below(module: str) -> None:
    wrong = [
        f"{MODULES[module]}:{line} imports {name}"
        for name, line in imports(MODULES[module], typing_too=True)
        if (ours(name) and floor(name) > floor(module)) or name.partition(".")[0] in ("ops", "devices", "capture")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_functions_import_optional_dependencies_only(module: str) -> None:
    wrong = [
        f"{MODULES[module]}:{node.lineno} imports {name} inside a function"
        for node, inside, _ in walk(ast.parse(MODULES[module].read_text()), False, False)
        if inside
        for name in imported(node)
        if name.partition(".")[0] not in OPTIONAL | SLOW
    ]
    assert not wrong, "\n".join(wrong)


def test_there_are_no_circles() -> None:
    graph = {
        module: {name for name, _ in imports(path, typing_too=False) if ours(name) and name != module}
        for module, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_parts_of_the_house_are_relative_links() -> None:
    for part in ("ops", "devices", "capture"):
        if (ROOT / part).exists():  # a source distribution holds the folders themselves
            assert os.readlink(PACKAGE / part) == f"../{part}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the tree, and the source distribution with a wheel from that."""
    pytest.importorskip("build", reason="build is not installed")
    tree = tmp_path_factory.mktemp("tree") / "eagerflow"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=unwanted)
    out = tmp_path_factory.mktemp("built")
    for kind, where in (["--wheel"], "from_tree"), ([], "from_sdist"):
        run = subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", *kind, "--outdir", str(out / where), str(tree)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        assert run.returncode == 0, run.stdout + run.stderr
    return out


@pytest.mark.parametrize("where", ["from_tree", "from_sdist"])
def test_the_wheel_holds_one_package_with_real_folders(built: Path, where: str, tmp_path: Path) -> None:
    (wheel,) = (built / where).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        # Links would be entries without files below them.
        for part in ("ops", "devices", "capture", "core"):
            assert f"eagerflow/{part}/__init__.py" in names
        assert "eagerflow/py.typed" in names
        assert "eagerflow/capture/page/page.html" in names
        assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"eagerflow"}
        held = {name for name in names if name.endswith(".py")}
        assert held == {str(path.relative_to(ROOT)) for path in MODULES.values()}
        archive.extractall(tmp_path)
    program = (
        "import sys, importlib.util; sys.path.insert(0, sys.argv[1]); import eagerflow, eagerflow.capture; "
        "assert eagerflow.__file__.startswith(sys.argv[1]), eagerflow.__file__; "
        "assert not any(importlib.util.find_spec(n) for n in ('ops', 'devices', 'capture')); "
        "print(eagerflow.ops.__file__)"
    )
    run = subprocess.run([sys.executable, "-I", "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    (sdist,) = (built / "from_sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert not any(member.issym() or member.islnk() for member in archive.getmembers())
    for wanted in ("LICENSE", "Makefile", "README.md", "tests/test_house.py", "examples/digits.py", "docs/index.md"):
        assert wanted in names


def test_optional_dependencies_are_not_imported() -> None:
    program = "import sys, eagerflow; print([name for name in sys.argv[1:] if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program, *sorted(OPTIONAL)], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_import_time_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Timings on a busy machine prove nothing, so this one only speaks."""
    program = "import time, numpy; t = time.perf_counter(); import eagerflow; print(time.perf_counter() - t)"
    seconds = []
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
        seconds.append(float(run.stdout))
    with capsys.disabled():
        sys.stdout.write(f"\nimport eagerflow adds {statistics.median(seconds) * 1e3:.0f} ms to import numpy\n")
