"""Every block of the documentation is tried by some test: here those that take no server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import click
import pytest

from broadcaster.cli import main
from broadcaster.errors import CODES
from broadcaster.sse_parser import SseParser
from cdc.config import Limits
from cdc.config_parse import KEYS, camel, parse
from support.documentation import PAGES, ROOT, Block, blocks

ALL = [block for page in PAGES for block in blocks(page)]
ELSEWHERE = {
    "integration/test_quickstarts.py": (
        r"sql admin.*|js mongosh|sh (run|dev|stream)|text output.*|yaml todo-app\.yaml|ini my\.cnf"
    ),
    "integration/test_doc_examples.py": r"sh curl|js node|python client|sql postgres",
    "integration/test_doc_proxies.py": r"nginx http|caddyfile",
    "unit/broadcaster/test_auth.py": r"yaml rules",
}
"""Which test tries the blocks with such an info string."""
UNTRIED = {
    "make test ": "this is it",
    " event log ─►": "a picture",
    "python -m cdc -c livetail.yaml [": "a synopsis",
    'import {API, and, cond, or} from "livetail";': "tests/js/ makes each of these calls",
    "import {useLiveQuery}": "a component of the reader's; tests/js/react.js runs the hook",
    "<script>\n  const todos": "a component of the reader's; tests/js/live.js runs the store",
    "// Vue": "a component of the reader's; tests/js/live.js runs the store",
    "pip install .": "what `make` runs before any test",
    "docker/new-env.sh": "tests/unit/test_docker.py runs it; the tests have no Docker to run the rest",
    "sql-postgres:\n  log": "what may be shown, of several databases; tests/integration/test_survey.py has the lines",
    'const {data} = await supabase.from("todos")': "Supabase's client, not ours",
    "SELECT pg_drop_replication_slot('debezium');": "Debezium's slot and publication, of which there are none here",
}
"""What no test runs, by how it begins, and why."""
EVENTS = {"initial", "ready", "diff", "progress", "reset", "error"}


def of(info: str) -> pytest.MarkDecorator:
    """A test of all blocks with such an info string."""
    found = [block for block in ALL if re.fullmatch(info, block.info)]
    assert found, info
    return pytest.mark.parametrize("block", found, ids=str)


def test_every_block_is_tried():
    here = r"yaml project|yaml todo-app\.yaml|sh usage|text stream"
    known = re.compile("|".join([here, *ELSEWHERE.values()]))
    untried = [block for block in ALL if not known.fullmatch(block.info)]
    unexplained = [
        f"{block} ```{block.info}" for block in untried if not any(map(block.text.startswith, UNTRIED))
    ]
    assert unexplained == []
    assert [start for start in UNTRIED if not any(block.text.startswith(start) for block in untried)] == []
    assert [name for name in ELSEWHERE if not (ROOT / "tests" / name).exists()] == []


@of(r"yaml (project|todo-app\.yaml)")
def test_configurations(block: Block):
    names = re.findall(r"\$\{(\w+)\}", block.text)
    assert parse(block.text, dict.fromkeys(names, "x" * 32)).id == "todo-app"


@of("text stream")
def test_streams(block: Block):
    """What streams look like is what the parser of the Python client reads."""
    events = SseParser().feed(block.text.encode() + b"\n\n")
    assert events
    for event in events:
        assert event.name in EVENTS
        assert isinstance(json.loads(event.data), dict)


@of("sh usage")
def test_commands(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Commands exist and take these options."""
    monkeypatch.chdir(tmp_path)
    Path("todo-app.yaml").touch()
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        match words:
            case []:
                pass
            case ["livetail", name, *arguments]:
                assert isinstance(main, click.Group)
                main.commands[name].make_context(name, arguments)
            case ["make", *arguments]:
                subprocess.run(["make", "-n", "-C", ROOT, *arguments], check=True, capture_output=True)
            case ["export", _]:
                pass
            case _:
                raise AssertionError(f"{block}: {line!r} is no command that is known here")


def spans(beginning: str) -> list[tuple[Path, str]]:
    """Code within sentences that begins so, with its page."""
    found = []
    for page in PAGES:
        plain = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
        found += [(page, span.replace("\n", " ")) for span in re.findall(rf"`({beginning}[^`]*)`", plain)]
    assert found
    return found


def test_commands_in_sentences():
    assert isinstance(main, click.Group)
    for page, span in spans("livetail "):
        _, name, *words = span.split()
        if name in {
            option for parameter in main.get_params(click.Context(main)) for option in parameter.opts
        }:
            continue
        options = {option for parameter in main.commands[name].params for option in parameter.opts}
        for word in re.findall(r"(?<![\w-])--?\w[\w-]*", " ".join(words)):
            assert word in options, f"{page}: {span}"


def test_keys_in_sentences():
    known = {key for keys in KEYS.values() for key in keys} | {camel(limit.name) for limit in fields(Limits)}
    for page, span in spans(r"(?:modules|auth)\."):
        if re.fullmatch(r"[\w.<>]+", span):
            assert [key for key in span.split(".") if key not in known and key[0] != "<"] == [], (
                f"{page}: {span}"
            )


def test_error_codes_say_what_to_do():
    table = (ROOT / "broadcaster" / "docs" / "api.md").read_text()
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for row in re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE):
        rows[row[0]] += row[1].split(" | ")
    assert {code for code in CODES if len(rows[code]) != 3} == set()
    assert {code for code, (status, *_) in rows.items() if not status.isdigit()} == set()
