"""Builds a version."""


def run(version: str, kind: str) -> dict[str, str]:
    """The name of what was built."""
    return {"artifact": f"app-{version}.{kind}"}
