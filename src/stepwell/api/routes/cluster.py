"""The cluster: which servers share the work of the store, and who owns which shard."""

from __future__ import annotations

from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.context import Here
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape

router = new_router("cluster")


class NodeShape(Shape):
    """A server, or another engine, that owns shards or could. `id` is unique, and the owner of its leases; `name` is
    for people; `shards` is how many it owns."""

    id: str
    name: str
    version: str | None
    url: str | None
    since: str | None
    leaving: bool
    shards: int


class LeaseShape(Shape):
    """Who owns a shard, and until when unless he renews it. What is not `alive` is taken over."""

    shard: int
    owner: str
    expires_at: str
    alive: bool


class ClusterShape(Shape):
    """How the work is shared: by `node`, which has answered, and the others. `shards` is how many are shared out; 0
    when each engine has one of its own."""

    node: str
    shards: int
    nodes: list[NodeShape]
    leases: list[LeaseShape]


@router.get("/cluster", operation_id="showCluster", response_model=ClusterShape)
async def show_cluster(here: Here) -> Response:
    """The nodes that are alive, and the leases of all shards."""
    return answer(await here.cluster.shown())
