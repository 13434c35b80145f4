"""Where `secrets.NAME` comes from: the environment, or a directory with a file for each secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from stepwell.base.errors import ConfigurationError, NotFound
from stepwell.base.namespaces import namespace_of
from stepwell.ports.services import SecretsByWorkflow, SecretSource

PREFIX: Final = "STEPWELL_SECRET_"
NOT_ALLOWED: Final = "secret-not-allowed"
LARGEST: Final = 64 * 1024
"""The largest secret file that is read, in bytes."""

_MOST_NAMESPACES: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}", re.ASCII)


class EnvironmentSecrets(SecretSource):
    """Environment variables: `secrets.TOKEN` is the variable `STEPWELL_SECRET_TOKEN`."""

    def __init__(self, environment: Mapping[str, str], prefix: str = PREFIX) -> None:
        self._environment = environment
        self._prefix = prefix

    def get(self, name: str) -> str:
        """Raises: NotFound (code `unknown-secret`)."""
        _check_name(name)
        value = self._environment.get(self._prefix + name)
        if value is None:
            raise _unknown(name, f"set the environment variable {self._prefix}{name}")
        return value


class DirectorySecrets(SecretSource):
    """A directory that holds one file for each secret, as container platforms mount them.

    A newline at the end of the file is not part of the secret. Files are read at every use, so that a changed secret
    is used from then on.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str) -> str:
        """Raises: NotFound (code `unknown-secret`); ConfigurationError: the file cannot be read, or is no text."""
        _check_name(name)
        try:
            with (self._directory / name).open("rb") as file:
                content = file.read(LARGEST + 1)
        except FileNotFoundError:
            raise _unknown(name, "put a file of that name into the directory of secrets") from None
        except OSError as error:
            raise ConfigurationError(f"the file of the secret {name!r} cannot be read: {error.strerror}") from None
        return _text_of(content, name)


class CombinedSecrets(SecretsByWorkflow):
    """Several sources; the first that knows a name answers."""

    def __init__(self, sources: Sequence[SecretSource]) -> None:
        self._sources = tuple(sources)
        self._of: dict[str, SecretSource] = {}  # by namespace: a worker asks for every attempt

    def get(self, name: str) -> str:
        """Raises: NotFound (code `unknown-secret`), as the last source raised it; (code `secret-not-allowed`) there is
        one, for others."""
        unknown = _unknown(name, "no source of secrets is configured")
        for source in self._sources:
            try:
                return source.get(name)
            except NotFound as error:
                unknown = unknown if unknown.code == NOT_ALLOWED else error
        raise unknown

    def of(self, workflow: str) -> SecretSource:
        """What a workflow may look up: first where it is said who may use a secret, so that whoever may set one for a
        namespace does not get that of the operator with the same name."""
        namespace = namespace_of(workflow)
        known = self._of.get(namespace)
        if known is None:
            own = [source.of(workflow) for source in self._sources if isinstance(source, SecretsByWorkflow)]
            others = [source for source in self._sources if not isinstance(source, SecretsByWorkflow)]
            known = CombinedSecrets([*own, *others])
            if len(self._of) < _MOST_NAMESPACES:
                self._of[namespace] = known
        return known


def is_secret_name(text: str) -> bool:
    """Whether a secret may be called so."""
    return _NAME.fullmatch(text) is not None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _unknown(name, "a name is made of letters, digits, '_' and '-', and begins with a letter or '_'")


def _text_of(content: bytes, name: str) -> str:
    if len(content) > LARGEST:
        raise ConfigurationError(f"the file of the secret {name!r} is larger than {LARGEST // 1024} KiB")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigurationError(f"the file of the secret {name!r} is not UTF-8 text") from None


def _unknown(name: str, hint: str) -> NotFound:
    return NotFound(f"there is no secret {name!r}", code="unknown-secret", hint=hint)
