"""RBAC over an index that follows the read cache: subjects → bindings → rules. Decisions are remembered until any of it changes.

Roles with an aggregation rule also grant what the roles they select grant, at once, without waiting for the controller that copies rules.
Source: plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kogia.apiserver.auth.attributes import NO_OPINION, Attributes, Decision, Verdict
from kogia.apiserver.interface import CacheEvent, ReadCache
from kogia.wire.messages import UserInfo

GROUP = "rbac.authorization.k8s.io"
MAX_REMEMBERED = 20_000
_SERVICE_ACCOUNT = "system:serviceaccount:"

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    namespace: str  #: "" for a ClusterRoleBinding
    name: str
    role_kind: str
    role_name: str
    subjects: tuple[str, ...]  #: index keys, see `subject_key`

    def describe(self, subject: str) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        where = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'RBAC: allowed by {kind} "{where}" of {self.role_kind} "{self.role_name}" to {subject}'


def subject_key(subject: dict[str, Any], binding_namespace: str) -> str:
    """`User:name`, `Group:name`; service accounts become their user name."""
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        return f"User:{_SERVICE_ACCOUNT}{subject.get('namespace') or binding_namespace}:{name}"
    return f"{kind}:{name}"


def rule_allows(rule: Rule, attributes: Attributes) -> bool:
    """Whether one PolicyRule covers one question."""
    verbs = rule.get("verbs") or ()
    if attributes.verb not in verbs and "*" not in verbs:
        return False
    if not attributes.is_resource:
        return any(_path_matches(pattern, attributes.path) for pattern in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if attributes.group not in groups and "*" not in groups:
        return False
    resources = rule.get("resources") or ()
    if attributes.subresource:
        combined = f"{attributes.resource}/{attributes.subresource}"
        if combined not in resources and "*" not in resources and f"*/{attributes.subresource}" not in resources:
            return False
    elif attributes.resource not in resources and "*" not in resources:
        return False
    names = rule.get("resourceNames")
    return not names or attributes.name in names


def _path_matches(pattern: str, path: str) -> bool:
    return pattern == "*" or pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1].rstrip("*")))


class RbacAuthorizer:
    def __init__(self, cache: ReadCache) -> None:
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._by_subject: dict[str, set[tuple[str, str]]] = {}
        self._roles: dict[tuple[str, str], list[Rule]] = {}
        self._aggregated: dict[str, list[dict[str, str]]] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._remembered: dict[tuple[Any, ...], Verdict] = {}
        for plural in ("clusterroles", "roles"):
            cache.on_change((GROUP, plural), self._role_changed)
        for plural in ("clusterrolebindings", "rolebindings"):
            cache.on_change((GROUP, plural), self._binding_changed)

    # -- the index --------------------------------------------------------------------------------------------------------

    def _role_changed(self, event: CacheEvent) -> None:
        role = event.current.object()
        metadata = role["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        self._remembered.clear()
        if event.type == "DELETED":
            self._roles.pop(key, None)
            if not key[0]:
                self._aggregated.pop(key[1], None)
                self._labels.pop(key[1], None)
            return
        self._roles[key] = role.get("rules") or []
        if not key[0]:
            self._labels[key[1]] = metadata.get("labels") or {}
            selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
            wanted = [s["matchLabels"] for s in selectors if s.get("matchLabels") and not s.get("matchExpressions")]
            if wanted:
                self._aggregated[key[1]] = wanted
            else:
                self._aggregated.pop(key[1], None)

    def _binding_changed(self, event: CacheEvent) -> None:
        obj = event.current.object()
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        self._remembered.clear()
        old = self._bindings.pop(key, None)
        if old is not None:
            for subject in old.subjects:
                keys = self._by_subject.get(subject)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del self._by_subject[subject]
        if event.type == "DELETED":
            return
        reference = obj.get("roleRef") or {}
        subjects = tuple(subject_key(s, key[0]) for s in obj.get("subjects") or ())
        self._bindings[key] = Binding(key[0], key[1], reference.get("kind", ""), reference.get("name", ""), subjects)
        for subject in subjects:
            self._by_subject.setdefault(subject, set()).add(key)

    # -- reading it -------------------------------------------------------------------------------------------------------

    def _bindings_of(self, user: UserInfo, namespace: str) -> Iterator[tuple[Binding, str]]:
        """Cluster bindings first, then those of `namespace`, with the subject each was found by."""
        found = [(key, f"User:{user.name}") for key in self._by_subject.get(f"User:{user.name}", ())]
        for group in user.groups:
            found += [(key, f"Group:{group}") for key in self._by_subject.get(f"Group:{group}", ())]
        for cluster in (True, False):
            for key, subject in found:
                if (key[0] == "") == cluster and (cluster or key[0] == namespace):
                    yield self._bindings[key], subject

    def role_rules(self, kind: str, name: str, namespace: str = "") -> list[Rule] | None:
        """The rules of a Role or ClusterRole, aggregated ones included; None if there is no such role."""
        key = (namespace, name) if kind == "Role" else ("", name)
        rules = self._roles.get(key)
        if rules is None or key[0] or name not in self._aggregated:
            return rules
        rules = list(rules)
        for selector in self._aggregated[name]:
            for other, labels in self._labels.items():
                if other != name and all(labels.get(k) == v for k, v in selector.items()):
                    rules += self._roles.get(("", other), [])
        return rules

    def rules_for(self, user: UserInfo, namespace: str) -> list[Rule]:
        """Everything RBAC grants `user` in `namespace` ("" = cluster-wide only). For rules reviews and escalation checks."""
        rules: list[Rule] = []
        for binding, _ in self._bindings_of(user, namespace):
            rules += self.role_rules(binding.role_kind, binding.role_name, binding.namespace) or []
        return rules

    def authorize(self, attributes: Attributes) -> Verdict:
        user = attributes.user
        key = (
            user.name, user.groups, attributes.verb, attributes.group, attributes.resource, attributes.subresource, attributes.namespace,
            attributes.name, attributes.path if not attributes.is_resource else "",
        )
        verdict = self._remembered.get(key)
        if verdict is None:
            verdict = self._decide(attributes)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = verdict
        return verdict

    def _decide(self, attributes: Attributes) -> Verdict:
        missing = []
        namespace = attributes.namespace if attributes.is_resource else ""
        for binding, subject in self._bindings_of(attributes.user, namespace):
            rules = self.role_rules(binding.role_kind, binding.role_name, binding.namespace)
            if rules is None:
                missing.append(f'{binding.role_kind.lower()}.{GROUP} "{binding.role_name}" not found')
                continue
            if any(rule_allows(rule, attributes) for rule in rules):
                kind, _, name = subject.partition(":")
                return Verdict(Decision.ALLOW, binding.describe(f'{kind} "{name}"'))
        return Verdict(Decision.NO_OPINION, "RBAC: " + ", ".join(missing)) if missing else NO_OPINION
