"""`Launch`: how a local MCP server is started or reached, as a value that shows none of its secrets."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import urlsplit

from ...content.secret_names import is_secret_name
from ...content.secrets import Hidden, Secrets
from ..redaction import one_line, secrets_of

# Programs that run the one that is named after them.
_LAUNCHERS = ("uvx", "uv", "npx", "pipx", "bunx", "deno", "docker", "podman", "node", "bun", "sh", "bash", "env")
_PYTHON = re.compile(r"(python|pypy)[\d.]*")
# A package or a script, as it may be shown: no option, no folder, no assignment.
_PLAIN = re.compile(r"@?[A-Za-z][\w.@/:-]*|[\w.@/\\: ~-]+\.(?:py|js|mjs|ts)")
_VERBS = ("run", "tool", "exec", "x", "dlx")
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
MAX_LABEL_CHARACTERS = 40
NO_COMMAND = Hidden("")


@dataclass(frozen=True)
class Launch:
    """A command with its arguments, environment and folder, or the `url` of a server on this machine.

    `key` is its name in the configuration; empty for one that was typed. `environment` is added to what the server
    inherits: PATH, HOME and the like, and nothing else of the kernel's.
    """

    key: str = ""
    command: Hidden = NO_COMMAND
    arguments: tuple[Hidden, ...] = ()
    environment: tuple[tuple[str, Hidden], ...] = ()
    folder: str | None = None
    url: str = ""

    @property
    def label(self) -> str:
        """A short name for messages, and in front of names of tools that others have, too."""
        words = [self.key] if self.key else [urlsplit(self.url).netloc] if self.url else self._words()
        name = _NAME.sub("_", words[0]).strip("_-")[:MAX_LABEL_CHARACTERS]
        return name or "mcp"

    @property
    def is_command_found(self) -> bool:
        """Whether there is such a program."""
        command = os.path.join(self.folder or "", self.command) if os.sep in self.command else self.command
        path = dict(self.environment).get("PATH") or os.environ.get("PATH")
        return shutil.which(command, path=path) is not None

    @property
    def secrets(self) -> tuple[Hidden, ...]:
        """What looks like a secret in the environment and the arguments: it is masked wherever Claude would see it."""
        named = [value for name, value in self.environment if is_secret_name(name)]
        return secrets_of(*named, *_secret_arguments(self.arguments))

    def redacted(self, message: object) -> str:
        """A message of the server, or about it, on one line, without its secrets and its environment."""
        values = [value for _, value in self.environment if len(value) >= 4]
        secrets = sorted({*values, *self.secrets}, key=len, reverse=True)
        return one_line(Secrets().masked(one_line(message, tuple(secrets)))[0])

    def _words(self) -> list[str]:
        """The word of the command line that names the program, if any is plain enough to be shown."""
        words = [PurePath(self.command).stem, *self.arguments]
        if not (words[0] in _LAUNCHERS or _PYTHON.fullmatch(words[0])):
            return words
        secret = set(self.secrets)
        plain = [each for each in words[1:] if _PLAIN.fullmatch(each) and each not in secret and each not in _VERBS]
        shown = [each for each in plain if not Secrets().masked(each)[1]]
        return [PurePath(each.rpartition("/")[2]).stem for each in shown] or words


def _secret_arguments(arguments: Sequence[str]) -> Iterable[str]:
    """The arguments, or parts of them, that have a secret's name before them: `--token X`, `--api-key=X`, `TOKEN=X`."""
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and is_secret_name(name.lstrip("-")):
            yield value
        elif Secrets().masked(argument)[1] or (before.startswith("-") and is_secret_name(before.lstrip("-"))):
            yield argument
        before = argument
