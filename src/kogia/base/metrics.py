"""Counters, gauges and histograms with Prometheus' text exposition: small, synchronous, no locks (one event loop).

A `Registry` belongs to one component; series come into being at their first use. Sources computed at scrape time are functions.
"""

from __future__ import annotations

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable

LabelValues = tuple[str, ...]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labels(names: Iterable[str], values: Iterable[str], extra: str = "") -> str:
    inner = ",".join(f'{n}="{_escape(v)}"' for n, v in zip(names, values, strict=True))
    inner = ",".join(x for x in (inner, extra) if x)
    return "{" + inner + "}" if inner else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


class Metric:
    kind = "untyped"

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.help, self.labels = name, help_text, labels

    def lines(self) -> Iterable[str]:
        raise AssertionError("each kind of metric writes its own lines")


class Counter(Metric):
    kind = "counter"

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help_text, labels)
        self.values: dict[LabelValues, float] = {}

    def inc(self, values: LabelValues = (), by: float = 1) -> None:
        self.values[values] = self.values.get(values, 0) + by

    def lines(self) -> Iterable[str]:
        for values, number in self.values.items():
            yield f"{self.name}{_labels(self.labels, values)} {_number(number)}"


class Gauge(Counter):
    kind = "gauge"

    def set(self, value: float, values: LabelValues = ()) -> None:
        self.values[values] = value


class Computed(Metric):
    """A gauge (or counter) whose series are asked for when scraped."""

    def __init__(self, name: str, help_text: str, read: Callable[[], dict[LabelValues, float]], labels: tuple[str, ...] = (), kind: str = "gauge") -> None:
        super().__init__(name, help_text, labels)
        self.read = read
        self.kind = kind

    def lines(self) -> Iterable[str]:
        for values, number in self.read().items():
            yield f"{self.name}{_labels(self.labels, values)} {_number(number)}"


class Histogram(Metric):
    kind = "histogram"

    def __init__(self, name: str, help_text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, help_text, labels)
        self.buckets = buckets
        self.values: dict[LabelValues, list[float]] = {}  #: one count per bucket, then above all, then the sum

    def observe(self, value: float, values: LabelValues = ()) -> None:
        row = self.values.get(values)
        if row is None:
            row = self.values[values] = [0.0] * (len(self.buckets) + 2)
        row[bisect_left(self.buckets, value)] += 1
        row[-1] += value

    def lines(self) -> Iterable[str]:
        for values, row in self.values.items():
            total = 0.0
            for bound, count in zip(self.buckets, row, strict=False):
                total += count
                le = f'le="{_number(bound)}"'
                yield f"{self.name}_bucket{_labels(self.labels, values, le)} {_number(total)}"
            total += row[len(self.buckets)]
            inf = 'le="+Inf"'
            yield f"{self.name}_bucket{_labels(self.labels, values, inf)} {_number(total)}"
            yield f"{self.name}_sum{_labels(self.labels, values)} {_number(row[-1])}"
            yield f"{self.name}_count{_labels(self.labels, values)} {_number(total)}"


class Registry:
    """A component's metrics, in the order they were made."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, metric: Metric) -> None:
        """Errors: ValueError if the name is taken."""
        if metric.name in self._metrics:
            raise ValueError(f"metric {metric.name} exists")
        self._metrics[metric.name] = metric

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        metric = Counter(name, help_text, labels)
        self.add(metric)
        return metric

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
        metric = Gauge(name, help_text, labels)
        self.add(metric)
        return metric

    def histogram(self, name: str, help_text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Histogram:
        metric = Histogram(name, help_text, buckets, labels)
        self.add(metric)
        return metric

    def computed(self, name: str, help_text: str, read: Callable[[], dict[LabelValues, float]], labels: tuple[str, ...] = (), kind: str = "gauge") -> None:
        self.add(Computed(name, help_text, read, labels, kind))

    def render(self) -> bytes:
        """The text exposition, version 0.0.4."""
        out = []
        for metric in self._metrics.values():
            lines = list(metric.lines())
            if lines:
                out.append(f"# HELP {metric.name} {metric.help}")
                out.append(f"# TYPE {metric.name} {metric.kind}")
                out += lines
        return ("\n".join(out) + "\n").encode()


def add_process_metrics(registry: Registry) -> None:
    """What every Go and Python exporter gives of its own process: CPU, memory, open files, start time."""
    started = time.time()
    page = os.sysconf("SC_PAGE_SIZE")

    def memory(field: int) -> float:
        with open("/proc/self/statm") as file:
            return float(file.read().split()[field]) * page

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return round(usage.ru_utime + usage.ru_stime, 2)

    registry.computed("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", lambda: {(): cpu()}, kind="counter")
    registry.computed("process_resident_memory_bytes", "Resident memory size in bytes.", lambda: {(): memory(1)})
    registry.computed("process_virtual_memory_bytes", "Virtual memory size in bytes.", lambda: {(): memory(0)})
    registry.computed("process_open_fds", "Number of open file descriptors.", lambda: {(): float(len(os.listdir("/proc/self/fd")))})
    registry.computed("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", lambda: {(): round(started, 2)})
