"""The pages are true: snippets run, links lead somewhere, and everything public is documented."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import duckdb
import pytest
import typer

import recsys
from recsys.cli.config import all_settings
from recsys.config import TABLES, Settings, settings_from
from recsys.evaluation.metrics import AUC, METRICS
from recsys.export import FORMATS
from recsys.models import MODELS
from recsys.monitoring import MEASURES
from tests.command_line import run, run_program
from tests.markdown import ALL, DOCS, GUIDES, README, ROOT, Page, shows
from tests.test_rooms import FLOORS, PACKAGE

LANGUAGES = {"python", "py", "console", "toml", "sql", "sh", "text"}
"""`py` is code of another package, which may not be installed: it is compiled, and not run."""


def pages_with(*languages: str) -> list[Page]:
    pages = [Page(path) for path in GUIDES]
    return [page for page in pages if any(page.blocks(language) for language in languages)]


def by_name(page: Page) -> str:
    return page.name


def lay_out(folder: Path) -> Path:
    """Make a folder look like the checkout to a snippet, and keep what the snippet writes."""
    (folder / "data").symlink_to(ROOT / "data")
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    return folder


DEMO = "recsys train --config pipelines/sample.toml --store store"


@pytest.fixture
def start_of(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Make the folder in which the reader of a page begins.

    With the store of `make demo`; the README's reader has none before the command that makes it.
    """

    def start(page: Page, *, with_store: bool) -> Path:
        lay_out(tmp_path)
        if with_store:
            shutil.copytree(request.getfixturevalue("demo")[0], tmp_path / "store")
        return tmp_path

    return start


@pytest.mark.parametrize("page", pages_with("python"), ids=by_name)
def test_the_python_of_a_page_runs(page: Page, start_of: Any) -> None:
    folder = start_of(page, with_store=page.path != README)
    done = run_program(page.program, name=page.name, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages_with("py"), ids=by_name)
def test_the_code_of_another_package_is_python(page: Page) -> None:
    for block in page.blocks("py"):
        compile(block.text, page.name, "exec")


@pytest.mark.parametrize("page", pages_with("console"), ids=by_name)
def test_the_commands_of_a_page_run_and_print_what_it_shows(
    page: Page, start_of: Any, demo: tuple[Path, CompletedProcess[str]]
) -> None:
    assert page.path != README or page.commands[0][0] == DEMO
    folder = start_of(page, with_store=True)
    for number, (command, output) in enumerate(page.commands):
        program, *arguments = shlex.split(command, comments=True)
        assert program == "recsys"
        is_demo = page.path == README and number == 0  # which all begin with: run once for all
        done = demo[1] if is_demo else run(*arguments, cwd=folder)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        missing = shows(output, done.stdout)
        assert missing is None, f"{command}: printed no line {missing!r}, but\n{done.stdout}"


@pytest.mark.parametrize("page", pages_with("toml"), ids=by_name)
def test_the_configs_of_a_page_are_valid(page: Page) -> None:
    for block in page.blocks("toml"):
        settings_from(tomllib.loads(block.text))


@pytest.mark.parametrize("page", pages_with("sql"), ids=by_name)
def test_the_queries_of_a_page_find_something(page: Page, start_of: Any) -> None:
    folder = start_of(page, with_store=True)
    for block in page.blocks("sql"):
        query = block.text.replace("'store/", f"'{folder}/store/")
        assert duckdb.sql(query).fetchall()


def test_no_snippet_goes_unchecked() -> None:
    for path in ALL:
        assert {block.language for block in Page(path).all_blocks} <= LANGUAGES, path


def test_what_a_page_types_into_a_shell_is_there() -> None:
    """Targets of make, extras of the package, benchmarks and their options."""
    makefile = (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in map(Page, ALL):
        for target in re.findall(r"(?:`|^)make (\w+)", page.text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
        for name, extras in re.findall(r"pip install '([\w.-]+)\[([\w,-]+)\]'", page.text):
            assert name in (".", project["name"])
            assert set(extras.split(",")) <= set(project["optional-dependencies"])
        for module, options in re.findall(r"python -m benchmarks\.(\w+)([^`]*)`", page.text):
            source = (ROOT / "benchmarks" / f"{module}.py").read_text()
            for option in re.findall(r"--[\w-]+", options):
                assert f'"{option}"' in source, f"benchmarks.{module} has no option {option}"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in Page(path).links:
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{path.name} links to {link}"
        if anchor:
            assert anchor in Page(file).anchors, f"{path.name} links to {link}"


def test_every_page_is_reached_from_the_readme_and_the_contents() -> None:
    contents = Page(DOCS / "README.md")
    for path in set(GUIDES) - {README, contents.path}:
        assert f"docs/{path.name}" in Page(README).links
        assert path.name in contents.links


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_files_and_names_that_a_page_mentions_exist(path: Path) -> None:
    for code in Page(path).inline_code:
        if re.fullmatch(r"(recsys|tests|benchmarks|pipelines|data|docs)/[\w./-]*", code):
            assert (ROOT / code).exists(), f"{path.name} names {code}"
        if found := re.fullmatch(r"recsys((?:\.[A-Za-z_]\w*)+)(?:\(.*\))?", code):
            assert resolved(found[1][1:]), f"{path.name} names {code}"


ROOMS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} | {
    path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")
}
_ROOM = r"(\w+)(?:/|\.py)(?![\w/])"


@pytest.mark.parametrize("path", [README, DOCS / "design.md"], ids=lambda path: path.name)
def test_the_house_is_drawn_as_it_is(path: Path) -> None:
    (drawing,) = [
        block.text for block in Page(path).blocks("text") if block.text.startswith("faces")
    ]
    drawn = {
        line.split()[0]: tuple(re.findall(_ROOM, line)) for line in drawing.strip().splitlines()
    }
    floors = {
        floor: tuple(room for room in rooms if room in ROOMS) for floor, rooms in FLOORS.items()
    }
    assert list(drawn) == list(reversed(floors))
    assert drawn == floors
    assert sorted(room for rooms in drawn.values() for room in rooms) == sorted(ROOMS)


def test_the_house_has_a_line_for_each_room() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", (DOCS / "design.md").read_text(), flags=re.MULTILINE)
    described = [room for row in rows for room in re.findall(f"`{_ROOM}`", row)]
    assert sorted(described) == sorted(ROOMS)


def test_files_that_the_makefile_names_exist() -> None:
    names = re.findall(
        r"(?<![\w/])(?:tests|pipelines|recsys)/[\w./-]+", (ROOT / "Makefile").read_text()
    )
    assert names
    for name in names:
        assert (ROOT / name).exists(), name


def resolved(dotted: str) -> bool:
    """Whether a name leads from `recsys` to something, rooms imported on the way."""
    from importlib import import_module

    here: Any = recsys
    for name in dotted.split("."):
        try:
            here = getattr(here, name)
        except AttributeError:
            try:
                here = import_module(f"{here.__name__}.{name}")
            except (AttributeError, ImportError):
                return False
    return True


@cache
def all_guides() -> str:
    return "\n".join(path.read_text() for path in GUIDES)


@pytest.mark.parametrize("name", recsys.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert re.search(rf"\brecsys\.{name}\b", all_guides()), name


def options_of_commands() -> dict[str, set[str]]:
    """The options of each command but --help, as a person types them."""
    from recsys.cli import app

    group: Any = typer.main.get_command(app)
    return {
        name: {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("-") and option != "--help"
        }
        for name, command in group.commands.items()
    }


def test_every_command_is_documented_with_its_options() -> None:
    rows = re.findall(
        r"^\| `recsys (\w+)[^|]*\|[^|]*\|([^|]*)\|$",
        (DOCS / "commands.md").read_text(),
        flags=re.MULTILINE,
    )
    documented = {name: set(re.findall(r"`(-[\w-]+)`", options)) for name, options in rows}
    assert documented == options_of_commands()


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_commands_in_a_text_exist(path: Path) -> None:
    known = options_of_commands()
    for code in Page(path).inline_code:
        found = re.fullmatch(r"recsys ([a-z]+)( .*)?", code)
        if found is None:
            continue
        assert found[1] in known, f"{path.name}: {code}"
        for option in re.findall(r"(?<= )--?[a-z][\w-]*", found[2] or ""):
            assert option in known[found[1]] | {"--help"}, f"{path.name}: {code}"


@pytest.mark.parametrize("page", pages_with("sh"), ids=by_name)
def test_commands_that_a_page_types_into_a_shell_exist(page: Page) -> None:
    known = options_of_commands()
    for block in page.blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if not line.startswith("recsys "):
                continue
            command, *words = shlex.split(line, comments=True)[1:]
            assert command in known, f"{page.name}: {line}"
            options = {word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word)}
            assert options <= known[command], f"{page.name}: {line}"


def keys_of(tables: dict[str, Any]) -> set[str]:
    named = {name: table for name, table in tables.items() if name != "engine"}  # no table
    return {f"{name}.{key}" for name, table in named.items() for key in table}


def keys_of_settings() -> Iterator[str]:
    for table in TABLES:
        if table.name == "model":  # its hyperparameters are on the page of the models
            yield from ("model.name", "model.item_features", "model.user_features")
            continue
        yield from (f"{table.name}.{key.name}" for key in fields(getattr(Settings(), table.name)))


def test_every_setting_is_documented_with_its_default() -> None:
    (block,) = Page(DOCS / "settings.md").blocks("toml")
    assert block.text.strip() == all_settings(), "`recsys config` prints what the page shows"
    shown = settings_from(tomllib.loads(block.text))
    assert plain(asdict(shown)) == plain(asdict(Settings()))
    with_examples = tomllib.loads(re.sub(r"^# (?=\w+ = )", "", block.text, flags=re.MULTILINE))
    settings_from(with_examples)
    assert keys_of(with_examples) == set(keys_of_settings())


def plain(value: Any) -> Any:
    """Return a value with lists for tuples, as TOML has no tuples."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def test_every_hyperparameter_is_documented_with_its_default() -> None:
    shown = [
        tomllib.loads(block.text)["model"] for block in Page(DOCS / "models.md").blocks("toml")[:4]
    ]
    for table in shown:
        model = MODELS[table.pop("name")]
        assert table == {field.name: field.default for field in fields(model)}
    text = (DOCS / "models.md").read_text()
    for name in MODELS:
        assert f"`{name}`" in text


def test_every_metric_measure_and_format_is_documented() -> None:
    evaluation = (DOCS / "evaluation.md").read_text()
    for name in (*METRICS, AUC):
        assert f"| `{name}` |" in evaluation
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d.]+) \| (.*) \|$", (DOCS / "nightly.md").read_text(), re.MULTILINE
    )
    assert sorted((name, float(limit), sentence) for name, limit, sentence in rows) == sorted(
        (one.name, one.limit, one.sentence) for one in MEASURES.values()
    )
    embeddings = (DOCS / "embeddings.md").read_text()
    for name in FORMATS:
        assert f"| `{name}` |" in embeddings


def test_the_readme_is_of_a_screen_and_a_half() -> None:
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("page", "printed", "missing"),
    [
        ("score 0.95", "score 0.951", None),
        ("score 0.95", "score 0.85", "score 0.95"),
        ("b\na", "a\nb", "a"),
        ("...\nb", "a\nb", None),
        ("│ x │ 1 │", "┃ x ┃  1 ┃", None),
        ("a b ...", "a b c", None),
        ("a c ...", "a b c", "a c ..."),
        ("in 20261120T020000Z-3f2a91bc", "in 20270101T030000Z-00000000", None),
    ],
)
def test_the_check_of_output_sees_a_difference(
    page: str, printed: str, missing: str | None
) -> None:
    assert shows(page, printed) == missing
