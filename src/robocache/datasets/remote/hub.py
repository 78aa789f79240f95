"""Datasets on the Hugging Face hub, through `huggingface_hub`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from inspect import signature
from pathlib import Path, PurePosixPath
from typing import Any

from robocache.core.errors import ConfigError, DownloadError, UnreachableError
from robocache.core.optional import require
from robocache.datasets.remote.listing import Listing, RemoteFile, Told, require_plain_names
from robocache.datasets.remote.trouble import is_about_this_disk, network_errors
from robocache.datasets.remote.uri import hub_place

_COMMIT = re.compile(r"[0-9a-f]{40}")
_OPTIONS = {"token", "endpoint"}


class HubSource:
    """A dataset repository, or a folder or file in it.

    Without a token in `storage_options` the client uses that of `hf auth login`, if there is one.

    Args:
        uri: see `hub_place`.
        storage_options: `token` and `endpoint`, as `huggingface_hub.HfApi` takes them.

    Raises:
        ConfigError: not such an address, or other options.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, Any]) -> None:
        if not set(storage_options) <= _OPTIONS:
            raise ConfigError(
                f"{uri}: storage_options of the hub are {sorted(_OPTIONS)}, got "
                f"{sorted(storage_options)}"
            )
        self._options = dict(storage_options)
        self.place = hub_place(uri)
        inside = f"/{self.place.inside}" if self.place.inside else ""
        self.uri = f"hf://datasets/{self.place.repository}{inside}"
        endpoint = self._options.get("endpoint") or os.environ.get("HF_ENDPOINT", "")
        self.identity = f"{self.uri} {endpoint}".strip()
        self.slug = f"hf-{self.place.repository}"

    def is_pinned(self, revision: str | None) -> bool:
        return revision is not None and _COMMIT.fullmatch(revision) is not None

    def resolve(self, revision: str | None) -> str:
        """The commit that a branch or tag is now."""
        with self._errors(revision):
            found = self._api.dataset_info(self.place.repository, revision=revision).sha
        if not self.is_pinned(found):
            raise DownloadError(f"{self.uri}: the hub told {found!r}, not a commit, for {revision}")
        return str(found)

    def listing(self, version: str) -> Listing:
        with self._errors(version):
            entries, single = self._entries(version)
        folder = self._folder(single)
        start = f"{folder}/" if folder else ""
        files = {}
        for entry in entries:
            if not entry.path.startswith(start):
                raise DownloadError(f"{self.uri}: the hub listed {entry.path!r}, outside of it")
            name = entry.path.removeprefix(start)
            lfs = entry.lfs
            checksum = f"sha256:{lfs.sha256}" if lfs is not None else f"git:{entry.blob_id}"
            files[name] = RemoteFile(name, entry.size, checksum)
        require_plain_names(self.uri, files)
        if not files:
            raise ConfigError(f"{self.uri}: there are no files at commit {version}")
        tail = PurePosixPath(self.place.repository, folder).parts[-2:]
        return Listing(self.uri, version, "/".join(tail), files, single)

    def fetch(self, listing: Listing, name: str, target: Path, scratch: Path, told: Told) -> None:
        get = self._api.hf_hub_download
        more = {"tqdm_class": _bar(told)} if "tqdm_class" in signature(get).parameters else {}
        with self._errors(listing.version):
            came = get(
                self.place.repository,
                str(PurePosixPath(self._folder(listing.single), name)),
                repo_type="dataset",
                revision=listing.version,
                local_dir=scratch / "hub",
                **more,
            )
        Path(came).rename(target)

    @cached_property
    def _api(self) -> Any:
        return require("huggingface_hub", "hub").HfApi(**self._options)

    def _folder(self, single: bool) -> str:
        """The folder of the repository that is the dataset, "" for all of it."""
        inside = self.place.inside
        parent = str(PurePosixPath(inside).parent) if single else inside
        return "" if parent == "." else parent

    def _entries(self, commit: str) -> tuple[list[Any], bool]:
        """Files of the folder, or the one file; and whether it is one file."""
        repository, inside = self.place.repository, self.place.inside
        missing = require("huggingface_hub.errors", "hub").EntryNotFoundError
        try:
            tree = self._api.list_repo_tree(
                repository, inside or None, recursive=True, revision=commit, repo_type="dataset"
            )
            files = [entry for entry in tree if hasattr(entry, "blob_id")]
        except missing:
            files = []
        if files or not inside:
            return files, False
        found = self._api.get_paths_info(repository, [inside], revision=commit, repo_type="dataset")
        return [entry for entry in found if hasattr(entry, "blob_id")], True

    @contextmanager
    def _errors(self, revision: str | None) -> Iterator[None]:
        """What the client raises, in our words."""
        known = require("huggingface_hub.errors", "hub")
        try:
            yield
        except known.GatedRepoError as error:
            raise ConfigError(
                f"{self.uri} is gated: accept its conditions on the hub, then `hf auth login` or "
                f"give storage_options token=..."
            ) from error
        except known.RepositoryNotFoundError as error:
            raise ConfigError(
                f"{self.uri}: there is no such dataset on the hub, or it is private (then "
                f"`hf auth login` or give storage_options token=...)"
            ) from error
        except known.RevisionNotFoundError as error:
            raise ConfigError(f"{self.uri} has no revision {revision!r}") from error
        except known.EntryNotFoundError as error:
            if isinstance(error, known.LocalEntryNotFoundError):
                raise self._unreachable(error) from error
            raise ConfigError(f"{self.uri} has no such file at {revision} ({error})") from error
        except known.HFValidationError as error:
            raise ConfigError(f"{self.uri}: {error}") from error
        except network_errors() as error:
            if is_about_this_disk(error):
                raise
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"{self.uri}: the hub cannot be reached, or broke off ({_first_line(error)}); run the "
            f"same command again when it can: files that came are kept"
        )


def _bar(told: Told) -> type:
    """A progress bar that draws nothing and tells how many bytes came."""
    hub_bar: Any = require("huggingface_hub.utils", "hub").tqdm

    class Bar(hub_bar):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            told(int(n or 0))

    return Bar


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
