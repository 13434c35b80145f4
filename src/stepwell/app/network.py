"""Where steps, and webhooks that the server sends, may connect to."""

from __future__ import annotations

from stepwell.app.configuration import Configuration
from stepwell.tasks.addresses import AddressGuard, networks_of


def guard_of(configuration: Configuration) -> AddressGuard:
    """The configured guard: for `HttpClient`."""
    section = configuration.security.network
    return AddressGuard(section.allow_private, networks_of(section.allow), networks_of(section.deny))
