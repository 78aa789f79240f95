"""Every error a user can meet, in one tree.

RoboCacheError
├── ConfigError              a setting, name or option is wrong
├── MissingDependencyError   an optional package is not installed
├── DataError                a dataset holds something it must not (names file, episode, stream)
│   ├── CorruptFileError     unreadable, truncated or altered on disk
│   ├── MissingStreamError   a stream that was asked for is not there
│   ├── TimesError           times not finite, not increasing, or of the wrong length
│   ├── NonFiniteError       NaN or infinity where a number is needed
│   └── ShapeError           values of the wrong shape or dtype
├── EnvError                 a simulator broke its contract
├── PolicyError              a policy broke its contract
├── StorageError             disk full, read-only, or not writable
├── DownloadError            data from elsewhere did not come, or not as announced
│   └── UnreachableError     no connection, or it broke
├── ServingError             a policy server refuses a request
│   ├── ProtocolError        a message is not what the protocol says
│   ├── ObservationError     an observation or option does not fit the policy (names the key)
│   ├── UnauthorizedError    the API token is missing or wrong
│   └── BusyError            the queue is full, or a request waited too long in it
└── RunError                 the run store refuses
    ├── StoreError           the database is locked, damaged or of another version
    ├── CheckpointError      a checkpoint is missing, incomplete or altered
    ├── IntegrityError       what a run left is not what was recorded of it
    └── PromotionRefused     the evidence does not allow this promotion
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RoboCacheError(Exception):
    """Base of all errors raised on purpose by this package."""


class ConfigError(RoboCacheError):
    """A setting, name or option is wrong."""


class MissingDependencyError(RoboCacheError):
    """An optional package is not installed; the message holds the pip command."""


class DataError(RoboCacheError):
    """A dataset holds something it must not.

    Attributes:
        problem: what is wrong and what was expected.
        file: path of the file, if known.
        episode: key or index of the episode, if known.
        stream: name of the stream, if known.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object | None = None,
        episode: object | None = None,
        stream: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.episode = None if episode is None else str(episode)
        self.stream = stream
        places = [("file", self.file), ("episode", self.episode), ("stream", self.stream)]
        where = ", ".join(f"{kind} {value}" for kind, value in places if value is not None)
        super().__init__(f"{where}: {problem}" if where else problem)

    def located(
        self,
        *,
        file: object | None = None,
        episode: object | None = None,
        stream: str | None = None,
    ) -> DataError:
        """The same problem with places filled in where they were unknown."""
        return type(self)(
            self.problem,
            file=self.file if self.file is not None else file,
            episode=self.episode if self.episode is not None else episode,
            stream=self.stream if self.stream is not None else stream,
        )


class CorruptFileError(DataError):
    """A file is unreadable, truncated or altered."""


class MissingStreamError(DataError):
    """A stream that was asked for is not there."""


class TimesError(DataError):
    """Times are not finite, not strictly increasing, or of the wrong length."""


class NonFiniteError(DataError):
    """NaN or infinity where a number is needed."""


class ShapeError(DataError):
    """Values of the wrong shape or dtype."""


class EnvError(RoboCacheError):
    """An environment broke its contract."""


class PolicyError(RoboCacheError):
    """A policy broke its contract."""


class StorageError(RoboCacheError):
    """A write failed: disk full, read-only, or not permitted."""


class DownloadError(RoboCacheError):
    """Data from elsewhere did not come, or not as announced."""


class UnreachableError(DownloadError):
    """There is no connection to where the data lie, or it broke."""


class ServingError(RoboCacheError):
    """A policy server refuses a request."""


class ProtocolError(ServingError):
    """A message is not what the protocol says."""


class ObservationError(ServingError):
    """An observation or option does not fit the policy; the message names the key."""


class UnauthorizedError(ServingError):
    """The API token is missing or wrong."""


class BusyError(ServingError):
    """The queue is full, or a request waited too long in it."""


class RunError(RoboCacheError):
    """The run store refuses."""


class StoreError(RunError):
    """The run database is locked, damaged or of another version."""


class CheckpointError(RunError):
    """A checkpoint is missing, incomplete or altered."""


class IntegrityError(RunError):
    """What a run left is not what was recorded of it; the message names the place."""


class PromotionRefused(RunError):
    """The evidence does not allow this promotion."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """An error for an unknown name that suggests the nearest known one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return ConfigError(f"unknown {kind} {name!r}{hint} (known: {listed})")
