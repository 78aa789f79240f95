"""Datasets wherever fsspec reaches: `gs://`, `s3://`, `https://`, and many others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    DownloadError,
    MissingDependencyError,
    UnreachableError,
)
from robocache.core.optional import require
from robocache.datasets.remote.checksums import from_base64
from robocache.datasets.remote.listing import (
    Listing,
    RemoteFile,
    Told,
    require_plain_names,
    version_of,
)
from robocache.datasets.remote.trouble import is_about_this_disk, network_errors
from robocache.datasets.remote.uri import shown

ANONYMOUS: dict[str, dict[str, Any]] = {
    "gs": {"token": "anon"},
    "gcs": {"token": "anon"},
    "s3": {"anon": True},
    "s3a": {"anon": True},
    "az": {"anon": True},
    "abfs": {"anon": True},
}
"""Protocol -> options where none are given: no credentials are looked for."""

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "az": "adlfs", "abfs": "adlfs", "sftp": "paramiko"}
"""Protocol -> package; those of others come with the extra `hub`."""

_VERSION = re.compile(r"[0-9a-f]{40}")
_TAGS = ("generation", "etag", "ETag", "mtime", "LastModified", "Last-Modified", "last_modified")


class FileSystemSource:
    """A folder or file on any file system of fsspec.

    Its version is a hash over names, sizes and what the file system tells of contents.

    Args:
        uri: as fsspec takes it.
        storage_options: given to the file system; none: anonymous where it has accounts.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, Any]) -> None:
        self._address = uri if "::" in uri else uri.rstrip("/")
        self._options = dict(storage_options)
        self.uri = shown(self._address)
        self.protocol = self._address.partition(":")[0]
        places = ("endpoint_url", "client_kwargs", "host", "base_url")
        told = {name: self._options[name] for name in places if name in self._options}
        self.identity = f"{self._address} {told or ''}".strip()
        self.slug = self.uri.replace("://", "-")
        self._found: Listing | None = None

    def is_pinned(self, revision: str | None) -> bool:
        if revision is not None and not _VERSION.fullmatch(revision):
            raise ConfigError(
                f"{self.uri}: revision must be a version of 40 hexadecimal digits, as the report "
                f"of the dataset tells it; got {revision!r}"
            )
        return revision is not None

    def resolve(self, revision: str | None) -> str:
        return self._listed().version

    def listing(self, version: str) -> Listing:
        found = self._listed()
        if found.version != version:
            raise ConfigError(
                f"{self.uri} has changed: it is version {found.version} now, {version} was asked "
                f"for, and not all of it is here"
            )
        return found

    def fetch(self, listing: Listing, name: str, target: Path, scratch: Path, told: Told) -> None:
        callback = require("fsspec.callbacks", "hub").Callback

        class Counting(callback):  # type: ignore[misc, valid-type]
            def relative_update(self, inc: int = 1) -> None:
                told(inc)

        file_system, root = self._opened
        place = root if listing.single else f"{root.rstrip('/')}/{name}"
        with self._errors():
            file_system.get_file(place, str(target), callback=Counting())

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the place in it."""
        core = require("fsspec.core", "hub")
        options = self._options or ANONYMOUS.get(self.protocol, {})
        try:
            with self._errors():
                if self.protocol in ("gs", "gcs"):
                    # That of the registry asks for the kind of bucket first, through another
                    # protocol, and each time again where it is not allowed to know.
                    google = require("gcsfs.core", "hub").GCSFileSystem
                    return google(**options), google._strip_protocol(self._address)
                found: tuple[Any, str] = core.url_to_fs(self._address, **options)
        except ImportError as error:
            package = PACKAGES.get(self.protocol, "robocache[hub]")
            raise MissingDependencyError(
                f"{self.uri} needs a package that is not installed ({error}); install it with: "
                f"pip install '{package}'"
            ) from error
        except ValueError as error:
            raise ConfigError(f"{self.uri}: {error}") from error
        return found

    def _listed(self) -> Listing:
        if self._found is None:
            with self._errors():
                self._found = self._list()
        return self._found

    def _list(self) -> Listing:
        file_system, root = self._opened
        file_system.invalidate_cache()
        about = file_system.info(root)
        single = about["type"] == "file"
        if single:
            name = unquote(PurePosixPath(urlsplit(self.uri).path).name) or "file"
            files = {name: _remote_file(name, about)}
        else:
            found = file_system.find(root, detail=True)
            files = dict(self._below(root, path, told) for path, told in found.items())
        files.pop("", None)
        require_plain_names(self.uri, files)
        if not files:
            raise ConfigError(f"{self.uri}: there are no files")
        parts = [
            part for part in PurePosixPath(root.partition("://")[2] or root).parts if part != "/"
        ]
        tail = parts[:-1] if single else parts
        folder = "/".join(re.sub(r"[^\w.+-]", "-", part) for part in tail[-2:]) or "files"
        return Listing(self.uri, version_of(files), folder, files, single)

    def _below(self, root: str, path: str, told: Mapping[str, Any]) -> tuple[str, RemoteFile]:
        start = root.rstrip("/") + "/"
        if not path.startswith(start):
            raise CorruptFileError(f"lists {path!r}, which is not below it", file=self.uri)
        name = path.removeprefix(start)
        if told["type"] != "file" or name.endswith("/"):
            name = ""  # the marker of a folder
        return name, _remote_file(name, told)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What file systems raise, in our words."""
        try:
            yield
        except FileNotFoundError as error:
            raise ConfigError(f"{self.uri}: there is no such file or folder ({error})") from error
        except PermissionError as error:
            raise DownloadError(
                f"{self.uri}: not permitted ({error}); give credentials in storage_options, as "
                f"fsspec takes them for {self.protocol}"
            ) from error
        except NotImplementedError as error:
            raise ConfigError(f"{self.uri}: {self.protocol} cannot list files") from error
        except network_errors() as error:
            if is_about_this_disk(error):
                raise
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UnreachableError(
                f"{self.uri} cannot be reached, or broke off ({first}); run the same command again "
                f"when it can: files that came are kept"
            ) from error


def _remote_file(name: str, told: Mapping[str, Any]) -> RemoteFile:
    """A file by what its file system tells; only Google's checksums are surely of the content."""
    checksum = ""
    if "crc32c" in told:
        checksum = from_base64("crc32c", told["crc32c"])
    if "md5Hash" in told:
        checksum = from_base64("md5", told["md5Hash"])
    tag = next((str(told[tag]) for tag in (*_TAGS, "created") if told.get(tag)), "")
    size = told.get("size")
    return RemoteFile(name, None if size is None else int(size), checksum, "" if checksum else tag)
