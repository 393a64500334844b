"""When memory is tidied: once, after work has ended."""

from kogia.base.memory import MemoryKeeper


def test_tidies_once_after_each_busy_stretch() -> None:
    keeper = MemoryKeeper()
    shares = [0.5, 0.9, 0.05, 0.01, 0.0, 0.0, 0.06, 0.01, 0.3, 0.02, 0.02]
    assert [keeper.due(share) for share in shares] == [False, False, False, True, False, False, False, False, False, True, False]
