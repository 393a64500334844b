"""Errors of the CRI seam, by gRPC's status codes, so that the gRPC face translates nothing by guesswork."""

from __future__ import annotations

from enum import Enum


class Code(Enum):
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CriError(Exception):
    """What a runtime refused or could not do. `message` is fit for an event."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def not_found(message: str) -> CriError:
    return CriError(Code.NOT_FOUND, message)
