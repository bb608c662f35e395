"""Reads values out of a YAML document; every error names file, line and key path, and never shows a secret. (pure)"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NoReturn, Self

import yaml

from cdc.errors import ConfigError

_VARIABLE: Final = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\}|\{([^}]*)\}?)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|TiB)?")
_BYTES: Final = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
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
            raise ConfigError(f"{at}: not YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{where}: not YAML: {error}") from None
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
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self.fail("its keys must be plain words")
            path = f"{self.path}.{key}" if self.path else key
            at = Reader(key_node, path, self._where, self._environ)
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

    def secret(self) -> Secret:
        """Text that no error or log shows."""
        return Secret(self.string())

    def choice(self, allowed: Iterable[str]) -> str:
        """One of these words."""
        text, words = self.string(), list(allowed)
        if text not in words:
            near = difflib.get_close_matches(text, words, 1, 0.5)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            self.fail(f"must be one of {', '.join(words)}, not `{text}`{hint}")
        return text

    def boolean(self) -> bool:
        """true or false."""
        text = self._text()
        if text.lower() not in ("true", "false"):
            self.fail(f"must be true or false, not `{text}`")
        return text.lower() == "true"

    def whole(self, least: int = 1) -> int:
        """A whole number, `least` or more."""
        text = self._text()
        if not text.isdecimal() or int(text) < least:
            self.fail(f"must be a whole number, {least} or more, not `{text}`")
        return int(text)

    def size(self) -> int:
        """A number of bytes such as `512MiB`; 1 or more."""
        match = _SIZE.fullmatch(self._text())
        if match is None or not int(match[1]):
            self.fail(f"must be a size such as 512KiB, 64MiB or 1GiB, not `{self._text()}`")
        return int(match[1]) * _BYTES[match[2]]

    def duration(self) -> float:
        """Seconds, from a text such as `15s`; more than none."""
        match = _DURATION.fullmatch(self._text())
        if match is None or not float(match[1]):
            self.fail(f"must be a duration such as 500ms, 30s, 15m, 24h or 7d, not `{self._text()}`")
        return float(match[1]) * _SECONDS[match[2]]

    def _text(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode) or self.is_null:
            self.fail(f"must be a value, not {self._kind()}")
        return _VARIABLE.sub(self._variable, str(self._node.value))

    def _variable(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] is None:
            self.fail(f"`{match[0]}` is not a variable: write ${{NAME}}, or $$ for a dollar sign")
        if match[1] not in self._environ:
            self.fail(f"the environment variable {match[1]} is not set")
        return self._environ[match[1]]

    def _kind(self) -> str:
        return "nothing" if self.is_null else _KINDS[type(self._node)]
