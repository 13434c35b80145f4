"""A Kafka cluster for tests: the mock cluster that librdkafka has built in. It speaks Kafka's protocol over TCP on free
ports of the loopback interface, and keeps everything in memory. No real broker of Kafka takes part.

The Python package shows no way to take its brokers down; librdkafka itself has one, which is called here.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import itertools
import os
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import pytest

TOO_LARGE: Final = 10
"""Kafka's number for a message that is too large."""
PRODUCE: Final = 0
"""Kafka's number for requests that publish."""
_PRODUCER: Final = 0

_numbers = itertools.count(1)


class KafkaCluster:
    """One broker in a cluster of its own."""

    def __init__(self) -> None:
        self._library = _library()
        problem = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", problem, 512)
        self._client = self._library.rd_kafka_new(_PRODUCER, settings, problem, 512)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)

    @property
    def servers(self) -> str:
        """Where it listens."""
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def add_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic."""
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)

    def stop(self) -> None:
        """Take the broker down: connections are cut and none are accepted."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def start(self) -> None:
        """Bring it up again, with everything that it kept."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    def fail_next(self, api: int, *errors: int) -> None:
        """Answer the next requests of a kind with errors, one each."""
        for error in errors:
            self._library.rd_kafka_mock_push_request_errors(self._cluster, ctypes.c_int16(api), 1, ctypes.c_int(error))

    def close(self) -> None:
        """End it."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


@functools.cache
def shared_cluster() -> KafkaCluster:
    """The cluster that the tests of this process share; it ends with the process."""
    cluster = KafkaCluster()
    atexit.register(cluster.close)
    return cluster


def new_topic(name: str) -> str:
    """The name of a topic that no other test uses."""
    return f"{name}-{os.getpid()}-{next(_numbers)}"


@functools.cache
def _library() -> Any:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    found = sorted(folder.glob("librdkafka*")) if folder.is_dir() else []
    if not found:
        pytest.skip("librdkafka is not where the wheel of confluent-kafka has it, so there is no mock cluster")
    library = ctypes.CDLL(str(found[0]))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_conf_set.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    for name in ("rd_kafka_mock_broker_set_down", "rd_kafka_mock_broker_set_up"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_push_request_errors.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.c_int,
    ]
    library.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
    return library
