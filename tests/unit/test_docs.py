"""Whatever a user can write, meet or read a number of stands in a README or a page of docs/; links lead somewhere."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable

import click
import pytest
from click.shell_completion import get_completion_class
from prometheus_client import CollectorRegistry

import broadcaster.client
import broadcaster.metrics
import cdc.metrics
from broadcaster.cli import main
from broadcaster.errors import CODES
from cdc.config import Limits
from cdc.config_parse import KEYS, camel
from support.documentation import PAGES, ROOT

RESETTING = [
    "broadcaster/feed.py",
    "broadcaster/hub.py",
    "broadcaster/replay.py",
    "broadcaster/outcome.py",
    "broadcaster/subscription.py",
]
RESETTING += ["cdc/postgres/memory.py", "cdc/postgres/watch.py", "cdc/mongo/decode.py"]
RESETTING += ["cdc/mysql/assemble.py", "cdc/mysql/rows.py", "cdc/mysql/statement.py", "cdc/mysql/tables.py"]


def code_words(markdown: str) -> set[str]:
    """The words in code blocks and code spans, options with their dashes."""
    blocks = re.findall(r"```.*?\n(.*?)```", markdown, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL))
    return set(re.findall(r"--[\w-]+|[\w$-]+", " ".join([*blocks, *spans])))


def section(markdown: str, title: str) -> str:
    """The part below the heading, up to the next one of its level or above; empty if there is none."""
    heading = re.search(rf"^(#+) {re.escape(title)}\n", markdown, re.MULTILINE)
    if heading is None:
        return ""
    rest = markdown[heading.end() :]
    end = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def missing(wanted: Iterable[str], markdown: str) -> list[str]:
    """Those of the words that the text does not have as code."""
    return sorted(set(wanted) - code_words(markdown))


@pytest.fixture(scope="module")
def docs():
    return "\n".join((ROOT / page).read_text() for page in PAGES)


def test_the_helpers():
    text = "# A\n`one` two\n## B\n```sh\nthree --four=5 -c\n```\n# C\n`a.six`, `$in`\n"
    assert code_words(text) == {"one", "three", "--four", "5", "-c", "a", "six", "$in"}
    assert section(text, "A") == "`one` two\n## B\n```sh\nthree --four=5 -c\n```\n"
    assert section(text, "C") == "`a.six`, `$in`\n"
    assert section(text, "D") == ""
    assert missing(["two", "one", "six"], text) == ["two"]


def test_configuration_keys(docs):
    keys = {key for known in KEYS.values() for key in known}
    limits = {camel(limit.name) for limit in dataclasses.fields(Limits)}
    assert missing(keys | limits, section(docs, "Configuration")) == []


def commands() -> dict[str, click.Command]:
    assert isinstance(main, click.Group)
    return main.commands


def test_commands(docs):
    assert [name for name in commands() if f"`livetail {name}" not in section(docs, "Commands")] == []


def test_options(docs):
    options = {
        option
        for command in commands().values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--config"  # told as -c
    }
    assert missing(options, section(docs, "Commands")) == []


def test_words_complete_in_the_shells_that_are_told(docs):
    for shell in ("bash", "zsh", "fish"):
        assert f"{shell}_source" in section(docs, "Commands")
        complete = get_completion_class(shell)
        assert complete is not None
        completion = complete(main, {}, "livetail", "_LIVETAIL_COMPLETE")
        assert "_LIVETAIL_COMPLETE" in completion.source()
        assert [item.value for item in completion.get_completions([], "ini")] == ["init"]
        assert "--log-format" in [item.value for item in completion.get_completions(["dev"], "--log")]


def test_every_command_and_option_has_a_help_text():
    for name, command in commands().items():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_metrics(docs):
    registry = CollectorRegistry()
    cdc.metrics.Metrics(registry)
    broadcaster.metrics.Metrics(registry)
    names = {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}
    assert len(names) > 20
    assert missing(names, section(docs, "Metrics")) == []


def test_error_codes(docs):
    assert missing(CODES, section(docs, "Errors")) == []


def test_exceptions(docs):
    """Those of the Python client; of all others a user meets the message, not the name."""
    classes = {
        name
        for name in broadcaster.client.__all__
        if issubclass(getattr(broadcaster.client, name), Exception)
    }
    assert missing(classes, docs) == []


def reset_reasons(source: str) -> set[str]:
    """What a function of these modules may give as a reason: they hold no other words in snake case but error codes."""
    found = set()
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"^(?:[a-z]+(?:_[a-z]+)+|truncated)$", node.value))
    return found - set(CODES)


def test_reset_reasons(docs):
    reasons = set().union(*(reset_reasons((ROOT / path).read_text()) for path in RESETTING))
    assert {"truncated", "cursor_expired", "columns_changed"} <= reasons
    assert missing(reasons, docs) == []


def anchors(markdown: str) -> set[str]:
    """Those that GitHub gives the headings."""
    plain = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links(page):
    """To files of this repository, and to headings in them."""
    text = (ROOT / page).read_text()
    plain = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", plain):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
