"""What a definition must satisfy beyond its form: names, edges, joins, cycles, policies, timeouts."""

from __future__ import annotations

from stepwell.definition.building import Parts
from stepwell.definition.channel_checks import check_channels
from stepwell.definition.context import Context
from stepwell.definition.edge_checks import check_edges
from stepwell.definition.effect_checks import check_effects
from stepwell.definition.groups import Groups, is_listed, name_path
from stepwell.definition.model import Step
from stepwell.definition.naming_checks import check_fallbacks, check_mentions
from stepwell.definition.policy_checks import check_policies, check_timeouts
from stepwell.definition.references import check_references


def validate(parts: Parts, context: Context) -> None:
    """Check everything that needs more than one place of the document. What is wrong is recorded."""
    groups = Groups(parts)
    _check_names(groups.everything, context)
    for group in groups.all:
        separate = group is groups.all[0] and parts.config.branches == "separate"
        check_edges(group, groups, context, separate=separate)
    check_mentions(groups, context)
    check_fallbacks(groups, parts, context)
    check_policies(groups.everything, parts, context)
    check_timeouts(groups.everything, parts, context)
    check_effects(groups, parts, context)
    check_channels(groups.everything, parts, context)
    check_references(parts, groups, context)


def _check_names(steps: list[Step], context: Context) -> None:
    first: dict[str, Step] = {}
    for step in steps:
        if step.name not in first:
            first[step.name] = step
            continue
        where = context.findings.place(name_path(first[step.name]))
        message = f"there are two steps {step.name!r}; the first is in {where}"
        hint = "names are unique in the whole workflow, so that expressions can tell steps apart"
        context.findings.add("duplicate-name", message, name_path(step), hint=hint, key=not is_listed(step))
