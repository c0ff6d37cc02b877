"""The page that shows a graph: what it is told, and what a browser makes of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import eagerflow as ef
from browser import Browser, find
from eagerflow.capture.graph import CONSTANT, PARAMETER, READ, Graph, Node
from eagerflow.capture.page import GraphView, PlanView, html, write
from eagerflow.capture.page.data import contents
from eagerflow.core import Spec, registry
from eagerflow.core.dims import Guards, symbol
from eagerflow.devices import CPU0
from page_graphs import WILD, Maker, Step, TwoDevices, large, wild


def nodes(view: GraphView) -> list[dict[str, Any]]:
    """Return the nodes that the page is told of."""
    found: list[dict[str, Any]] = contents(view)["nodes"]
    return found


def test_costs_are_those_of_the_ops() -> None:
    step = Step()
    x, weights, matmul, group, tanh, times, add, total, *_, assign = nodes(step.view)
    assert (x["flops"], x["bytes"]) == (weights["flops"], weights["bytes"]) == (0, 0)
    assert (matmul["flops"], matmul["bytes"]) == registry()["matmul"].cost(step.x.spec, step.read.spec)
    assert matmul["flops"] == 2 * 32 * 64 * 16
    h = step.product.spec
    inner = [registry()[name].cost(h, *more)[0] for name, *more in (("tanh",), ("multiply", 2.0), ("add", h))]
    assert [tanh["flops"], times["flops"], add["flops"]] == inner
    assert group["flops"] == sum(inner)
    # The group reads its one input once and writes its result; apart, 3 ops read 4 arrays and write 3.
    assert (group["bytes"], group["unfused"]) == (2 * 2048, 7 * 2048)
    assert total["bytes"] == 2048 + 4
    assert (assign["flops"], assign["bytes"]) == (0, 2 * 64 * 16 * 4)


def test_edges_lead_into_a_fused_group_and_out_of_it() -> None:
    told = contents(Step().view)
    names = [f"{i}:{node['op']}" for i, node in enumerate(told["nodes"])]
    edges = {(names[a], names[b]) for a, b, *_ in told["edges"]}
    assert ("2:matmul", "4:tanh") in edges and ("2:matmul", "6:add") in edges and ("6:add", "7:sum") in edges
    assert not any("3:fused" in edge for edge in edges)
    assert [told["nodes"][i]["inside"] for i in (4, 5, 6)] == [3, 3, 3]
    assert told["nodes"][5]["inputs"] == [[4, 0], "2.0"]


def test_a_read_without_a_scope_is_shown_with_those_that_use_it() -> None:
    make = Maker()
    value = ef.Variable(1.0, name="scale")
    scale = make.node(READ, (), {"variable": value}, [Spec((), "float64")]).outputs[0]
    zero = make.node(CONSTANT, (), {"value": ef.zeros(()).numpy()}, [Spec((), "float64")]).outputs[0]
    a = make.op("add", scale, zero, scope="model/first/norm")
    b = make.op("add", scale, a, scope="model/second")
    read, constant, *_ = nodes(GraphView(Graph("f", [], [b], make.nodes)))
    assert (read["scope"], constant["scope"]) == ("model", "model/first/norm")
    assert constant["attrs"] == {"value": "float64[]: 0."}


def test_lifetimes_go_from_the_step_that_makes_a_value_to_the_last_that_takes_it() -> None:
    step = Step()
    plan = contents(step.view)["plan"]
    assert plan["steps"] == [2, 3, 7, 8, 9]
    where = {number: (place, first, last) for number, _, place, first, last in plan["places"]}
    assert where[2] == (0, 0, 1)
    assert where[3] == (1, 1, 2)
    assert where[7] == ("output", 2, 4)  # a result is kept to the end
    assert where[8] == (0, 3, 4)
    assert (plan["peak"], plan["without"], plan["buffers"]) == (6144, 8196, [4096, 2048])


def test_lifetimes_that_the_plan_knows_are_taken() -> None:
    step = Step()
    assert step.view.plan is not None
    known = PlanView([step.product.node], {step.product: 0}, [2048], 1, 1, {step.product: (3, 9)})
    assert contents(GraphView(step.graph, plan=known))["plan"]["places"] == [[2, 0, 0, 3, 9]]


def test_symbolic_lengths_are_shown_as_they_are_and_counted_by_their_sizes() -> None:
    make = Maker()
    guards = Guards()
    n = symbol("n", 4, guards)
    x = make.parameter("x", n, 8)
    y = make.op("tanh", x)
    graph = Graph("f", [x], [y], make.nodes)
    seen, given = contents(GraphView(graph)), contents(GraphView(graph, sizes={"n": 100}))
    for told, size in (seen, 4), (given, 100):
        assert told["sizes"] == {"n": size}
        assert told["nodes"][1]["outputs"][0]["shape"] == ["n", 8]
        assert told["nodes"][1]["outputs"][0]["bytes"] == size * 32
        assert (told["nodes"][1]["flops"], told["nodes"][1]["bytes"]) == registry()["tanh"].cost(
            Spec((size, 8), "float32")
        )
    assert not len(guards), "looking at a graph leaves no guard"


def test_a_cost_that_cannot_be_told_is_unknown() -> None:
    spec = Spec((2,), "float32")
    x = Node(PARAMETER, (), {"name": "x"}, [(spec, CPU0)])
    odd = Node(registry()["tanh"], x.outputs, {"no_such_attribute": 1}, [(spec, CPU0)])
    bad = Node(registry()["matmul"], [x.outputs[0], 3.0], {}, [(spec, CPU0)])
    view = GraphView(Graph("f", x.outputs, bad.outputs, [x, odd, bad]), {odd: float("nan")})
    assert (nodes(view)[2]["flops"], nodes(view)[2]["bytes"], nodes(view)[1]["time"]) == (None, None, None)


def test_the_page_refers_to_nothing_outside() -> None:
    page = html(Step().view)
    assert set(re.findall(r"\w+://[^\s\"'`<>]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert re.findall(r"""(?:src|href)\s*=\s*["'][^"']*""", page) == ['href="data:,']
    assert "@import" not in page and "url(" not in page and "import(" not in page
    assert "default-src 'none'" in page
    assert "{{" not in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give a Chromium, or skip."""
    program = find()
    if program is None:
        pytest.skip("there is no Chromium on PATH to open the page in")
    with Browser(program, tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """Give a function that opens a page; what it does not take is an error in the page, or a request of it."""

    def open_page(view: GraphView) -> Browser:
        browser.dark(False)
        page = tmp_path / "page.html"
        write(page, view)
        browser.open(page)
        return browser

    yield open_page
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [(tmp_path / "page.html").as_uri()]


def items(browser: Browser) -> set[str]:
    """Return the ids of what is drawn."""
    return set(browser.run("[...document.querySelectorAll('.item')].map((e) => e.dataset.id)"))


def told(browser: Browser, selector: str = "#panel") -> dict[str, str]:
    """Return the table of details: what is written beside each name."""
    names = f"[...document.querySelectorAll('{selector} dt')]"
    script = f"Object.fromEntries({names}.map((e) => [e.textContent, e.nextSibling.textContent]))"
    found: dict[str, str] = browser.run(script)
    return found


def test_a_small_graph_starts_with_scopes_unfolded_and_groups_folded(show: Any) -> None:
    step = Step()
    flops = sum(node["flops"] for node in nodes(step.view) if node["inside"] is None)
    page = show(step.view)
    scopes = {"s:model", "s:model/dense", "s:loss", "s:optimizer"}
    assert items(page) == scopes | {"n0", "n1", "n2", "n3", "n7", "n8", "n9"}
    assert page.text("h1") == "step"
    assert page.text("#summary") == (
        f"7 nodes · 1 fused group · {flops / 1e3:.1f} kFLOP · 36.9 kB moved · 5.00 ms in nodes · "
        "peak 6.14 kB (8.20 kB without reuse)"
    )


def test_scopes_fold_and_unfold(show: Any) -> None:
    page = show(Step().view)
    page.click("[data-id='s:model'] .toggle")
    assert "s:model" in items(page) and not {"s:model/dense", "n2", "n3"} & items(page)
    page.click("[data-id='s:model'] .toggle")
    assert {"s:model/dense", "n2", "n3"} <= items(page)
    page.click("#fold")
    assert items(page) == {"n0", "n1", "s:model", "s:loss", "s:optimizer"}
    page.click("[data-id='s:optimizer']", count=2)
    assert {"n8", "n9"} <= items(page)
    page.click("#unfold")
    assert {"n4", "n5", "n6"} <= items(page)


def test_a_folded_scope_shows_the_sums_of_what_is_in_it(show: Any) -> None:
    step = Step()
    page = show(step.view)
    page.click("#fold")
    page.click("[data-id='s:model']")
    product, group = nodes(step.view)[2:4]
    details = told(page)
    assert details["FLOPs"] == f"{(product['flops'] + group['flops']) / 1e3:.1f} kFLOP"
    assert details["Bytes moved"] == f"{(product['bytes'] + group['bytes']) / 1e3:.1f} kB"
    assert details["Time"] == "4.00 ms80%"
    assert (
        page.run("document.querySelector(`[data-id='s:model'] .small`).textContent") == f"2 nodes · {details['FLOPs']}"
    )
    assert page.text("[data-id='s:model'] .side") == "4.00 ms"
    # Edges of what is inside end at the scope: from x, from the Variable, to the loss.
    assert page.run("document.querySelectorAll('.edge.into').length") == 2
    assert page.run("document.querySelectorAll('.edge.out').length") == 1
    marked = "[...document.querySelectorAll('.item.%s')].map((e) => e.dataset.id)"
    assert set(page.run(marked % "feeds")) == {"n0", "n1"}
    assert page.run(marked % "takes") == ["s:loss"]


def test_details_of_a_node(show: Any) -> None:
    step = Step()
    page = show(step.view)
    page.click("[data-id='n2']")
    details = told(page)
    cost = registry()["matmul"].cost(step.x.spec, step.read.spec)
    wanted = {
        "Op": "matmul", "Scope": "model/dense", "Node": "2, step 0", "Shape": "[32, 16]", "Dtype": "float32",
        "Memory": "2.05 kB", "Device": "cpu:0", "Lives in": "buffer 0", "Steps": "0 to 1", "Time": "3.00 ms60%",
        "FLOPs": "65.5 kFLOP", "Bytes moved": f"{cost[1] / 1e3:.1f} kB", "Rate": "21.8 MFLOP/s",
    }  # fmt: skip
    assert {key: details[key] for key in wanted} == wanted
    assert page.text("#panel pre.line") == "model.py:7: h = x @ self.weights"
    assert page.run("document.querySelector(`#panel dd[title='65,536']`).textContent") == "65.5 kFLOP"
    page.click("#panel [data-goto='n0']")
    assert page.text("#panel h2") == "x"
    assert page.run("document.querySelector('.item.selected').dataset.id") == "n0"


def test_a_fused_group_shows_its_operations_and_its_kernel(show: Any) -> None:
    page = show(Step().view)
    page.click("[data-id='n3']")
    assert page.text("#panel h2") == "fused tanh … add"
    assert page.text("#panel pre.source") == "def kernel(a, out):\n    out[:] = 2 * tanh(a) + a  # <b>fast</b>"
    assert (told(page)["Bytes moved"], told(page)["if not fused"]) == ("4.10 kB", "14.3 kB")
    page.click("#flip")
    assert {"n4", "n5", "n6"} <= items(page)
    page.click("[data-id='n5']")
    assert told(page)["Op"] == "multiply"
    assert page.text("#panel .crumbs") == "model/dense/fused tanh … add"


def test_a_returned_node_says_so_and_attributes_are_shown(show: Any) -> None:
    page = show(Step().view)
    page.click("[data-id='n7']")
    details = told(page)
    assert (details["Returned as"], details["axis"], details["keepdims"]) == ("result 0", "(0, 1)", "False")
    assert details["Lives in"] == "memory of the result"
    page.click("[data-id='n9']")
    assert told(page)["variable"] == "weights: float32[64, 16]"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("matmul", [2]), ("MODEL.PY:9", [3, 5]), ("32x16", [2, 3, 4, 5, 6]), ("[32, 16] tanh", [4]),
        ("weights", [1, 2, 9]), ("optimizer", [8, 9]), ("fused", [3]), ("nothing like it", []),
    ],
)  # fmt: skip
def test_search(show: Any, query: str, found: list[int]) -> None:
    page = show(Step().view)
    page.click("#fold")
    page.press("/")
    page.type(query)
    assert page.text("#found") == (str(len(found)) if found else "none")
    for i, number in enumerate(found):
        page.press("Enter")
        assert page.text("#found") == f"{i + 1} of {len(found)}"
        assert told(page)["Node"].split(",")[0] == str(number)
        assert f"n{number}" in items(page), "what it is in has been unfolded"
    if len(found) > 1:
        page.press("Enter", shift=True)
        assert told(page)["Node"].split(",")[0] == str(found[-2])
        page.click("#next")
        assert told(page)["Node"].split(",")[0] == str(found[-1])


def test_keys(show: Any) -> None:
    page = show(Step().view)
    page.click("#fold")
    page.run("document.querySelector('#canvas').focus()")
    page.click("[data-id='s:model']")
    page.press("ArrowDown")
    assert page.text("#panel h2") == "loss"
    page.press("ArrowUp")
    assert page.text("#panel h2") == "model"
    expanded = "document.querySelector(`[data-id='s:model']`).getAttribute('aria-expanded')"
    assert page.run(expanded) == "false"
    page.press("Enter")
    assert "s:model/dense" in items(page)
    assert page.run(expanded) == "true"
    assert page.run("document.querySelector('#canvas').getAttribute('aria-activedescendant')") == "s:model"
    page.press("Enter")
    assert "s:model/dense" not in items(page)
    page.press("Escape")
    assert page.text("#panel h2") == "The whole graph"


def test_the_table_lists_the_slowest_first_and_can_be_sorted(show: Any) -> None:
    page = show(Step().view)
    page.click("#tab-table")
    order = "[...document.querySelectorAll('#table tbody tr')].map((e) => Number(e.dataset.node))"
    assert page.run(order)[:2] == [2, 3]
    page.click("#table th:first-child button")
    page.click("#table th:first-child button")
    assert page.run(order) == [0, 1, 2, 3, 7, 8, 9]
    page.click("#query")
    page.type("optimizer")
    assert page.run(order) == [8, 9]
    page.click("#table tbody .link")
    assert page.run("document.querySelector('#graph').hidden") is False
    assert page.run("document.querySelector('.item.selected').dataset.id") == "n8"


def test_the_buffer_plan(show: Any) -> None:
    page = show(Step().view)
    page.click("#tab-memory")
    figures = (
        "[...document.querySelectorAll('#memory .figures div')].map((e) => [...e.children].map((c) => c.textContent))"
    )
    assert page.run(figures) == [
        ["6.14 kB", "peak, with reuse"], ["8.20 kB", "peak, without reuse"], ["25% less", "saved by reuse"],
        ["2", "buffers"], ["8.19 kB", "1 input"], ["4.10 kB", "1 variable"],
    ]  # fmt: skip
    bars = page.run("[...document.querySelectorAll('[data-bar]')].map((e) => e.getAttribute('aria-label'))")
    assert bars == [
        "matmul, steps 0 to 1",
        "multiply, steps 3 to 4",
        "fused tanh … add, steps 1 to 2",
        "sum, steps 2 to 4",
    ]
    page.click("[data-bar='8']")
    assert told(page)["Lives in"] == "buffer 0"
    wide = "document.querySelector(`[data-bar='%d'] rect`).getBoundingClientRect().%s"
    assert page.run(wide % (2, "right")) < page.run(wide % (8, "left"))


def test_without_times_and_plan(show: Any) -> None:
    page = show(GraphView(Step().graph))
    assert "in nodes" not in page.text("#summary") and "peak" not in page.text("#summary")
    assert page.run("[...document.querySelector('#colour').options].map((e) => e.value)") == ["class", "device"]
    page.click("[data-id='n2']")
    assert not {"Time", "Lives in", "Rate"} & set(told(page))
    page.click("#tab-memory")
    assert page.text("#memory") == "There is no buffer plan in this page."


def test_an_empty_graph(show: Any) -> None:
    page = show(GraphView(Graph("empty", [], [], [])))
    assert page.text("#summary") == "0 nodes · 0 FLOP · 0 B moved"
    for tab in ("table", "memory", "graph"):
        page.click(f"#tab-{tab}")
    assert items(page) == set()


def test_colours(show: Any) -> None:
    page = show(Step().view)
    fill = "getComputedStyle(document.querySelector(`[data-id='n%d'] .body`)).fill"
    slow, untimed = page.run(fill % 2), page.run(fill % 0)
    assert slow != untimed
    page.run("document.querySelector('#colour').value = 'device'")
    page.run("document.querySelector('#colour').dispatchEvent(new Event('change'))")
    page.settle()
    assert page.run(fill % 2) == page.run(fill % 0)
    assert page.text("#legend") == "cpu:0"


def test_dark_where_the_reader_prefers_it(show: Any) -> None:
    page = show(Step().view)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.run(ground)
    page.dark(True)
    assert page.run(ground) != light


def test_text_is_never_read_as_markup(show: Any) -> None:
    page = show(wild())
    assert page.run("window.hacked") is None
    assert page.text("h1") == page.run("document.title").removesuffix(" – captured graph") == WILD[0]
    page.click("#unfold")
    for number, name in enumerate(WILD, 1):
        page.run("document.querySelector('#query').value = ''")
        page.click("#query")
        page.type(name.replace("\ud800", "").replace("\u2028", " "))
        assert page.text("#found") != "none", name
        page.press("Enter")
        if number != 1:  # the first name is that of the argument too
            assert page.text("#panel pre.line").startswith("f.py:1: ")
    page.click("#tab-table")
    page.run("document.querySelector('#query').value = ''")
    assert page.run("document.querySelectorAll('b, script:not(#data)').length") == 1
    assert page.run("window.hacked") is None


def test_two_thousand_nodes(show: Any) -> None:
    graph = large()
    assert len(graph) == 2001
    page = show(GraphView(graph))
    assert 1 < len(items(page)) <= 30
    page.click("[data-id='s:block0']")
    per_block = sum(registry()["matmul"].cost(*[graph.nodes[0].outputs[0].spec] * 2)[0] for _ in range(25)) + 75 * 64
    assert told(page)["FLOPs"] == f"{per_block / 1e3:.1f} kFLOP"
    page.click("#unfold")
    page.click("#fit")
    assert len(items(page)) == 2001 + 20 + 80
    page.click("#query")
    page.type("block19/part3 matmul")
    page.press("Enter")
    assert told(page)["Scope"] == "block19/part3"
    page.click("#tab-table")
    assert page.run("document.querySelectorAll('#table tbody tr').length") == int(page.text("#found").split()[-1])


@pytest.mark.parametrize("view", [Step().view, wild(), GraphView(large(3, 60))], ids=["step", "wild", "large"])
def test_boxes_stand_apart_and_inside_what_holds_them(show: Any, view: GraphView) -> None:
    page = show(view)
    page.click("#unfold")
    page.click("#fit")
    script = """[...document.querySelectorAll('.item')].map((e) => {
        const r = e.querySelector('.body, .ground').getBoundingClientRect();
        return [e.dataset.id, r.left, r.top, r.right, r.bottom];
    })"""
    boxes = {name: place for name, *place in page.run(script)}
    told_nodes = nodes(view)

    def parent(name: str) -> str:
        if name.startswith("s:"):
            return name.rpartition("/")[0]
        node = told_nodes[int(name[1:])]
        return f"n{node['inside']}" if node["inside"] is not None else f"s:{node['scope']}" if node["scope"] else ""

    siblings: dict[str, list[str]] = {}
    for name in boxes:
        siblings.setdefault(parent(name), []).append(name)
    for holder, names in siblings.items():
        for i, name in enumerate(names):
            a = boxes[name]
            if holder in boxes:
                b = boxes[holder]
                assert b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3], (name, holder)
            for other in names[:i]:
                b = boxes[other]
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (name, other)


def test_scopes_that_are_entered_again_are_drawn_with_edges_back(show: Any) -> None:
    make = Maker()
    x = y = make.parameter("x", 2)
    for i in range(6):
        y = make.op("tanh", y, scope="ab"[i % 2])
    page = show(GraphView(Graph("f", [x], [y], make.nodes)))
    page.click("#fold")
    assert items(page) == {"n0", "s:a", "s:b"}
    assert page.run("document.querySelectorAll('.edge').length") == 3  # x to a, a to b, b to a
    page.click("#unfold")
    assert len(items(page)) == 9


def test_a_captured_function_with_its_profile(browser: Browser, tmp_path: Path) -> None:
    weights = ef.Variable(ef.ones((64, 8)), name="weights")

    @ef.function
    def step(x: ef.Tensor) -> ef.Tensor:
        with ef.name_scope("model"):
            h = ef.tanh(x @ weights)
        weights.assign_sub(0.1 * ef.mean(h))
        return ef.mean(h)

    concrete = step.get_concrete_function(ef.ones((32, 64)))
    concrete.profile(ef.ones((32, 64)))
    concrete.save_html(tmp_path / "step.html")
    browser.open(tmp_path / "step.html")
    assert browser.text("h1") == "step"
    assert "in nodes" in browser.text("#summary") and "without reuse" in browser.text("#summary")
    browser.click("#unfold")
    assert "s:model" in items(browser)
    browser.click("#tab-memory")
    assert browser.run("document.querySelectorAll('[data-bar]').length") > 0
    browser.click("#query")
    browser.type("matmul model")
    browser.press("Enter")
    details = told(browser)
    assert details["FLOPs"] == "32.8 kFLOP"  # 2 * 32 * 64 * 8
    assert details["Time"].endswith("%")
    assert "x @ weights" in browser.text("#panel pre.line")
    assert browser.complaints == []


# --- several devices ------------------------------------------------------------------------------------------


def recolour(page: Browser, mode: str) -> None:
    """Choose what colours show."""
    page.run(f"document.querySelector('#colour').value = '{mode}'")
    page.run("document.querySelector('#colour').dispatchEvent(new Event('change'))")
    page.settle()


def test_devices_have_a_colour_each_and_a_legend(show: Any) -> None:
    page = show(TwoDevices().view)
    assert page.run("document.querySelector('#colour').value") == "device"
    legend = "[...document.querySelectorAll('#legend span')].map((e) => e.textContent)"
    assert page.run(legend) == ["cpu:0", "cpu:1", "from one device to another"]
    fill = "getComputedStyle(document.querySelector(`[data-id='n%d'] .body`)).fill"
    x, constant, h, *second, y = (page.run(fill % number) for number in range(8))
    assert x == h == y and len(set(second)) == 1 and len({x, constant, second[0]}) == 3
    swatches = page.run("[...document.querySelectorAll('#legend i')].map((e) => getComputedStyle(e).backgroundColor)")
    pill = "getComputedStyle(document.querySelector(`[data-id='n%d'] .pill`)).fill"
    assert swatches[:2] == [page.run(pill % 2), page.run(pill % 3)]


def test_other_colours_keep_a_dot_for_each_device(show: Any) -> None:
    page = show(TwoDevices().view)
    dots = "document.querySelectorAll(`[data-id='n%d'] .devices circle`).length"
    assert page.run(dots % 3) == 0
    for mode in "class", "time":
        recolour(page, mode)
        assert [page.run(dots % number) for number in range(8)] == [1, 2, 1, 1, 1, 1, 1, 1]
        assert "cpu:1" in page.text("#legend")
    page = show(Step().view)
    assert page.run("document.querySelectorAll('.devices, .crossing').length") == 0, "one device needs no marks"


def test_edges_from_one_device_to_another_are_drawn_in_both_colours(show: Any) -> None:
    two = TwoDevices()
    page = show(two.view)
    said = page.run(
        "[...document.querySelectorAll('.edge.crossing title')].map((e) => e.textContent.split('\\n').at(-1))"
    )
    assert set(said) == {"cpu:0 → cpu:1", "cpu:1 → cpu:0"}
    plain = page.run("[...document.querySelectorAll('.edge:not(.crossing)')].length")
    assert plain > 0 and page.run("document.querySelectorAll('.edge:not(.crossing) .stripe').length") == 0
    assert page.run("document.querySelectorAll('.edge.crossing .stripe').length") == len(said)
    assert "2 devices · 2 transfers" in page.text("#summary")
    # What is computed on both devices crosses to neither; h crosses although two nodes there take it, s once.
    page.click("#fold")
    crossing = "[...document.querySelectorAll('.edge.crossing')].length"
    assert page.run(crossing) == 0, "folded into one scope, nothing is seen to cross"


def test_details_tell_the_device_and_where_a_value_lives_on_each(show: Any) -> None:
    page = show(TwoDevices().view)
    page.click("[data-id='n2']")
    assert told(page)["Device"] == "cpu:0"
    lives = "[...document.querySelectorAll('#panel dt')].map((e) => [e.textContent, e.nextSibling.textContent])"
    places = [value for name, value in page.run(lives) if name == "Lives in"]
    assert places == ["buffer 0 on cpu:0", "memory of its own on cpu:1"]
    page.click("[data-id='n1']")
    assert told(page)["Device"] == "cpu:0cpu:1"
    page.click("[data-id='s:model/second']")
    assert told(page)["Device"] == "cpu:1"
    page.click("#tab-table")
    column = page.run("[...document.querySelectorAll('#table th')].map((e) => e.textContent)").index("Device")
    cell = f"[...document.querySelectorAll('#table tr[data-node]')].map((e) => e.children[{column}].textContent)"
    assert sorted(page.run(cell)) == ["cpu:0"] * 3 + ["cpu:0cpu:1"] + ["cpu:1"] * 4
    page.press("/")
    page.type("cpu:1 multiply")
    assert page.text("#found") == "1"


def test_the_whole_graph_tells_the_share_of_each_device(show: Any) -> None:
    page = show(TwoDevices().view)
    lines = page.run("[...document.querySelectorAll('#panel .ranking')][0].innerText").split()
    assert lines == ["cpu:0", "4", "nodes", "40.0", "µs", "cpu:1", "5", "nodes", "90.0", "µs"]


def test_each_device_has_a_plan(show: Any) -> None:
    page = show(TwoDevices().view)
    assert page.text("#summary").endswith("peak 24.6 kB (41.0 kB without reuse)")
    page.click("#tab-memory")
    bars = "[...document.querySelectorAll('[data-bar]')].map((e) => e.getAttribute('aria-label'))"
    assert page.run(bars) == ["add, steps 0 to 3", "multiply, steps 3 to 3", "add, steps 2 to 3"]
    page.click("[data-plan='cpu:1']")
    assert page.run("document.querySelector(`[data-plan='cpu:1']`).getAttribute('aria-pressed')") == "true"
    assert page.run(bars) == [
        "tanh, steps 1 to 2", "multiply, steps 2 to 3", "add, steps 3 to 3", "negative, steps 3 to 3",
        "add, steps 0 to 2",
    ]  # fmt: skip
    page.click("#tab-graph")
    page.click("[data-id='n2']")
    page.click("#panel dd .link")
    assert page.run("document.querySelector('#memory').hidden") is False
    assert page.run("document.querySelector(`[data-plan='cpu:0']`).getAttribute('aria-pressed')") == "true"


def test_a_lane_for_each_device_shows_one_run(show: Any) -> None:
    page = show(TwoDevices().view)
    page.click("#tab-timeline")
    said = page.run("[...document.querySelectorAll('#timeline .bar')].map((e) => e.getAttribute('aria-label'))")
    assert said == [
        "add, 20.0 µs on cpu:0", "send h to cpu:1, 2.00 µs on cpu:0", "receive s from cpu:1, 98.0 µs on cpu:0",
        "multiply, 20.0 µs on cpu:0", "receive h from cpu:0, 23.0 µs on cpu:1", "tanh, 50.0 µs on cpu:1",
        "multiply, 15.0 µs on cpu:1", "negative, 9.00 µs on cpu:1", "add, 16.0 µs on cpu:1",
        "send s to cpu:0, 1.00 µs on cpu:1",
    ]  # fmt: skip
    places = """Object.fromEntries([...document.querySelectorAll('#timeline .bar')].map((e) => {
        const r = e.querySelector('rect').getBoundingClientRect();
        return [e.getAttribute('aria-label').split(',')[0] + r.top, [r.left, r.right, r.top]];
    }))"""
    boxes = list(page.run(places).values())
    lanes = {top: sorted(box for box in boxes if box[2] == top) for top in sorted({box[2] for box in boxes})}
    assert [len(lane) for lane in lanes.values()] == [4, 6]
    for lane in lanes.values():
        assert all(a[1] <= b[0] + 0.6 for a, b in itertools.pairwise(lane)), "bars of a lane do not overlap"
    inside = page.run(
        "(() => { const r = document.querySelector('.lanes').getBoundingClientRect(); return [r.left, r.right]; })()"
    )
    assert all(inside[0] < a and b < inside[1] for a, b, _ in boxes)
    arrows = page.run("[...document.querySelectorAll('#timeline .arrow title')].map((e) => e.textContent)")
    assert sorted(arrows) == ["h: cpu:0 → cpu:1", "s: cpu:1 → cpu:0"]
    assert [t for t in ("29% busy", "64% busy") if t in page.text(".lanes")] == ["29% busy", "64% busy"]


def test_bars_of_a_run_are_selected_and_drawn_wider(show: Any) -> None:
    page = show(TwoDevices().view)
    page.click("#tab-timeline")
    page.click("#timeline [data-slice='3']")
    assert page.text("#panel h2") == "tanh"
    chosen = "[...document.querySelectorAll('#timeline .bar.selected')].map((e) => e.dataset.slice)"
    assert page.run(chosen) == ["3"]
    wide = "document.querySelector(`#timeline [data-slice='3'] rect`).getBoundingClientRect().width"
    before = page.run(wide)
    page.click("#longer")
    assert page.run(wide) == pytest.approx(1.6 * before, rel=0.05)
    assert page.run(chosen) == ["3"]
    page.click("#whole")
    assert page.run(wide) == pytest.approx(before)
    page.click("#panel .crumbs .link:last-child")
    page.click("#tab-timeline")
    assert page.run(chosen) == ["3", "4", "5", "6"], "a scope marks all that is in it"


def test_there_is_no_timeline_without_slices(show: Any) -> None:
    page = show(Step().view)
    assert page.run("document.querySelector('#tab-timeline').hidden") is True
    page.click("#tab-memory")
    page.press("ArrowRight")
    assert page.run("document.querySelector('#graph').hidden") is False
