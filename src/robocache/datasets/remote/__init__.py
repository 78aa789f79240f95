"""Datasets that lie elsewhere: on the Hugging Face hub, or wherever fsspec reaches."""

from robocache.datasets.remote.downloading import Download, download
from robocache.datasets.remote.opening import (
    copy_out,
    open_download,
    open_downloaded,
    open_remote,
)

__all__ = ["Download", "copy_out", "download", "open_download", "open_downloaded", "open_remote"]
