"""The documents of a source as one, while they are turned into a native document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepwell.base.spans import Source
from stepwell.definition.context import Context, Known
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import wrong_type
from stepwell.definition.settings_checks import check_filter
from stepwell.dialects.execution.expressions import Names, variables
from stepwell.dialects.execution.models import ManifestDoc
from stepwell.dialects.language import Language
from stepwell.dialects.origin import Taken, source_path
from stepwell.expression.unparsing import unparse


@dataclass(frozen=True, slots=True)
class Whole:
    """What is at hand for every part.

    Attributes:
        origins: where in the source the parts stand, by their paths in the whole.
        language: the expressions, translated to native ones.
        names: what expressions need to know.
        manifests: the activities that the document itself declares, by name; and where they stand.
        policies: those that steps refer to; filled while the steps are made.
    """

    origins: Mapping[Path, Path]
    findings: Findings
    language: Language
    names: Names
    manifests: Mapping[str, tuple[ManifestDoc, Path]]
    policies: dict[str, Any] = field(default_factory=dict)

    def taken(self, value: Any, path: Path) -> Any:
        """The value, which was made from what stands at `path`; None stays None."""
        return None if value is None else Taken(value, self.origin(path))

    def origin(self, path: Path) -> Path:
        """Where in the source the part at `path` stands."""
        return source_path(path, self.origins)

    def template(self, value: Any, path: Path) -> Any:
        """A value with its expressions translated."""
        return self.taken(self.language.template(value, path, self.findings), path)

    def checked_filter(self, written: Any, path: Path) -> bool:
        """Whether what stands at `path` is a filter; what is wrong is recorded."""
        alone = Findings(Source("", ""))
        check_filter(written, path, Context(alone, Known()))
        check_filter(written, path, Context(self.findings, Known()))
        if isinstance(written, dict):
            return not alone.has_errors()
        if not alone.has_errors():
            wrong_type("a mapping from paths to values or operators", written, path, self.findings)
        return False

    def all_variables(self) -> str:
        """The native text that yields all variables."""
        return f"{{{{ {unparse(variables(self.names.published))} }}}}"


def given(**parts: Any) -> dict[str, Any]:
    """The parts that are there."""
    return {key: part for key, part in parts.items() if part is not None}
