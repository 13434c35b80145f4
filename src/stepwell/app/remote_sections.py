"""The sections of the configuration about work that is done elsewhere: NATS for workers, clusters for computing."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stepwell.app.sections import Section

_NATS_URL: Final = re.compile(r"(nats|tls|ws|wss)://|\{\{", re.ASCII)
_DASK_ADDRESS: Final = re.compile(r"(tcp|tls|ws|wss|inproc)://|\{\{", re.ASCII)


def _checked_nats(url: str) -> str:
    if not _NATS_URL.match(url):
        raise ValueError("expected the URL of a NATS server, such as nats://127.0.0.1:4222 or tls://HOST:4222")
    return url


def _checked_dask(address: str) -> str:
    if not _DASK_ADDRESS.match(address):
        raise ValueError("expected the address of a Dask scheduler, such as tcp://127.0.0.1:8786 or tls://HOST:8786")
    return address


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


NatsUrl = Annotated[str, AfterValidator(_checked_nats)]
"""It may hold secrets, so it is never shown."""


class NatsSection(Section):
    """Steps that name a queue are offered to workers through NATS JetStream.

    `url`: of a server, or a list of servers of one cluster; `{{ secrets.NAME }}` may be used there, in `password` and
    in `token`. `prefix`: of all subjects; one for each database. `outstanding`: so many tickets of a node stand in the
    stream for each queue. `replicas`: on how many servers of the cluster the stream is kept.
    """

    url: Annotated[list[NatsUrl], BeforeValidator(_as_list), Field(min_length=1)]
    prefix: str = Field(default="stepwell", pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=100)
    credentials: str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    outstanding: int = Field(default=1_000, ge=1, le=1_000_000)
    replicas: int = Field(default=1, ge=1, le=5)


class DaskSection(Section):
    """Steps of type `python` are done by the Dask cluster of this scheduler: those that name `queue`, or when there is
    none all that name no queue. At most `max_concurrent` are with the cluster at once.

    `ca_file`, `client_cert`, `client_key`: for an address that begins with tls://.
    """

    scheduler: Annotated[str, AfterValidator(_checked_dask)]
    queue: str | None = Field(default=None, min_length=1)
    max_concurrent: int = Field(default=1_000, ge=1)
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


class ComputeSection(Section):
    """Clusters that compute. `dask`: the address of a scheduler, or a mapping."""

    dask: DaskSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _may_be_an_address(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("dask"), str):
            return {**values, "dask": {"scheduler": values["dask"]}}
        return values
