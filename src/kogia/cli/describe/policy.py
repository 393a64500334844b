"""Rules and limits told at length: ResourceQuota, LimitRange, Role, RoleBinding (and their cluster-wide kin), PriorityClass."""

from __future__ import annotations

from typing import Any

from kogia.cli.connection import Api
from kogia.cli.describe.common import Writer, annotation_lines, pairs

Obj = dict[str, Any]


def quota(api: Api, obj: Obj) -> Writer:
    w, spec, status = Writer(), obj.get("spec") or {}, obj.get("status") or {}
    w.line(0, "Name:", obj["metadata"]["name"])
    w.line(0, "Namespace:", obj["metadata"]["namespace"])
    if spec.get("scopes"):
        w.line(0, "Scopes:", ", ".join(spec["scopes"]))
    w.line(0, "Resource", "Used", "Hard")
    w.line(0, "--------", "----", "----")
    _usage(w, status)
    return w


def quota_of_namespace(w: Writer, obj: Obj) -> None:
    w.line(0, "  Name:", obj["metadata"]["name"])
    w.line(0, "  Resource", "Used", "Hard")
    w.line(0, "  --------", "---", "---")
    _usage(w, obj.get("status") or {}, "  ")


def _usage(w: Writer, status: Obj, lead: str = "") -> None:
    for name, hard in sorted((status.get("hard") or {}).items()):
        w.line(0, lead + name, (status.get("used") or {}).get(name, "0"), hard)


def limit_range(api: Api, obj: Obj) -> Writer:
    w = Writer()
    w.line(0, "Name:", obj["metadata"]["name"])
    w.line(0, "Namespace:", obj["metadata"]["namespace"])
    limits(w, (obj.get("spec") or {}).get("limits") or [], "", "----")
    return w


def limits(w: Writer, items: list[Obj], lead: str, rule: str) -> None:
    """The table of a LimitRange; an absent bound is a dash."""
    w.line(0, lead + "Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio")
    w.line(0, lead + rule, "--------", "---", "---", "---------------", "-------------", "-----------------------")
    columns = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
    for item in items:
        for name in sorted({k for column in columns for k in item.get(column) or {}}):
            w.line(0, lead + item["type"], name, *((item.get(column) or {}).get(name, "-") for column in columns))


def role(api: Api, obj: Obj) -> Writer:
    w = Writer()
    w.line(0, "Name:", obj["metadata"]["name"])
    pairs(w, "Labels", obj["metadata"].get("labels"))
    annotation_lines(w, obj["metadata"].get("annotations"))
    w.line(0, "PolicyRule:")
    w.line(1, "Resources", "Non-Resource URLs", "Resource Names", "Verbs")
    w.line(1, "---------", "-----------------", "--------------", "-----")
    for cells in sorted(_rules(obj.get("rules") or []), key=lambda c: c[4]):
        w.line(1, *cells[:4])
    return w


def _rules(rules: list[Obj]) -> list[tuple[str, str, str, str, str]]:
    """One row per resource of one group, verbs of equal rows joined: (resource, urls, names, verbs, order: as kubectl's text of a rule)."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for rule in rules:
        names = "[" + " ".join(rule.get("resourceNames") or []) + "]"
        for group in rule.get("apiGroups") or [""]:
            for name in rule.get("resources") or []:
                rows.setdefault((name, group, "[]", names), []).extend(rule.get("verbs") or [])
        if rule.get("nonResourceURLs"):
            for url in rule["nonResourceURLs"]:
                rows.setdefault(("", "", f"[{url}]", names), []).extend(rule.get("verbs") or [])
    out = []
    for (name, group, urls, names), found in rows.items():
        verbs = "[" + " ".join(dict.fromkeys(found)) + "]"
        out.append((_with_group(name, group), urls, names, verbs, f"{verbs},[{group}],[{name}],{names},{urls}"))
    return out


def _with_group(name: str, group: str) -> str:
    """`deployments.apps/scale`."""
    plural, slash, sub = name.partition("/")
    return f"{plural}.{group}{slash}{sub}" if group else name


def binding(api: Api, obj: Obj) -> Writer:
    w, ref = Writer(), obj["roleRef"]
    w.line(0, "Name:", obj["metadata"]["name"])
    pairs(w, "Labels", obj["metadata"].get("labels"))
    annotation_lines(w, obj["metadata"].get("annotations"))
    w.line(0, "Role:")
    w.line(1, "Kind:", ref["kind"])
    w.line(1, "Name:", ref["name"])
    w.line(0, "Subjects:")
    w.line(1, "Kind", "Name", "Namespace")
    w.line(1, "----", "----", "---------")
    for subject in obj.get("subjects") or []:
        w.line(1, subject["kind"], subject["name"], subject.get("namespace", ""))
    return w


def priority_class(api: Api, obj: Obj) -> Writer:
    w = Writer()
    w.line(0, "Name:", obj["metadata"]["name"])
    w.line(0, "Value:", obj["value"])
    w.line(0, "GlobalDefault:", str(bool(obj.get("globalDefault"))).lower())
    w.line(0, "PreemptionPolicy:", obj.get("preemptionPolicy", "PreemptLowerPriority"))
    w.line(0, "Description:", obj.get("description", ""))
    annotation_lines(w, obj["metadata"].get("annotations"))
    return w
