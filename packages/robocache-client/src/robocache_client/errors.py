"""What can go wrong between a robot and its policy."""


class ClientError(Exception):
    """Base of all errors of this package."""


class PolicyUnreachable(ClientError):
    """No answer within the timeout: the server is down, restarting, or too slow."""


class PolicyRefused(ClientError):
    """The server answered with an error.

    Attributes:
        kind: kind of error, where the server names one, e.g. "ObservationError" or "BusyError".
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        kind, colon, _ = message.partition(": ")
        self.kind = kind if colon and kind.isidentifier() else ""


class BadQuestion(ClientError):
    """Something that was to be sent is not part of the protocol."""


class BadAnswer(ClientError):
    """The answer is not what the protocol says."""
