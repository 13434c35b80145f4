"""Steps that a Dask cluster does: the function is called there, everything around it is done here."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import secrets
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgspec

from stepwell.base.errors import ConfigurationError
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.worker.dask_call import Call, Outcome, ShippedContext, carry_out

CONNECT_SECONDS: Final = 10.0
"""So long a scheduler may take to answer."""

_log = logging.getLogger("stepwell.worker")

_Client: TypeAlias = Any
_Future: TypeAlias = Any
"""Of the library, which has no types."""

Prepare: TypeAlias = Callable[[Any, TaskContext], Call]
"""Makes a call of a step's configuration; the context is what the function is given if it asks for one.

Raises: TaskError, NotFound: it cannot be called like this.
"""


class DaskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a scheduler is reached: its address, and for `tls://` whom to trust and what to show."""

    scheduler: str
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


class DaskCluster:
    """The connection to a scheduler: made when it is first needed, and again after it was lost.

    Attributes:
        grave: not being able to reach it keeps no server from being ready.
    """

    grave = False

    def __init__(self, options: DaskOptions) -> None:
        self._options = options
        self._client: _Client | None = None
        self._connecting: asyncio.Task[_Client] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why the scheduler cannot be used, a sentence; None when it can, or was not needed yet."""
        return self._problem

    def check(self) -> None:
        """That the library is there.

        Raises:
            ConfigurationError: it is not.
        """
        try:
            importlib.import_module("distributed")
        except ImportError:
            message = "steps on a Dask cluster need a library that is not installed: distributed"
            raise ConfigurationError(message, code="missing-library", hint="pip install 'stepwell[dask]'") from None
        # It logs every failure as an error with a traceback; what matters is said here, once.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)

    async def call(self, call: Call, context: TaskContext) -> Outcome:
        """Have the call made by one of the cluster's workers.

        Raises:
            TaskError: (type `compute_unavailable`, `compute_lost`, `worker_lost`; another try may help) the cluster
                cannot do it; (type `invalid_task`) the function cannot be sent.
        """
        cloudpickle, distributed = importlib.import_module("cloudpickle"), importlib.import_module("distributed")
        try:
            pickled = cloudpickle.dumps(call)
        except Exception as error:  # whatever the function drags along
            raise TaskError("invalid_task", f"the task cannot be sent to Dask: {error}") from None
        future = self._submitted(await self._connected(), pickled, context)
        try:
            outcome: Outcome = await future
        except asyncio.CancelledError:
            self._spawn(self._cancelled(future))
            raise
        except distributed.CancelledError as error:
            self._lose(f"the connection was lost ({getattr(error, 'reason', None) or 'the work was cancelled there'})")
            message = "the Dask scheduler was lost while the step was at work"
            raise TaskError("compute_lost", message, retryable=True) from None
        except distributed.KilledWorker as error:
            message = f"workers of the Dask cluster were lost with the step: {error}"
            raise TaskError("worker_lost", message, retryable=True) from None
        except OSError as error:
            raise TaskError("compute_lost", f"the Dask cluster failed: {error}", retryable=True) from None
        return outcome

    async def close(self) -> None:
        """Give up the connection. May be called twice."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._client is not None:
            self._spawn(self._closed(self._client))
            self._client = None
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _submitted(self, client: _Client, pickled: bytes, context: TaskContext) -> _Future:
        assignment = msgspec.structs.replace(context.assignment, config=None)
        key = f"stepwell-{assignment.id}-{self._run}-{next(self._numbers)}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            return client.submit(carry_out, pickled, assignment, context.sealed(), key=key, pure=False)

    async def _connected(self) -> _Client:
        """The connection; many may wait for the same.

        Raises:
            TaskError: (type `compute_unavailable`) there is none to be had now.
        """
        if self._client is not None and self._client.status == "running":
            return self._client
        if self._client is not None:
            self._lose("the connection was lost")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._noted)
        try:
            return await asyncio.shield(self._connecting)
        except (OSError, TimeoutError, ValueError) as error:
            message = f"the Dask scheduler at {self._options.scheduler} cannot be reached: {error}"
            raise TaskError("compute_unavailable", message, retryable=True) from None

    async def _connect(self) -> _Client:
        distributed: Any = importlib.import_module("distributed")
        options, security = self._options, None
        if options.ca_file is not None or options.client_cert is not None:
            security = distributed.Security(
                tls_ca_file=options.ca_file,
                tls_client_cert=options.client_cert,
                tls_client_key=options.client_key,
                require_encryption=True,
            )
        client = distributed.Client(
            options.scheduler,
            asynchronous=True,
            set_as_default=False,
            timeout=CONNECT_SECONDS,
            security=security,
            name="stepwell",
        )
        try:
            await client
        except BaseException:
            self._spawn(self._closed(client))
            raise
        return client

    def _noted(self, connecting: asyncio.Task[_Client]) -> None:
        self._connecting = None
        if connecting.cancelled():
            return
        error = connecting.exception()
        if error is None:
            if self._problem is not None:
                _log.warning("the Dask scheduler at %s is reached again", self._options.scheduler)
            self._client, self._problem = connecting.result(), None
        else:
            self._note_problem(f"it cannot be reached: {str(error) or type(error).__name__}")

    def _lose(self, problem: str) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._spawn(self._closed(client))
            self._note_problem(problem)

    def _note_problem(self, problem: str) -> None:
        if self._problem is None:
            _log.warning("the Dask scheduler at %s: %s", self._options.scheduler, problem)
        self._problem = problem

    async def _closed(self, client: _Client) -> None:
        with suppress(Exception):
            await client.close(timeout=1)

    async def _cancelled(self, future: _Future) -> None:
        with suppress(Exception):
            await future.cancel()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class DaskHandler(TaskHandler):
    """Has the function of a step called by a Dask cluster."""

    def __init__(self, cluster: DaskCluster, prepare: Prepare) -> None:
        self._cluster = cluster
        self._prepare = prepare

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Call the function there; the result is what it returns.

        Raises:
            TaskError: what it raised, under its name; or see `DaskCluster.call`. NotFound: (code `unknown-task`).
        """
        texts: Sequence[str] = context.sealed()
        shipped = ShippedContext(context.assignment, texts, context.traceparent)
        outcome = await self._cluster.call(self._prepare(config, shipped), context)
        error = outcome.error
        if error is not None:
            raise TaskError(error.type, error.message, details=error.details, retryable=error.retryable)
        return TaskResult(outcome.result)

    async def close(self) -> None:
        await self._cluster.close()
