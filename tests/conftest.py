"""What all tests share: hypothesis profiles, and markers that skip with the reason."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("EAGERFLOW_VERIFY", "1")  # every graph is checked after every pass
# Compiled kernels stay with the tree, so that a second run is quick and the user's own are left alone.
os.environ.setdefault("EAGERFLOW_CACHE", str(Path(__file__).resolve().parent.parent / ".kernels"))

import eagerflow as ef

# Ops times examples is what the suite's time goes into: a few of each at every run, seeds ever new.
hypothesis.settings.register_profile("default", max_examples=25, deadline=None, print_blob=True, derandomize=False)
hypothesis.settings.register_profile("thorough", max_examples=200, deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


def why_no_gpu() -> str | None:
    """Return why tests marked `cuda` cannot run here, or None."""
    if any(name.startswith("cuda:") for name in ef.devices.list()):
        return None
    return ef.devices.kinds()["cuda"].why_unavailable() or "no CUDA device"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not any("cuda" in item.keywords for item in items):
        return
    reason = why_no_gpu()
    if reason is not None:
        skip = pytest.mark.skip(reason=reason)
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def unchanged_settings() -> Iterator[None]:
    """Fail a test that leaves settings of the whole process behind."""
    before = (ef.asarray(0.0).dtype, len(ef.devices.list()), np.geterr())
    yield
    assert (ef.asarray(0.0).dtype, len(ef.devices.list()), np.geterr()) == before, "a test left a setting changed"


@pytest.fixture
def torch() -> object:
    """Give PyTorch, or skip: tests that compare with it carry the marker `reference`."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    import torch

    return torch
