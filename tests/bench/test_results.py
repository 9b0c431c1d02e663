from __future__ import annotations

from bench.__main__ import BENCHES
from bench.figure import OURS, Figure
from bench.plots import PLOTS
from bench.report import DOCUMENT, TABLES, fill
from bench.results import Results


def figure(bench: str, mb_per_s: float) -> Figure:
    return Figure(bench, "produce", OURS, {"brokers": 1}, {"mb_per_s": mb_per_s})


def test_results_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "results.json"
    results = Results(path)
    results.replace([figure("throughput", 1.0), figure("limit", 2.0)], command="make bench")
    results.save()

    again = Results(path)

    assert again.figures() == [figure("throughput", 1.0), figure("limit", 2.0)]
    assert again.origin("limit").startswith("`make bench`, 2")


def test_a_bench_that_is_run_again_replaces_its_own_figures_alone(tmp_path):
    results = Results(tmp_path / "results.json")
    results.replace([figure("throughput", 1.0), figure("limit", 2.0)], command="all")

    results.replace([figure("limit", 3.0)], command="limit")

    assert results.figures() == [figure("throughput", 1.0), figure("limit", 3.0)]
    assert results.origin("throughput").startswith("`all`")
    assert results.origin("limit").startswith("`limit`")


def test_what_is_written_by_hand_stays():
    text = (
        "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n<!-- begin b -->\n<!-- end b -->\n"
    )

    filled = fill(text, lambda name: [f"new {name}"])

    assert filled == (
        "before\n<!-- begin a -->\nnew a\n<!-- end a -->\nafter\n"
        "<!-- begin b -->\nnew b\n<!-- end b -->\n"
    )
    assert fill(filled, lambda name: [f"new {name}"]) == filled


def test_every_bench_and_plot_has_its_place_in_the_document():
    text = DOCUMENT.read_text()

    assert set(TABLES) == {each.name for each in BENCHES}
    for name in ("goals", *TABLES):
        assert f"<!-- begin {name} -->\n" in text, name
        assert f"<!-- end {name} -->" in text, name
    assert set(PLOTS) <= set(TABLES)
