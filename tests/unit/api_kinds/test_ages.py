import pytest

from kogia.api.tables import age, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "<invalid>"), (-1, "0s"), (0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (179 * 60 + 59, "179m"),
     (3 * 3600, "3h"), (3 * 3600 + 12 * 60, "3h12m"), (8 * 3600 + 59 * 60, "8h"), (47 * 3600, "47h"), (48 * 3600, "2d"), (51 * 3600, "2d3h"),
     (8 * 86400, "8d"), (45 * 86400, "45d"), (2 * 365 * 86400, "2y"), ((2 * 365 + 3) * 86400, "2y3d"), (9 * 365 * 86400, "9y")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_age() -> None:
    assert age(None, 0) == "<unknown>"
    assert age("1970-01-01T00:00:10Z", 15.5) == "5s"
