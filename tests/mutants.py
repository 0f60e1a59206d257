"""Do the tests notice a fault? Makes small ones in the code, mutants, and runs the tests on each: make mutants

cosmic-ray makes them: `<` instead of `<=`, a condition turned round, a number that is one higher. A mutant is killed if
a test fails or the tests do not end. One that survives is printed: a test is missing, or the change changes nothing.
"""

import argparse
import ast
import asyncio
import difflib
import os
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.postgres import running_server

ROOT = Path(__file__).parent.parent

# Tests, as arguments of pytest, and the files that they see. Quick ones: a mutant that survives takes all their time.
CSV = "not sqlite and not postgresql and not mariadb"
AREAS = {
    "tests/dao tests/test_columns.py tests/cli/test_check.py": [
        "devicesvc/columns.py",
        "devicesvc/dao/base.py",
        "devicesvc/dao/urls.py",
    ],
    f"tests/dao tests/csv_codec -k '{CSV}'": ["devicesvc/csv_codec/[a-z]*.py"],
    f"tests/dao -k '{CSV}'": [
        "devicesvc/dao/csv/[a-z]*.py",
        "devicesvc/dao/durable_file.py",
        "devicesvc/dao/lock_file.py",
        "devicesvc/dao/group_commit.py",
    ],
    "tests/dao tests/migrations/test_schema.py -k 'not csv'": ["devicesvc/dao/sql/[a-z]*.py"],
    "tests/transfer tests/csv_codec/test_plain_lines.py tests/cli/test_migrate.py": [
        "devicesvc/transfer/*source.py",
        "devicesvc/transfer/*target.py",
        "devicesvc/transfer/mariadb.py",
        "devicesvc/transfer/mover.py",
        "devicesvc/transfer/plain_rows.py",
        "devicesvc/transfer/postgresql.py",
        "devicesvc/transfer/rejects.py",
    ],
    f"tests/api -k '{CSV} and not machine and not race'": [
        "devicesvc/api/csv_body.py",
        "devicesvc/api/paging.py",
        "devicesvc/api/preconditions.py",
        "devicesvc/api/request_body.py",
    ],
}
LINKS = {"devicesvc/migrations": "../migrations"}  # for the copies, which nobody installs: package_dir of setup.cfg
MOST = 4 << 30  # bytes of memory, and in a file, for a mutant that does not stop
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci"]
PYTEST += ["-o", "faulthandler_timeout=60", "-o", "faulthandler_exit_on_timeout=true"]  # seconds, for one test


class Mutant(NamedTuple):
    """A file with one change in a line. code: all that the file holds then."""

    file: str
    line: int
    code: str
    diff: str = ""


def tests_by_file() -> dict[str, str]:
    """Each file of AREAS, and its tests."""
    found: dict[str, str] = {}
    for tests, patterns in AREAS.items():
        for pattern in patterns:
            files = sorted(ROOT.glob(pattern))
            assert files, f"mend AREAS: there is no {pattern}"
            found |= {str(file.relative_to(ROOT)): tests for file in files}
    return found


def choose(files: list[str], most: int | None, seed: int) -> list[Mutant]:
    """So many mutants of the files, or (None) as many as there are, but at each place at most one.

    Chance depends on the seed, and on the line and those beside it: code that has only moved keeps its mutants.
    """
    changes = []
    for file in files:
        code = (ROOT / file).read_text("utf-8")
        for (line, column), possible in _changes(code).items():
            text = [each.strip() for each in ["", *code.splitlines(), ""][line - 1 : line + 2]]
            rest = code.splitlines()[line - 1][column:]
            chance = int(sha256(f"{seed} {text} {rest}".encode()).hexdigest(), 16)
            changes.append((chance, file, line, code, *possible[chance % len(possible)]))
    mutants: list[Mutant] = []
    for _, file, line, code, operator, occurrence in sorted(changes):
        if len(mutants) == most:
            break
        with suppress(SyntaxError, AttributeError):  # an operator may not suit the place
            changed = mutate_code(code, get_operator(operator)(), occurrence)
            if _meaning(changed) != _meaning(code):
                diff = difflib.unified_diff(code.splitlines(), changed.splitlines(), n=0, lineterm="")
                mutants.append(Mutant(file, line, changed, "\n".join(list(diff)[3:])))
    return mutants


def _changes(code: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """What cosmic-ray can do, by line and column: names of operators, and the index of the place among all of each."""
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    nodes = list(ast_nodes(get_ast(code)))
    for name in sorted(operator_names()):
        if not get_operator(name).arguments() and name != "core/RemoveDecorator":  # a contract's do nothing
            places = [start for node in nodes for start, _ in get_operator(name)().mutation_positions(node)]
            for occurrence, place in enumerate(places):
                found.setdefault(place, []).append((name, occurrence))
    return found


def _meaning(code: str) -> str:
    """What the code does: two that differ only in their annotations do the same."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, None)
    return ast.dump(tree)


def copied(folder: str) -> Path:
    """A new copy of the project in the folder."""
    copy = Path(tempfile.mkdtemp(dir=folder))
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, copy, ignore=ignored, dirs_exist_ok=True)
    for link, target in LINKS.items():
        (copy / link).symlink_to(target)
    return copy


async def killer(copy: Path, mutant: Mutant, tests: str, seconds: float) -> str:
    """The first of the tests that fails on the mutant, or that they take longer; empty if it survives."""
    file = copy / mutant.file
    original = file.read_bytes()
    file.write_text(mutant.code, "utf-8")
    temporary = tempfile.mkdtemp(dir=copy.parent)
    # PYTHONPATH comes before the installed package; of bytecode Python might take another mutant's.
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"PYTHONHASHSEED": "0", "TMPDIR": temporary}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = await asyncio.create_subprocess_exec(
            *PYTEST, *shlex.split(tests), cwd=copy, env=env, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            return f"more than {seconds:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            shutil.rmtree(temporary, ignore_errors=True)
            file.write_bytes(original)
        output.seek(0)
        failed = re.search(r"^(FAILED|ERROR) tests.*?(?= - |$)|Timeout .*", output.read(), re.MULTILINE)
    return (failed[0] if failed else f"pytest ends with {code}") if code else ""


async def examine(mutants: list[Mutant], copies: list[Path], killers: dict[Mutant, str]) -> list[str]:
    """Enter in killers what kills each mutant; "" if nothing does. Before, the tests must pass without any mutant, and
    see each file: returns where this is not so."""
    tests = tests_by_file()
    files = sorted({mutant.file for mutant in mutants})
    seconds: dict[str, float] = {}
    faults: list[str] = []
    # The copies share these, and each takes the next.
    areas, waiting = iter({tests[file] for file in files}), iter(mutants)

    async def prepare(copy: Path) -> None:
        for area in areas:
            seen = [Mutant(file, 0, (ROOT / file).read_text("utf-8")) for file in files if tests[file] == area]
            began = time.monotonic()
            if failed := await killer(copy, seen[0], area, 3600):
                faults.append(f"without any mutant: {failed}")
                continue
            seconds[area] = 30 + 4 * (time.monotonic() - began)
            for whole in seen:
                broken = whole._replace(code=f"{whole.code}\nraise ImportError\n")
                if not await killer(copy, broken, area, seconds[area]):
                    faults.append(f"mend AREAS: pytest {area} does not see {whole.file}")

    async def work(copy: Path) -> None:
        for mutant in waiting:
            area = tests[mutant.file]
            killers[mutant] = await killer(copy, mutant, area, seconds[area])
            fate = killers[mutant] or "SURVIVES"
            print(f"{len(killers)}/{len(mutants)} {mutant.file}:{mutant.line} {fate}", flush=True)

    for step in prepare, work:
        async with asyncio.TaskGroup() as group:
            for copy in copies if not faults else []:
                group.create_task(step(copy))
    return faults


def report(killers: dict[Mutant, str]) -> None:
    """Print the mutants that survive, and how many are killed, in each file and in all."""
    survivors = sorted(mutant for mutant in killers if not killers[mutant])
    print(*(f"\n{mutant.file}:{mutant.line}\n{mutant.diff}" for mutant in survivors), "", sep="\n")
    for file in [*sorted({mutant.file for mutant in killers}), ""]:
        fates = [bool(killers[mutant]) for mutant in killers if file in ("", mutant.file)]
        share = f"killed {sum(fates)} of {len(fates)} ({sum(fates) / max(1, len(fates)):.0%})"
        print(f"{file}: {share}" if file else share)


def main() -> None:
    """Do what the command line says. If it is interrupted, it reports what it has found so far."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="the files to change, of those in AREAS; all if none is given")
    parser.add_argument("--sample", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--all", action="store_true", help="as many as there are")
    parser.add_argument("--seed", type=int, default=0, help="another one chooses other mutants (0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tested at a time (2)")
    given = parser.parse_args()
    if unknown := set(given.files) - set(tests_by_file()):
        parser.error(f"not in AREAS: {' '.join(unknown)}")
    for kind in resource.RLIMIT_DATA, resource.RLIMIT_FSIZE:
        resource.setrlimit(kind, (MOST, resource.getrlimit(kind)[1]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    killers: dict[Mutant, str] = {}
    faults = ["interrupted"]
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder,
        running_server() as server,
        server.fresh_database() as os.environ["DEVICESVC_TEST_POSTGRES_URL"],
    ):
        mutants = choose(given.files or list(tests_by_file()), None if given.all else given.sample, given.seed)
        faults = asyncio.run(examine(mutants, [copied(folder) for _ in range(given.jobs)], killers))
    if killers:
        report(killers)
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
