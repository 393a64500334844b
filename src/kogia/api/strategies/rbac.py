"""Strategies of Role, ClusterRole, RoleBinding and ClusterRoleBinding. Escalation is checked by the API server, not here.

Source: kubernetes pkg/apis/rbac/{v1,validation}.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.rules import Errors, invalid_each, label_selector

Obj = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"


class RoleStrategy(KindStrategy):
    create_on_update = True
    name_check = staticmethod(names.path_segment_name)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        for i, rule in enumerate(obj.get("rules") or ()):
            _check_rule(errors, f"rules[{i}]", rule, namespaced=self.resource.namespaced)
        for i, selector in enumerate((obj.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()):
            label_selector(errors, f"aggregationRule.clusterRoleSelectors[{i}]", selector)
        if obj.get("aggregationRule") is not None and not obj["aggregationRule"].get("clusterRoleSelectors"):
            errors.append(required("aggregationRule.clusterRoleSelectors", "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        return errors


def _check_rule(errors: Errors, path: str, rule: Obj, *, namespaced: bool) -> None:
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.append(invalid_value(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            errors.append(invalid_value(f"{path}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs"))
        return
    if not rule.get("apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))


class RoleBindingStrategy(KindStrategy):
    create_on_update = True
    name_check = staticmethod(names.path_segment_name)

    def default(self, obj: Obj) -> None:
        role = obj.get("roleRef")
        if role is not None and not role.get("apiGroup"):
            role["apiGroup"] = GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        role = obj.get("roleRef") or {}
        kinds = ("Role", "ClusterRole") if self.resource.namespaced else ("ClusterRole",)
        if role.get("apiGroup") != GROUP:
            errors.append(not_supported("roleRef.apiGroup", role.get("apiGroup") or "", (GROUP,)))
        if role.get("kind") not in kinds:
            errors.append(not_supported("roleRef.kind", role.get("kind") or "", kinds))
        if not role.get("name"):
            errors.append(required("roleRef.name"))
        else:
            invalid_each(errors, "roleRef.name", role["name"], names.path_segment_name(role["name"]))
        for i, subject in enumerate(obj.get("subjects") or ()):
            _check_subject(errors, f"subjects[{i}]", subject)
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        if obj.get("roleRef") != old.get("roleRef"):
            return [invalid_value("roleRef", obj.get("roleRef"), "cannot change roleRef")]
        return []


def _check_subject(errors: Errors, path: str, subject: Obj) -> None:
    kind, name, group = subject.get("kind"), subject.get("name"), subject.get("apiGroup") or ""
    if not name:
        errors.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if name:
            invalid_each(errors, f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
        else:
            invalid_each(errors, f"{path}.namespace", subject["namespace"], names.dns1123_label(subject["namespace"]))
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        errors.append(not_supported(f"{path}.kind", kind or "", ("ServiceAccount", "User", "Group")))
