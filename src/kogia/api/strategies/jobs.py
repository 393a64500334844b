"""Strategies of Job and CronJob.

A Job gets its selector and the labels its Pods will carry from its own uid, unless it says `manualSelector`.

Source: kubernetes pkg/apis/batch/{v1,validation}, pkg/registry/batch/*.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.pod_defaults import default_template
from kogia.api.strategies.pod_warnings import warn_template
from kogia.api.strategies.rules import MAX_INT32, Errors, immutable, label_selector, not_negative, one_of
from kogia.api.strategies.workloads import TemplateStrategy, check_selector, check_template, fill

Obj = dict[str, Any]

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_UID_LABEL, OLD_NAME_LABEL = "controller-uid", "job-name"
_CRON_NAME_MAX = 52
_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_CRON_WORDS: tuple[dict[str, int], ...] = (
    {}, {}, {}, {m: i + 1 for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])},
    {d: i for i, d in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])},
)


class JobStrategy(TemplateStrategy):
    field_labels = frozenset(("status.successful",))

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec.get("template"))
        if spec.get("completions") is None and spec.get("parallelism") is None:
            spec["completions"] = spec["parallelism"] = 1
        fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
        fill(spec, backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else MAX_INT32)
        fill(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed")
        template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
        if template_labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(template_labels)
        for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                if not pattern.get("status"):
                    pattern["status"] = "True"

    def on_create(self, obj: Obj) -> None:
        spec = obj["spec"]
        if spec.get("manualSelector"):
            return
        metadata = obj["metadata"]
        uid = metadata.setdefault("uid", str(uuid.uuid4()))
        template = spec.setdefault("template", {})
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        for key, value in ((OLD_UID_LABEL, uid), (UID_LABEL, uid), (OLD_NAME_LABEL, metadata.get("name")), (NAME_LABEL, metadata.get("name"))):
            labels.setdefault(key, value)
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)
        if spec.get("selector") is None:
            spec["selector"] = {}
        spec["selector"].setdefault("matchLabels", {}).setdefault(UID_LABEL, uid)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        check_job_spec(errors, "spec", spec)
        check_selector(errors, spec, "job")
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        for field in ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy"):
            immutable(errors, f"spec.{field}", new.get(field), before.get(field))
        if new.get("completions") != before.get("completions") and not (
            new.get("completionMode") == "Indexed" and new.get("completions") == new.get("parallelism")
        ):
            errors.append(invalid_value("spec.completions", new.get("completions"), "field is immutable"))
        frozen = not (before.get("suspend") and not (old.get("status") or {}).get("startTime"))
        if frozen:
            immutable(errors, "spec.template", new.get("template"), before.get("template"))
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


def check_job_spec(errors: Errors, path: str, spec: Obj) -> None:
    """What a JobSpec must obey, in a Job or in a CronJob's template."""
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"):
        not_negative(errors, f"{path}.{field}", spec.get(field))
    mode = spec.get("completionMode")
    if mode is not None and mode not in ("Indexed", "NonIndexed"):
        errors.append(not_supported(f"{path}.completionMode", mode, ("Indexed", "NonIndexed")))
    if mode == "Indexed" and spec.get("completions") is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if mode != "Indexed" and spec.get("backoffLimitPerIndex") is not None:
        errors.append(invalid_value(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], "requires indexed completion mode"))
    if spec.get("selector") is not None:
        label_selector(errors, f"{path}.selector", spec["selector"])
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    check_template(errors, f"{path}.template", spec.get("template"), restart_policies=("Always", "OnFailure", "Never"))
    if policy == "Always":
        errors.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.append(invalid_value(f"{path}.template.spec.restartPolicy", policy, "only \"Never\" is supported when podFailurePolicy is specified"))


class CronJobStrategy(KindStrategy):
    has_generation = True
    unconditional_update = True

    @staticmethod
    def name_check(name: str) -> list[str]:
        problems = names.dns1123_subdomain(name)
        if len(name) > _CRON_NAME_MAX:
            problems.append(f"must be no more than {_CRON_NAME_MAX} characters")
        return problems

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("concurrencyPolicy"):
            spec["concurrencyPolicy"] = "Allow"
        fill(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
        default_template(((spec.get("jobTemplate") or {}).get("spec") or {}).get("template"))

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        schedule = spec.get("schedule")
        if not schedule:
            errors.append(required("spec.schedule"))
        else:
            _check_schedule(errors, schedule, spec.get("timeZone"))
        zone = spec.get("timeZone")
        if zone is not None and (not zone or zone.lower() == "local"):
            text = "timeZone must be nil or non-empty string" if not zone else "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            errors.append(invalid_value("spec.timeZone", zone, text))
        elif zone is not None and not _zone_exists(zone):
            errors.append(invalid_value("spec.timeZone", zone, f"unknown time zone {zone}"))
        one_of(errors, "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
        for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            not_negative(errors, f"spec.{field}", spec.get(field))
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        if job.get("manualSelector"):
            errors.append(not_supported("spec.jobTemplate.spec.manualSelector", "true", ("nil", "false")))
        if job.get("selector") is not None:
            errors.append(invalid_value("spec.jobTemplate.spec.selector", job["selector"], "`selector` will be auto-generated"))
        check_job_spec(errors, "spec.jobTemplate.spec", job)
        return errors

    def warnings(self, obj: Obj) -> list[str]:
        job = ((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}
        return warn_template("spec.jobTemplate.spec.template", job.get("template"))


def _check_schedule(errors: Errors, schedule: str, zone: str | None) -> None:
    if "TZ" in schedule and "=" in schedule:
        if zone is not None:
            errors.append(invalid_value("spec.schedule", schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
        else:
            errors.append(invalid_value("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
        return
    problem = schedule_problem(schedule)
    if problem:
        errors.append(invalid_value("spec.schedule", schedule, problem))


def schedule_problem(schedule: str) -> str:
    """What is wrong with a cron expression (five fields, or a macro), "" if nothing is."""
    if schedule.startswith("@"):
        if schedule in _MACROS:
            return ""
        if schedule.startswith("@every "):
            return "" if re.fullmatch(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+", schedule[7:]) else f"failed to parse duration {schedule}"
        return f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high), words in zip(parts, _CRON_RANGES, _CRON_WORDS, strict=True):
        for piece in part.split(","):
            problem = _piece_problem(piece, low, high, words)
            if problem:
                return problem
    return ""


def _piece_problem(piece: str, low: int, high: int, words: dict[str, int]) -> str:
    span, slash, step = piece.partition("/")
    if slash and (not step.isdecimal() or int(step) == 0):
        return f"step of range should be a positive number: {piece}" if step == "0" else f"failed to parse int from {step}"
    if span in ("*", "?"):
        return ""
    numbers = []
    for end in span.split("-"):
        number = words.get(end.lower(), int(end) if end.isdecimal() else None)
        if number is None:
            return f"failed to parse int from {end}: strconv.Atoi: parsing \"{end}\": invalid syntax"
        numbers.append(number)
    if len(numbers) > 2:
        return f"too many hyphens: {piece}"
    if numbers[0] < low:
        return f"beginning of range ({numbers[0]}) below minimum ({low}): {piece}"
    if numbers[-1] > high:
        return f"end of range ({numbers[-1]}) above maximum ({high}): {piece}"
    if numbers[0] > numbers[-1]:
        return f"beginning of range ({numbers[0]}) beyond end of range ({numbers[-1]}): {piece}"
    return ""


def _zone_exists(zone: str) -> bool:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True

