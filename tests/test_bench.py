"""The benchmarks: what they count, judge and write."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import aims, hard_clients, peers, reads, report, start, updates
from benchmarks.calls import compare
from benchmarks.results import Results, load
from benchmarks.run import FEW, MANY, Progress
from tests.conftest import ROOT
from tests.worker.conftest import until

GET = reads.row_of(reads.GET, FEW)


# A benchmark that starts one program and waits. The program does not end if it is asked to.
BENCHMARK = """
import os, signal, sys
from benchmarks import services
from benchmarks.stop import stoppable
program = '''
import http.server, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]))
'''
services.END = 1
with stoppable(), services.Service("it", lambda port: [sys.executable, "-c", program, str(port)], "/") as service:
    print(service._process.pid, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_stops_a_benchmark_ends_its_programs_even_if_it_comes_twice(tmp_path, stop):
    command = [sys.executable, "-c", BENCHMARK]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as benchmark:
        assert benchmark.stdout
        program = int(benchmark.stdout.readline())
        benchmark.send_signal(stop)
        until((tmp_path / "asked").exists, "the program was not asked to end")
        benchmark.send_signal(stop)
        _, said = benchmark.communicate(timeout=20)
    assert (benchmark.returncode, said) == (1, "\nStopped: all programs have ended, and nothing was written.\n")
    assert not Path(f"/proc/{program}").exists()


def test_without_a_terminal_a_line_for_each_part_says_how_far_a_benchmark_is(capfd):
    progress = Progress({"Reads": 100, "Changes": 50})
    progress.begin("Reads")
    progress.begin("Changes")
    assert capfd.readouterr().err == "  2 min 30 s left: Reads\n  0 min 50 s left: Changes\n"


def test_as_many_calls_as_before_are_no_fault():
    assert compare({"GET": 1_050, "PUT": 950}, {"GET": 1_000, "PUT": 1_000}) == []


def test_a_request_that_makes_more_calls_than_before_is_named():
    [fault] = compare({"GET": 1_051, "PUT": 10}, {"GET": 1_000, "PUT": 10})
    assert fault.startswith("GET makes 1,051 calls, and before it made 1,000.")


def test_a_request_that_makes_fewer_calls_must_be_written_down():
    [fault] = compare({"GET": 949}, {"GET": 1_000})
    assert fault.startswith("GET makes only 949 calls")
    assert "make calls LOCKED=1 PYTHON=python3.13 ARGS=--write" in fault


def test_a_request_that_was_never_counted_must_be_written_down():
    [fault] = compare({"HEAD": 7}, {"GET": 1_000})
    assert fault.startswith("HEAD makes 7 calls, and no number is written down")


@pytest.fixture
def results():
    return Results({"machine": {"processor": '龙芯 "3A6000"'}, "versions": {"wrk": "4.1"}, "date": "2026-11-25"})


def read(results, peer, rate, cpu, row=GET):
    results.add(reads.READS, row, peer.name, "requests/s", rate, cpu)


def judged(results, beginning):
    [found] = [each for each in aims.judge(results) if each.aim.startswith(beginning)]
    return found.figure, found.holds


def test_the_page_names_a_row_where_another_program_is_ahead(results):
    read(results, peers.CSV, 500, 900)
    read(results, peers.FASTAPI, 3_000, 250)
    section = report.page(results).partition("## Where another program is ahead")[2].partition("\n## ")[0]
    assert f"| {GET} | FastAPI | 3,000 requests/s, ours 500; 250 µs, ours 900 |" in section


def test_the_page_names_no_program_that_is_behind(results):
    read(results, peers.CSV, 3_000, 250)
    read(results, peers.FASTAPI, 500, 900)
    assert "In no row." in report.page(results)


def test_a_program_with_less_processor_time_is_ahead_though_its_rate_is_lower(results):
    read(results, peers.CSV, 500, 900)
    read(results, peers.POCKETBASE, 400, 800)
    assert [words for _, words in report.ahead(results)] == ["800 µs, ours 900"]


def test_less_time_and_memory_are_better(results):
    for peer, seconds in ((peers.CSV, 1.0), (peers.SANIC, 2.0), (peers.POCKETBASE, 0.5)):
        results.add(start.PART, "first answer", peer.name, "s", seconds)
    assert [figure.peer for figure, _ in report.ahead(results)] == ["PocketBase"]


def test_a_row_without_a_reason_says_that_it_is_not_explained(results):
    for peer, rate in ((peers.CSV, 1), (peers.SMOREST, 2)):
        results.add(reads.NEW_CONNECTIONS, "a new row", peer.name, "requests/s", rate)
    assert "not explained yet" in report.page(results)


def test_an_aim_that_falls_short_has_its_reason(results):
    results.add(start.PART, start.row_of("memory", 100_000), peers.CSV.name, "MB", 160)
    [line] = [line for line in report.page(results).splitlines() if "memory, at most" in line]
    assert "**falls short**: 1 kB for each device" in line


def test_the_page_has_the_median_and_the_extremes_of_all_turns(results):
    for rate in (100, 1_300, 200):
        read(results, peers.CSV, rate, rate)
    assert "| 200 (100 to 1,300) requests/s | 200 (100 to 1,300) |" in report.page(results)


def test_the_page_says_whose_changes_are_durable(results):
    for peer in (peers.CSV, peers.FASTAPI):
        results.add(updates.PART, updates.row_of(1), peer.name, "requests/s", 500, 2)
    lines = report.tables(results).splitlines()
    assert [line.split(" | ")[-1] for line in lines if line.startswith("| PUT")] == ["yes |", "no |"]


def test_the_page_says_which_program_was_left_out_and_on_which_machine(results):
    results.about["left_out"] = ["json-server was left out: it needs node and npm."]
    page = report.page(results)
    assert "json-server was left out" in page
    assert '| processor | 龙芯 "3A6000" |' in page


def test_what_is_saved_is_read_again(results, tmp_path):
    read(results, peers.CSV, 500, 900)
    results.save(tmp_path / "results.json")
    assert report.page(load(tmp_path / "results.json")) == report.page(results)


@pytest.mark.parametrize(("cpu", "holds"), [(450, True), (460, False)])
def test_an_aim_in_processor_time_is_judged_by_the_bare_route(results, cpu, holds):
    read(results, peers.BARE, 1, 1_000)
    read(results, peers.CSV, 1, cpu)
    assert judged(results, "GET by id") == (f"{cpu / 1_000:.2f}", holds)


def test_the_worse_of_two_sizes_is_judged(results):
    for size, cpu in ((FEW, 100), (MANY, 900)):
        read(results, peers.BARE, 1, 1_000, reads.row_of(reads.GET, size))
        read(results, peers.CSV, 1, cpu, reads.row_of(reads.GET, size))
    assert judged(results, "GET by id") == ("0.90", False)


@pytest.mark.parametrize(("rate", "holds"), [(190, True), (189, False)])
def test_an_aim_for_a_rate_is_judged_by_stock_gthread(results, rate, holds):
    for peer, each in ((peers.STOCK, 100), (peers.CSV, rate)):
        results.add(updates.PART, updates.row_of(16), peer.name, "requests/s", each)
    assert judged(results, "PUT by 16 clients") == (f"{rate / 100:.2f}", holds)


@pytest.mark.parametrize(("failures", "holds"), [(0, True), (1, False)])
def test_no_request_may_fail_beside_slow_clients(results, failures, holds):
    row = f"{hard_clients.FAILED}, 300 stalled readers"
    results.add(hard_clients.SLOW, row, peers.CSV.name, "failures", failures)
    assert judged(results, "300 stalled readers: no GET") == (f"{failures} failures", holds)


def test_an_aim_that_was_not_measured_is_not_judged(results):
    assert {(figure, holds) for _, figure, holds in aims.judge(results)} == {("not measured", None)}
