"""Reads values out of a YAML document; every error names file, line and key path, and never shows a secret. (pure)"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NoReturn, Self

import yaml

from cdc.errors import ConfigError

_VARIABLE: Final = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\}|\{)")
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"([0-9]{1,15})\s*(B|KiB|MiB|GiB|TiB)?")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_BYTES: Final = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MOST_BYTES: Final = (1 << 63) - 1
_NAMED: Final = re.compile(r"'[\w!-]{2,}'")  # PyYAML quotes the file's own words, which may be a password's
PLAIN_KEY: Final = re.compile(r"<<|[\w$.-][\w $.-]{0,99}")
_URL: Final = re.compile(
    r"https://[^\s/@]+(?:/\S*)?|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?(?:/\S*)?"
)
_PLAIN_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
_STANDARD_TAG: Final = "tag:yaml.org,2002:"
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_KINDS: Final = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list", yaml.ScalarNode: "a value"}


class Secret:
    """A string that is shown to nobody who does not ask."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Reader:
    """One node of the document and the path to it."""

    def __init__(self, node: yaml.Node, path: str, where: str, environ: Mapping[str, str]) -> None:
        self._node = node
        self.path = path
        self._where = where
        self._environ = environ

    @classmethod
    def of(cls, text: str, where: str, environ: Mapping[str, str]) -> Self:
        """The root. where: the file's name, for messages. Raises ConfigError for what is no YAML mapping."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = where if mark is None else f"{where}:{mark.line + 1}:{mark.column + 1}"
            why = ", ".join(part for part in (error.context, error.problem) if part)
            raise ConfigError(f"{at}: not YAML: {_NAMED.sub('…', why)}") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigError(
                f"{where}:{line}: not YAML: the character U+{error.character:04X} may not be in a file"
            ) from None
        except RecursionError:
            raise ConfigError(f"{where}: not YAML for this purpose: nested too deeply") from None
        except (ValueError, OverflowError):  # PyYAML lets them out for escapes and versions that cannot be
            raise ConfigError(
                f"{where}: not YAML: an escape such as \\U0001F600, or a %YAML version, is out of range"
            ) from None
        if node is None:
            raise ConfigError(f"{where}: the file is empty; it needs at least `id` and `modules.crud`")
        return cls(node, "", where, environ)

    def fail(self, problem: str) -> NoReturn:
        """Raise ConfigError: file:line: path: problem."""
        raise ConfigError(
            f"{self._where}:{self._node.start_mark.line + 1}: {self.path or 'the file'}: {problem}"
        )

    def mapping(self, known: Iterable[str] | None = None) -> dict[str, Reader]:
        """The entries by key; `known`: all keys that may be there."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail(f"must be a mapping of keys, not {self._kind()}")
        allowed = None if known is None else list(known)
        entries: dict[str, Reader] = {}
        for key_node, value in self._node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not PLAIN_KEY.fullmatch(key_node.value):
                # Not shown: it may be a connection string in the wrong place.
                Reader(key_node, self.path, self._where, self._environ).fail("a key here is not a plain name")
            key: str = key_node.value
            path = f"{self.path}.{key}" if self.path else key
            at = Reader(key_node, path, self._where, self._environ)
            if key_node.tag == _MERGE_TAG:
                at.fail("merge keys are not supported; an alias (`key: *name`) is")
            if key in entries:
                at.fail("the key stands here twice")
            if allowed is not None and key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1, 0.5)
                hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(allowed)}"
                at.fail(f"unknown key; {hint}")
            entries[key] = Reader(value, path, self._where, self._environ)
        return entries

    def items(self) -> Iterator[Reader]:
        """The elements of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail(f"must be a list, not {self._kind()}")
        for place, node in enumerate(self._node.value):
            yield Reader(node, f"{self.path}[{place}]", self._where, self._environ)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def is_null(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode) and self._node.tag == "tag:yaml.org,2002:null"

    def string(self) -> str:
        """Text that is not empty, `${NAME}` replaced from the environment (`$$` is a dollar sign)."""
        text = self._text()
        if not text:
            self.fail("must not be empty")
        return text

    def plain(self) -> str | int | float | bool:
        """A text, or what YAML takes for a number or a truth value where it is not in quotes."""
        text = self.string()
        if not isinstance(self._node, yaml.ScalarNode) or self._node.style is not None:
            return text
        if text in ("true", "false"):
            return text == "true"
        if _PLAIN_NUMBER.fullmatch(text):
            return float(text) if "." in text else int(text)
        return text

    def secret(self) -> Secret:
        """Text that no error or log shows."""
        return Secret(self.string())

    def choice(self, allowed: Iterable[str]) -> str:
        """One of these words."""
        text, words = self.string(), list(allowed)
        if text not in words:
            near = difflib.get_close_matches(text, words, 1, 0.5)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            self._unlike(f"one of {', '.join(words)}", hint)
        return text

    def boolean(self) -> bool:
        """true or false."""
        text = self._text().lower()
        if text not in ("true", "false"):
            self._unlike("true or false")
        return text == "true"

    def whole(self) -> int:
        """A whole number, 1 or more."""
        text = self._text()
        if not _WHOLE.fullmatch(text) or not int(text):
            self._unlike("a whole number, 1 or more")
        return int(text)

    def size(self) -> int:
        """A number of bytes such as `512MiB`; 1 or more."""
        match = _SIZE.fullmatch(self._text())
        size = 0 if match is None else int(match[1]) * _BYTES[match[2]]
        if not 0 < size <= _MOST_BYTES:
            self._unlike("a size such as 512KiB, 64MiB or 1GiB")
        return size

    def duration(self) -> float:
        """Seconds, from a text such as `15s`; more than none."""
        match = _DURATION.fullmatch(self._text())
        if match is None or not float(match[1]):
            self._unlike("a duration such as 500ms, 30s, 15m, 24h or 7d")
        return float(match[1]) * _SECONDS[match[2]]

    def _unlike(self, wanted: str, hint: str = "") -> NoReturn:
        """Fail with what the file has; never with what the environment put there, or what may be a connection string
        in the wrong place."""
        found = "this" if "://" in self._node.value else f"{self._node.value!r:.100}"
        self.fail(f"must be {wanted}, not {found}{hint}")

    def _text(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode) or self.is_null:
            self.fail(f"must be a value, not {self._kind()}")
        if not self._node.tag.startswith(_STANDARD_TAG):
            self.fail("what begins with ! is a tag in YAML; put the value in quotes")
        text = _VARIABLE.sub(self._variable, str(self._node.value))
        if _NO_TEXT.search(text):
            self.fail("holds a zero byte, or bytes that are not UTF-8")
        return text

    def _variable(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] is None:
            self.fail("`${` does not begin a variable here: write ${NAME}, or $$ for a dollar sign")
        if match[1] not in self._environ:
            self.fail(f"the environment variable {match[1]} is not set")
        return self._environ[match[1]]

    def _kind(self) -> str:
        return "nothing" if self.is_null else _KINDS[type(self._node)]


def parse_url(node: Reader) -> str:
    """A URL to ask. Raises ConfigError for one that would be asked in the open, or holds a password."""
    url = node.string()
    if not _URL.fullmatch(url):
        node.fail("must be an https:// URL without user and password (http:// on this machine only)")
    return url
