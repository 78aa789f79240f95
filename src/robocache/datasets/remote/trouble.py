"""What the libraries that fetch files raise when there is no connection, or no permission."""

from __future__ import annotations

import errno
import sys

_NETWORK = (
    ("requests.exceptions", "RequestException"),
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("gcsfs.retry", "ChecksumError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("paramiko.ssh_exception", "SSHException"),
    ("hf_xet", "PyXetDownloadError"),
)
"""Module and class; only those that are loaded can be raised."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)


def network_errors() -> tuple[type[Exception], ...]:
    """Everything that can go wrong on the way, by the libraries that are loaded now."""
    found: list[type[Exception]] = [OSError, EOFError]
    for module, name in _NETWORK:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            found.append(kind)
    return tuple(found)


def is_about_this_disk(error: BaseException) -> bool:
    """Whether an error concerns where files are written, not where they come from."""
    return isinstance(error, OSError) and error.errno in _DISK
