"""Spans as OpenTelemetry's library has them; imported only when executions are traced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.base.version import VERSION

if TYPE_CHECKING:
    from stepwell.telemetry.tracing import TraceParent

_NANOSECONDS: Final = 1_000
_LONGEST_MESSAGE: Final = 1_000


class Spans:
    """Hands spans that have ended to a processor."""

    def __init__(self, processor: SpanProcessor, node: str) -> None:
        self._processor = processor
        self._resource = Resource.create({"service.name": "stepwell", "service.instance.id": node})
        self._scope = InstrumentationScope("stepwell", VERSION)

    def add(
        self,
        *,
        name: str,
        trace: int,
        span: int,
        parent: int,
        started_at: int,
        ended_at: int,
        attributes: Mapping[str, str | int],
        error: ErrorInfo | None = None,
        linked: TraceParent | None = None,
    ) -> None:
        """Hand over one span. Instants in microseconds; `parent` 0 for none."""
        attributes = {**attributes, "error.type": error.type} if error is not None else attributes
        said = str(masked(error.message))[:_LONGEST_MESSAGE] if error is not None else None
        self._processor.on_end(
            ReadableSpan(
                name=name,
                context=_context(trace, span),
                parent=_context(trace, parent, is_remote=True) if parent else None,
                resource=self._resource,
                attributes=attributes,
                links=[Link(_context(*linked))] if linked is not None else (),
                status=Status(StatusCode.ERROR, said) if error is not None else Status(StatusCode.UNSET),
                start_time=started_at * _NANOSECONDS,
                end_time=ended_at * _NANOSECONDS,
                instrumentation_scope=self._scope,
            )
        )

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._processor.shutdown()


def _context(trace: int, span: int, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, is_remote, TraceFlags(TraceFlags.SAMPLED))
