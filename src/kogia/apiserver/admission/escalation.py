"""Nobody gives away what he has not got: writing a Role or a binding asks for the permissions it grants, or for `escalate` or `bind`.

Source: pkg/registry/rbac (clusterrole, role and binding policybased storage), pkg/registry/rbac/validation Covers.
"""

from __future__ import annotations

import json
from typing import Any

from kogia.api.status import StatusError, forbidden, not_found
from kogia.apiserver.auth.attributes import Attributes, Authorizer
from kogia.apiserver.auth.rbac import GROUP, RbacAuthorizer, Rule
from kogia.apiserver.interface import AdmissionAttributes

Obj = dict[str, Any]
RESOURCES = tuple((GROUP, plural, "") for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings"))
_EVERYTHING: list[Rule] = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]


def _has(owned: list[str], wanted: str) -> bool:
    return "*" in owned or wanted in owned


def _has_resource(owned: list[str], wanted: str) -> bool:
    if _has(owned, wanted):
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"*/{subresource}" in owned


def _has_path(owned: list[str], wanted: str) -> bool:
    return any(o == wanted or o == "*" or (o.endswith("*") and wanted.startswith(o[:-1])) for o in owned)


def _atoms(rule: Rule) -> list[Rule]:
    """The rule as rules of one verb, group, resource and name (or one verb and path) each."""
    atoms: list[Rule] = []
    for verb in rule.get("verbs") or ():
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                base = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                atoms += [{**base, "resourceNames": [name]} for name in rule.get("resourceNames") or ()] or [base]
        atoms += [{"verbs": [verb], "nonResourceURLs": [path]} for path in rule.get("nonResourceURLs") or ()]
    return atoms


def _covers(owner: Rule, atom: Rule) -> bool:
    if not _has(owner.get("verbs") or [], atom["verbs"][0]):
        return False
    if "nonResourceURLs" in atom:
        return _has_path(owner.get("nonResourceURLs") or [], atom["nonResourceURLs"][0])
    if not _has(owner.get("apiGroups") or [], atom["apiGroups"][0]) or not _has_resource(owner.get("resources") or [], atom["resources"][0]):
        return False
    names = owner.get("resourceNames")
    return not names or ("resourceNames" in atom and atom["resourceNames"][0] in names)


def uncovered(owned: list[Rule], wanted: list[Rule]) -> list[Rule]:
    """What of `wanted` is granted by none of `owned`, in single pieces."""
    return [atom for rule in wanted for atom in _atoms(rule) if not any(_covers(o, atom) for o in owned)]


class EscalationCheck:
    def __init__(self, rbac: RbacAuthorizer, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def __call__(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        if "system:masters" in a.user.groups:
            return
        if a.resource.plural in ("clusterroles", "roles"):
            self._role(a, a.obj)
        else:
            self._binding(a, a.obj)

    def _role(self, a: AdmissionAttributes, obj: Obj) -> None:
        old = a.old or {}
        wanted = obj.get("rules") or []
        if a.operation == "UPDATE" and wanted == (old.get("rules") or []) and obj.get("aggregationRule") == old.get("aggregationRule"):
            return
        if self._may(a, "escalate", a.resource.plural, a.namespace, obj["metadata"].get("name", "")):
            return
        if obj.get("aggregationRule") and obj.get("aggregationRule") != old.get("aggregationRule"):
            wanted = _EVERYTHING
        self._refuse_unless_held(a, wanted)

    def _binding(self, a: AdmissionAttributes, obj: Obj) -> None:
        old = a.old or {}
        same = obj.get("roleRef") == old.get("roleRef") and obj.get("subjects") == old.get("subjects")
        if a.operation == "UPDATE" and same:
            return
        reference = obj.get("roleRef") or {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        plural = "roles" if kind == "Role" else "clusterroles"
        if self._may(a, "bind", plural, a.namespace, name):
            return
        rules = self._rbac.role_rules(kind, name, a.namespace)
        if rules is None:
            raise not_found(plural, name, GROUP)
        self._refuse_unless_held(a, rules)

    def _may(self, a: AdmissionAttributes, verb: str, plural: str, namespace: str, name: str) -> bool:
        return self._authorizer.authorize(Attributes(a.user, verb, True, GROUP, "v1", plural, "", namespace, name)).allowed

    def _refuse_unless_held(self, a: AdmissionAttributes, wanted: list[Rule]) -> None:
        missing = uncovered(self._rbac.rules_for(a.user, a.namespace), wanted)
        if missing:
            raise _refusal(a, missing)


def _refusal(a: AdmissionAttributes, missing: list[Rule]) -> StatusError:
    names = {"apiGroups": "APIGroups", "resources": "Resources", "resourceNames": "ResourceNames", "nonResourceURLs": "NonResourceURLs", "verbs": "Verbs"}

    def show(rule: Rule) -> str:
        return "{" + ", ".join(f"{go}:{json.dumps(rule[key])}" for key, go in names.items() if key in rule) + "}"

    groups = json.dumps(list(a.user.groups))
    listed = "\n".join(show(rule) for rule in missing)
    why = f'user "{a.user.name}" (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{listed}'
    return forbidden(a.resource.plural, a.name, why, a.resource.group)
