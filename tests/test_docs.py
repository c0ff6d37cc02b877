"""What the documentation says is run: docstring examples, snippets in Markdown, links, the index of names."""

from __future__ import annotations

import contextlib
import doctest
import functools
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import eagerflow as ef
from eagerflow.core import op
from eagerflow.devices import registry as devices_registry
from eagerflow.devices.speed import calibration

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def all_modules() -> list[ModuleType]:
    """Import and return every module of eagerflow."""
    names = [info.name for info in pkgutil.walk_packages(ef.__path__, "eagerflow.")]
    return [ef, *(importlib.import_module(name) for name in names)]


def docstring_examples() -> dict[str, doctest.DocTest]:
    """Return the examples in docstrings, each docstring once, by the name of what it belongs to."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found: dict[str, doctest.DocTest] = {}
    seen: set[str] = set()
    for module in all_modules():
        tests = finder.find(module, module.__name__)
        for name, value in sorted(vars(module).items()):
            # Functions that a declaration made live in another module than the one that names them.
            if callable(value) and hasattr(value, "op") and getattr(value, "__name__", None) == name:
                tests += finder.find(value, f"{module.__name__}.{name}", module=False, globs={})
        for test in tests:
            if test.examples and test.docstring and test.docstring not in seen:
                seen.add(test.docstring)
                found[test.name] = test
    return found


EXAMPLES = docstring_examples()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of its own, and forget what an example registers: ops, device kinds, rates."""
    monkeypatch.chdir(tmp_path)
    for module, table in (op, "_registry"), (devices_registry, "_kinds"):
        monkeypatch.setattr(module, table, dict(getattr(module, table)))
    monkeypatch.setattr(calibration, "_measured", ({}, {}))


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_docstring_example(name: str) -> None:
    run(EXAMPLES[name])


def run(test: doctest.DocTest) -> None:
    """Run one example and fail with what doctest says."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def snippets(page: Path) -> list[tuple[int, str, str]]:
    """Return the Python snippets of a page: line, what the comment above it says, text."""
    text = page.read_text()
    pattern = re.compile(r"(?:<!-- file: (\S+) -->\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start(2)) + 1, m[1] or "", m[2]) for m in pattern.finditer(text)]


def flat(text: str) -> str:
    """Return the lines without their indentation, and without blank ones, which a formatter puts where it likes."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()) + "\n"


@pytest.mark.usefixtures("scratch")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_of_a_page_run_in_order(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__snippet__"}
    for line, source, text in snippets(page):
        if source:
            # An excerpt of a file that other tests run must be in it, word for word, if not as deep.
            assert flat(text) in flat((ROOT / source).read_text()), f"{page}:{line} is not what {source} says"
        elif ">>> " in text:
            test = doctest.DocTestParser().get_doctest(text, namespace, f"{page.name}:{line}", str(page), line)
            # `run` clears the copy that the test made of the namespace, so the names are kept first.
            test.globs = namespace
            runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
            said: list[str] = []
            runner.run(test, out=said.append, clear_globs=False)
            assert not runner.failures, "".join(said)
        else:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
            promised = re.findall(r"^print\(.*\)  # (.*)$", text, re.MULTILINE)
            assert printed.getvalue().splitlines() == promised, f"{page}:{line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t and not t.startswith("#")]
    missing = [target for target in targets if not (page.parent / target.partition("#")[0]).exists()]
    assert not missing


def public() -> Iterator[tuple[str, Any]]:
    """Give the functions and classes that users reach through eagerflow and its public modules."""
    for space in script("write_index").spaces():
        for name, value in script("write_index").public(space):
            if callable(value):
                yield f"{space.__name__}.{name}", value


def test_every_public_name_is_documented_with_an_example() -> None:
    bare = []
    for name, value in public():
        text = inspect.getdoc(value) or ""
        # Re-exported NumPy dtypes, errors and named tuples of results speak for themselves.
        ours = str(getattr(value, "__module__", "")).startswith("eagerflow")
        plain = inspect.isclass(value) and issubclass(value, Exception | tuple)
        if ours and not plain and ">>>" not in text:
            bare.append(name)
    assert not bare, f"without a runnable example: {sorted(set(bare))}"


@functools.cache
def script(name: str) -> Any:
    """Import a script of docs/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_index_of_names_is_current() -> None:
    written = (ROOT / "docs" / "reference" / "api.md").read_text()
    assert written == script("write_index").index(), "run: python docs/write_index.py"


def test_the_coverage_page_is_current() -> None:
    written = (ROOT / "docs" / "reference" / "coverage.md").read_text()
    assert written == script("write_coverage").page(), "run: python docs/write_coverage.py"
