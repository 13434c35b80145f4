"""Who may do what: one line for every path. A test fails on a route that is not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from stepwell.api.caller import Role

Permission = Role | Literal["anybody"]
"""The lowest role that may; `anybody` needs not even say who he is."""

PERMISSIONS: Final[Mapping[tuple[str, str], Permission]] = {
    ("GET", "/openapi.json"): "anybody",
    ("GET", "/docs"): "anybody",
    ("GET", "/docs/docs.js"): "anybody",
    ("GET", "/docs/docs.css"): "anybody",
    ("POST", "/api/v1/workflows"): "developer",
    ("GET", "/api/v1/workflows"): "viewer",
    ("POST", "/api/v1/workflows/validate"): "viewer",
    ("GET", "/api/v1/workflows/{name}"): "viewer",
    ("GET", "/api/v1/workflows/{name}/graph"): "viewer",
    ("GET", "/api/v1/workflows/{name}/diff"): "viewer",
    ("GET", "/api/v1/workflows/{name}/plan"): "viewer",
    ("GET", "/api/v1/workflows/{name}/versions/{version}"): "viewer",
    ("PATCH", "/api/v1/workflows/{name}/versions/{version}"): "developer",
    ("GET", "/api/v1/workflows/{name}/versions/{version}/graph"): "viewer",
    ("GET", "/api/v1/workflows/{name}/versions/{version}/plan"): "viewer",
    ("POST", "/api/v1/workflows/{name}/executions"): "operator",
    ("GET", "/api/v1/executions"): "viewer",
    ("POST", "/api/v1/executions/actions"): "operator",
    ("GET", "/api/v1/executions/{execution_id}"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/steps"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/history"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/state"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/graph"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/why"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/compare"): "viewer",
    ("GET", "/api/v1/executions/{execution_id}/events"): "viewer",
    ("POST", "/api/v1/executions/{execution_id}/pause"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/resume"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/cancel"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/terminate"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/compensate"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/retry"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/rerun"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/rollback"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/skip-step"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/complete-step"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/fork"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/migrate"): "operator",
    ("POST", "/api/v1/executions/{execution_id}/signal"): "operator",
    ("GET", "/api/v1/events/stream"): "viewer",
    ("POST", "/api/v1/events"): "operator",
    ("GET", "/api/v1/approvals"): "viewer",
    ("GET", "/api/v1/approvals/{execution_id}/{step}"): "viewer",
    ("POST", "/api/v1/approvals/{execution_id}/{step}"): "operator",
    ("GET", "/api/v1/dead-letters"): "viewer",
    ("GET", "/api/v1/dead-letters/{execution_id}/{step}/{seq}"): "viewer",
    ("POST", "/api/v1/dead-letters/{execution_id}/{step}/{seq}/retry"): "operator",
    ("POST", "/api/v1/dead-letters/{execution_id}/{step}/{seq}/discard"): "operator",
    ("GET", "/api/v1/api-keys"): "admin",
    ("POST", "/api/v1/api-keys"): "admin",
    ("GET", "/api/v1/api-keys/{id}"): "admin",
    ("POST", "/api/v1/api-keys/{id}/rotate"): "admin",
    ("DELETE", "/api/v1/api-keys/{id}"): "admin",
    ("GET", "/api/v1/audit"): "admin",
    ("GET", "/api/v1/secrets"): "admin",
    ("PUT", "/api/v1/secrets/{name}"): "admin",
    ("DELETE", "/api/v1/secrets/{name}"): "admin",
    ("GET", "/api/v1/policies"): "viewer",
    ("PUT", "/api/v1/policies/{kind}/{name:path}"): "operator",
    ("DELETE", "/api/v1/policies/{kind}/{name:path}"): "operator",
    ("POST", "/api/v1/circuit-breakers/reset/{name:path}"): "operator",
    ("GET", "/api/v1/services"): "viewer",
    ("GET", "/api/v1/services/{name}"): "viewer",
    ("PUT", "/api/v1/services/{name}"): "admin",
    ("DELETE", "/api/v1/services/{name}"): "admin",
}
"""By method and path template, the prefix included. HEAD is what GET is."""

UNAUDITED: Final[frozenset[tuple[str, str]]] = frozenset({
    ("POST", "/api/v1/workflows/validate"),
})  # fmt: skip
"""What is no change, or is recorded elsewhere in full, such as the work of workers: not in the audit log."""
