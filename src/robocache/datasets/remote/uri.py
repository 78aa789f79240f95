"""Addresses of datasets: what they name, and how they are shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from robocache.core.errors import ConfigError

_REVISION = r"refs/(?:pr|convert)/[\w.-]+|[^/@]+"
_HUB = re.compile(
    r"hf://(?:datasets/)?(?P<repository>[\w.-]+/[\w.-]+)"
    rf"(?:@(?P<revision>{_REVISION}))?(?:/(?P<inside>.*))?"
)
_OTHER_KINDS = ("datasets", "models", "spaces", "buckets", "kernels")


@dataclass(frozen=True)
class HubPlace:
    """A dataset on the Hugging Face hub.

    Attributes:
        repository: "owner/name".
        revision: branch, tag or commit; None: not given.
        inside: folder or file in the repository, "" for all of it.
    """

    repository: str
    revision: str | None
    inside: str


def is_hub(uri: str) -> bool:
    return uri.startswith("hf://")


def hub_place(uri: str) -> HubPlace:
    """Read `hf://[datasets/]OWNER/NAME[@REVISION][/FOLDER]`.

    Raises:
        ConfigError: it is something else.
    """
    parts = _HUB.fullmatch(uri)
    if parts is None or parts["repository"].partition("/")[0] in _OTHER_KINDS:
        raise ConfigError(
            f"{uri} names no dataset on the hub; expected "
            f"hf://[datasets/]OWNER/NAME[@REVISION][/FOLDER], e.g. hf://lerobot/pusht@main"
        )
    revision = parts["revision"]
    return HubPlace(
        parts["repository"],
        None if revision is None else unquote(revision),
        (parts["inside"] or "").strip("/"),
    )


def shown(uri: str) -> str:
    """An address without its password and its query, which may hold a signature."""
    parts = urlsplit(uri)
    if "::" in uri or not parts.netloc:
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
