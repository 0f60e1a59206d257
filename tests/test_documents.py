"""What the documents show is so."""

import re
import runpy
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

import devicesvc
from tests.conftest import BIN, ROOT, Service, copy_of_project
from tests.strategies import LONG

READMES = ("README.md", "README.zh-CN.md")


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def install(checkout):
    """Make in the checkout what `make run` would make, of the packages that are installed for the tests."""
    folder = checkout / ".venv"
    venv.create(folder, symlinks=True)
    packages = sysconfig.get_path("purelib")
    of_folder = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(of_folder, "packages.pth").write_text(f"import site; site.addsitedir({packages!r})\n")
    for name in ("devicesvc", "gunicorn"):
        _, script = (BIN / name).read_text("utf-8").split("\n", 1)
        (folder / "bin" / name).write_text(f"#!{folder}/bin/python\n{script}", "utf-8")
        (folder / "bin" / name).chmod(0o755)
    for mark in ("made", "installed"):
        (folder / mark).touch()


@pytest.mark.parametrize("document", READMES if LONG else READMES[:1])
class TestReader:
    """Somebody who does in a new checkout what a README says. Their shell finds what is in /usr/bin, and nothing else.
    The service runs in a first terminal, by `make run`; each command is made in a new terminal. Both READMEs show the
    same commands, so only make test-long tries those of the second."""

    @pytest.fixture
    def env(self):
        return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    @pytest.fixture
    def checkout(self, tmp_path):
        checkout = copy_of_project(tmp_path)
        install(checkout)
        return checkout

    @pytest.fixture
    def here(self, checkout, free_port, env):
        """Put the address of the service in the place of the one that the documents name."""
        service = Service(["make", "run", f"PORT={free_port}"], free_port, cwd=checkout, env=env)
        env["DEVICESVC_URL"] = service.url
        yield lambda text: text.replace("http://localhost:8000", service.url)
        service.stop()

    @pytest.fixture
    def run(self, document, checkout, env):
        """Runs a command, after what the document says to do in each new terminal."""
        (first,) = re.findall(r"^source .*$", "".join(blocks(document, "sh")), re.MULTILINE)

        def run(command):
            script = ["bash", "--noprofile", "--norc", "-ec", f"{first}\n{command}"]
            return subprocess.run(script, capture_output=True, text=True, cwd=checkout, env=env)

        return run

    def test_each_command_prints_what_the_document_shows(self, document, here, run):
        count = 0
        for block in blocks(document, "console"):
            for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                assert run(here(command)).stdout == output
                count += 1
        assert count == 9

    def test_each_python_example_runs(self, document, here, run, checkout):
        first, second = blocks(document, "python")
        (checkout / "first.py").write_text(here(first) + "print(id)")
        ended = run("python first.py")
        assert re.fullmatch("[0-9]{10}\n", ended.stdout), ended.stderr
        (checkout / "second.py").write_text(here(second))
        shown = run("python second.py").stdout.splitlines()
        assert shown[:2] == ["rooftop-gateway 0.2", "greenhouse-gateway 0.3"]
        assert shown[2].startswith("status must be 1 to 32 characters")

    @pytest.mark.usefixtures("here")
    def test_each_command_for_a_shell_does_what_its_comment_says(self, document, run):
        (block,) = (block for block in blocks(document, "sh") if "device export" in block)
        ended = run("".join(line for line in block.splitlines(keepends=True) if "zsh" not in line))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert '"software": {"version": "0.5",' in ended.stdout
        assert ended.stdout.splitlines()[-4:] == [
            "rooftop-2",
            "Removed 2 devices.",
            "Wrote offline.csv.",
            '{"added": [], "changed": [], "unchanged": ["5394030919", "rooftop-2"]}',
        ]

    def test_each_command_of_devicesvc_works(self, document, here, run):
        text = (ROOT / document).read_text("utf-8")
        commands = re.findall(r"`(devicesvc (?:tour|check|migrate) [^`]+)`", text)
        commands += re.findall(r"^(devicesvc token .*?) *#", text, re.MULTILINE)
        assert len(commands) == 4
        for command in commands:
            ended = run(here(command))
            assert ended.returncode == 0, ended.stderr

    def test_the_shell_finds_each_program(self, document, run):
        programs = re.findall(r"^(?:\w+=\S+ )?(\w+)", "".join(blocks(document, "sh")), re.MULTILINE)
        programs += re.findall(r"`(gunicorn) ", (ROOT / document).read_text("utf-8"))
        needed = set(programs) - {"docker"}  # the document says that only a container needs it
        assert {"devicesvc", "gunicorn", "make"} < needed
        assert {program for program in needed if run(f"type {program}").returncode} == set()


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("docs/*.md")))
def test_a_document_says_how_the_shell_finds_devicesvc_before_it_shows_a_command(document):
    text = (ROOT / "docs" / document).read_text("utf-8")
    shown = re.search(r"^ *devicesvc (?:serve|check|migrate|tour|db|token) ", text, re.MULTILINE)
    assert not shown or "`source .venv/bin/activate`" in text[: shown.start()]


DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TRANSLATED = [document for document in DOCUMENTS if document.endswith(".zh-CN.md")]
# Fenced, or indented by four spaces after an empty line
CODE = re.compile(r"^```(\w+)\n(.*?)^```$|(?<=\n\n)((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def in_english(target):
    return target.replace(".zh-CN.md", ".md")


@pytest.fixture(params=TRANSLATED)
def languages(request):
    """The text of a document in English, and in Chinese."""
    return [(ROOT / document).read_text("utf-8") for document in (in_english(request.param), request.param)]


def test_both_languages_show_the_same_code(languages):
    """Comments and <placeholders> of commands are translated. Python and all other code is the same."""

    def code(text):
        return [
            (language, re.sub(r"#.*|<.*?>", "", fenced + indented) if language in ("", "sh", "yaml") else fenced)
            for language, fenced, indented in CODE.findall(text)
        ]

    english, chinese = map(code, languages)
    assert len(english) > 5
    assert english == chinese


def sections(text):
    """What each section of a document is made of, apart from its words: the heading, the kind, and what there is."""
    heading = re.compile(r"^(#+ .*)\n((?:(?!#).*\n)*)", re.MULTILINE)
    for title, words in heading.findall(CODE.sub("", text)):
        yield title, "level", title.split()[0]
        yield title, "items and rows", re.findall(r"^([-|]|\d+\.) ", words, re.MULTILINE)
        yield title, "figures of tables", re.findall(r"(?<=\| )[\d.,]+(?: MB)?(?= \|)", words)
        yield title, "names", {" ".join(name.split()) for name in re.findall("`([^`]+)`", words)}
        targets = re.findall(r"\]\(([^)]+)\)", words)
        yield title, "links", {in_english(target).partition("#")[0] for target in targets}


def test_both_languages_name_the_same_things_in_each_section(languages):
    english, chinese = (list(sections(text)) for text in languages)
    assert len(english) == len(chinese) > 5
    for (title, what, ours), (_, _, theirs) in zip(english, chinese, strict=True):
        assert ours == theirs, f"the {what} of {title}"


@pytest.mark.parametrize("document", TRANSLATED)
def test_each_language_leads_to_the_other_at_the_top_and_then_stays(document):
    english, chinese = ((ROOT / path).read_text("utf-8") for path in (in_english(document), document))
    name = Path(document).name
    assert f"[中文]({name})" in english.split("\n\n")[1]
    assert f"[English]({in_english(name)})" in chinese.split("\n\n")[1]
    for label, path, rest in re.findall(r"\[([^]]+)\]\(([^)#]+)\.md([^\n[]*)", chinese):
        if label != "English" and not path.endswith(".zh-CN"):
            assert not (ROOT / document).parent.joinpath(f"{path}.zh-CN.md").exists(), f"{path}.md is there in Chinese"
            assert "（英文）" in rest, f"{path}.md is in English: say so"


@pytest.fixture(scope="module")
def table():
    """What docs/api_table.py defines."""
    return runpy.run_path(str(ROOT / "docs/api_table.py"))


@pytest.mark.parametrize("readme", READMES)
def test_each_readme_has_the_table_of_all_calls(table, readme):
    text = (ROOT / readme).read_text("utf-8")
    assert table["renewed"](text, table["openapi"](), readme) == text, "make api-table renews it"


@pytest.fixture
def known(table):
    """An OpenAPI document with the operations that have a Chinese summary."""
    return {"paths": {f"/{id}": {"get": {"operationId": id, "summary": id}} for id in table["CHINESE"]}}


def test_the_table_has_a_chinese_summary_of_each_operation_and_no_other(table, known):
    known["paths"]["/new"] = {"get": {"operationId": "get_new", "summary": "Get what is new"}}
    with pytest.raises(SystemExit, match="needs a Chinese summary of get_new"):
        table["renewed"]("", known, READMES[1])
    del known["paths"]["/new"], known["paths"]["/is_alive"]
    with pytest.raises(SystemExit, match="has is_alive: there is no such operation"):
        table["renewed"]("", known, READMES[1])


def test_a_readme_without_a_place_for_the_table_is_refused(table, known):
    with pytest.raises(SystemExit, match=r"README\.md must have one line <!-- api table"):
        table["renewed"]("", known, READMES[0])


def anchors(text):
    """The parts of a document that a link can name, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / document).read_text("utf-8")):
        path, _, heading = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert target.startswith("https://") or file.exists(), target
        assert not heading or heading in anchors(file.read_text("utf-8")), target


def test_the_tree_in_the_architecture_names_every_module():
    tree = (ROOT / "docs/architecture.md").read_text("utf-8").split("\n## ")[0]
    paths = [*(ROOT / "devicesvc").rglob("*.py"), *(ROOT / "migrations").glob("*.py")]
    assert len(paths) > 60
    for path in paths:
        assert re.search(rf"^ +{path.stem}(\.py)? ", tree, re.MULTILINE), path


def test_the_changelog_has_this_version():
    assert f"\n## [{devicesvc.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_setting_is_in_the_readmes():
    for document in READMES:
        for name in devicesvc.config.DEFAULTS:
            assert f"`DEVICESVC_{name}`" in (ROOT / document).read_text("utf-8")


@pytest.mark.parametrize("document", [*READMES, *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))])
def test_each_container_that_is_to_stay_has_a_limit_for_its_log(document):
    text = (ROOT / document).read_text("utf-8").replace("\\\n", " ")
    for command in re.findall(r"^.*docker run -d .*", text, re.MULTILINE):
        assert "--log-opt max-size=" in command, command
        assert "--log-opt max-file=" in command, command
