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
from typing import TypeGuard

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "eagerflow"

FLOORS = {"errors": 0, "late": 0, "devices": 1, "core": 2, "ops": 3, "capture": 4}
USER_LEVEL = 5

# Whatever is imported inside a function must be one of these: the extras, which may be missing,
# what is too slow to import before it is needed (sysconfig reads a file of hundreds of settings),
# and the rooms of ours that only a captured function needs when it is called, timed or shown.
SLOW = {"concurrent", "opt_einsum", "sysconfig"}
LATE = {
    "eagerflow.capture.events",
    "eagerflow.capture.page",
    "eagerflow.capture.passes",
    "eagerflow.capture.profile",
    "eagerflow.capture.program",
}
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
    tree = ast.parse(path.read_text())
    for node, _, typing_only in walk(tree, False, False):
        if typing_only and not typing_too:
            continue
        yield from ((name, node.lineno) for name in imported(node))
    for table, line, _ in late_names(tree):
        yield from ((name, line) for name in table)


def late_names(tree: ast.AST) -> Iterator[tuple[dict[str, list[str]], int, dict[str, list[str]]]]:
    """Give what a file lets `late` load, by module, with the line, and what it tells type checkers in its place."""
    for node in ast.walk(tree):
        if is_typing_only(node):
            for call in (inner for statement in node.orelse for inner in ast.walk(statement)):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "late":
                    told = {inner.module: [a.name for a in inner.names] for inner in node.body}
                    yield ast.literal_eval(call.args[1]), call.lineno, told


def is_typing_only(node: ast.AST) -> TypeGuard[ast.If]:
    """Tell whether only type checkers see what is in the body of a statement."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


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
        elif is_typing_only(child):
            yield from walk(ast.Module(child.body, []), inside, True)
            yield from walk(ast.Module(child.orelse, []), inside, typing_only)
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
def test_functions_import_what_is_optional_or_late_only(module: str) -> None:
    wrong = [
        f"{MODULES[module]}:{node.lineno} imports {name} inside a function"
        for node, inside, _ in walk(ast.parse(MODULES[module].read_text()), False, False)
        if inside
        for name in imported(node)
        if name.partition(".")[0] not in OPTIONAL | SLOW and name not in LATE
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_one_thread_at_a_time_imports_what_is_late(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    alone = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and [ast.unparse(item.context_expr) for item in node.items] == ["loading"]
        for inner in ast.walk(node)
    }
    wrong = [
        f"{MODULES[module]}:{node.lineno} imports {', '.join(imported(node))} without holding `loading`"
        for node, inside, _ in walk(tree, False, False)
        if inside and node not in alone and any(ours(name) for name in imported(node))
    ]
    assert not wrong, "\n".join(wrong)


def test_threads_may_ask_at_the_same_time(tmp_path: Path) -> None:
    program = """
import os, sys, threading
import eagerflow as ef

sys.setswitchinterval(1e-5)
x = ef.ones(3)
f, g = ef.function(lambda x: ef.sum(ef.sin(x))), ef.function(lambda x: x * 2)
folder = sys.argv[1]


def traced():
    with ef.profiler.trace(os.path.join(folder, "trace")):
        pass


work = [
    traced,
    lambda: f(x),
    lambda: ef.capture.Profile,
    lambda: ef.capture.Memory,
    lambda: ef.capture.verify,
    lambda: ef.config.set_num_threads,
    lambda: ef.devices.rates("cpu:0"),
    lambda: ef.devices.ArrayAPIKind,
    lambda: ef.function(g.python_function, passes=["cse"]),
    lambda: f.get_concrete_function(x).save_html(os.path.join(folder, "page")),
    lambda: g.get_concrete_function(x).profile(x),
]
gate = threading.Barrier(len(work))


def run(what):
    gate.wait()
    what()
    done.append(what)


done = []
threads = [threading.Thread(target=run, args=(what,)) for what in work]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(done) == len(work)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    for _ in range(3):
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert run.returncode == 0, run.stderr


def test_type_checkers_are_told_of_late_names() -> None:
    for path in MODULES.values():
        for table, line, told in late_names(ast.parse(path.read_text())):
            assert table == told, f"{path}:{line}"


def late_of_packages() -> dict[str, dict[str, list[str]]]:
    """Return by module the names that it loads late, by the modules that define them."""
    found = {module: [table for table, _, _ in late_names(ast.parse(p.read_text()))] for module, p in MODULES.items()}
    return {module: tables[0] for module, tables in found.items() if tables}


def test_what_is_late_is_not_loaded_before_it_is_asked_for() -> None:
    late = LATE | {name for table in late_of_packages().values() for name in table}
    assert late <= set(MODULES), "what is not there is never loaded"
    program = "import sys, eagerflow; print([name for name in sys.argv[1:] if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program, *sorted(late)], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


@pytest.mark.parametrize("module", ["eagerflow.capture", "eagerflow.config", "eagerflow.devices"])
def test_late_names_are_there(module: str) -> None:
    names = [(home, name) for home, found in late_of_packages()[module].items() for name in found]
    program = (
        "import importlib, sys, pickle\n"
        f"module = importlib.import_module({module!r})\n"
        f"for home, name in {names!r}:\n"
        "    assert name in dir(module) and name in module.__all__ and name not in vars(module), name\n"
        "    value = getattr(module, name)\n"
        "    assert value is getattr(sys.modules[home], name) and vars(module)[name] is value, name\n"
        "    if isinstance(value, type):\n"
        "        assert pickle.loads(pickle.dumps(value)) is value, name\n"
        "assert not hasattr(module, 'no_such_name')\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr


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
