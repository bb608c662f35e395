"""What the demo tells people to open and to run."""

import shlex
from urllib.parse import parse_qs, urlsplit

import pytest

from broadcaster.demo.demo import curl_command
from broadcaster.serve import base_url


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (("127.0.0.1", 4122), "http://localhost:4122"),
        (("0.0.0.0", 80), "http://localhost:80"),
        (("::1", 4122), "http://localhost:4122"),
        (("192.168.1.7", 4122), "http://192.168.1.7:4122"),
        (("fe80::1", 4122), "http://[fe80::1]:4122"),
        (("dev.example", 4122), "http://dev.example:4122"),
    ],
)
def test_base_url(listen, url):
    assert base_url(listen) == url


def test_the_curl_command_survives_shell_and_curl():
    program, unbuffered, url = shlex.split(curl_command("http://localhost:4122", "todo-app", "mongo"))
    assert (program, unbuffered) == ("curl", "-N")
    assert not set("{}[]") & set(url)
    parts = urlsplit(url)
    assert parts.path == "/v1/api/todo-app/realtime/mongo/todos"
    assert parse_qs(parts.query) == {"where": ['{"done":false}']}
