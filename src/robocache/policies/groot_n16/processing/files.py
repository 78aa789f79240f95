"""The processor's files in a checkpoint folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import CheckpointError, ConfigError, CorruptFileError
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.modality import EmbodimentConfig
from robocache.policies.groot_n16.processing.settings import PROCESSOR_CLASS, ProcessorSettings
from robocache.policies.groot_n16.processing.statistics import (
    EmbodimentStatistics,
    read_statistics,
)

CONFIG, STATISTICS, IDS = "processor_config.json", "statistics.json", "embodiment_id.json"
OURS = "robocache_processor.json"
"""The switches of `Compat`; the public code does not read it."""


@dataclass(frozen=True)
class FolderContent:
    """What the files of a folder say.

    Attributes:
        settings: of the processor.
        embodiments, statistics, embodiment_ids: by tag.
        compat: as saved, or for weights of the public code.
    """

    settings: ProcessorSettings
    embodiments: Mapping[str, EmbodimentConfig]
    statistics: Mapping[str, EmbodimentStatistics]
    embodiment_ids: Mapping[str, int]
    compat: Compat


def read_folder(folder: Path, changes: Mapping[str, Any]) -> FolderContent:
    """
    Args:
        folder: a checkpoint.
        changes: settings that are to have other values.

    Raises:
        CheckpointError: a file is missing.
        CorruptFileError: a file is damaged.
        ConfigError: of another model, or with settings that are not supported.
        DataError: statistics that cannot be used.
    """
    config = _read(folder / CONFIG)
    name = config.get("processor_class")
    if name != PROCESSOR_CLASS:
        raise ConfigError(
            f"{folder / CONFIG} is of {name!r}; this reads {PROCESSOR_CLASS} (GR00T N1.6). "
            "Checkpoints of N1, N1.5 and N1.7 have other networks: fine-tune from N1.6 instead"
        )
    kwargs = config.get("processor_kwargs")
    modalities = kwargs.get("modality_configs") if isinstance(kwargs, dict) else None
    if not isinstance(kwargs, dict) or not isinstance(modalities, dict):
        raise CorruptFileError("no processor_kwargs with modality_configs", file=folder / CONFIG)
    ids = _read(folder / IDS) if (folder / IDS).exists() else {}
    for tag, number in ids.items():
        if type(number) is not int or number < 0:
            raise CorruptFileError(f"{tag} has the id {number!r}", file=folder / IDS)
    ours = folder / OURS
    return FolderContent(
        settings=ProcessorSettings.from_json(kwargs, **changes),
        embodiments={t: EmbodimentConfig.from_json(t, entry) for t, entry in modalities.items()},
        statistics=read_statistics(_read(folder / STATISTICS)),
        embodiment_ids=ids,
        compat=(
            Compat.from_json(_read(ours).get("compat", {}))
            if ours.exists()
            else Compat.for_public_weights()
        ),
    )


def write_folder(
    folder: Path,
    *,
    settings: ProcessorSettings,
    embodiments: Mapping[str, EmbodimentConfig],
    statistics: Mapping[str, EmbodimentStatistics],
    embodiment_ids: Mapping[str, int],
    compat: Compat,
) -> None:
    """Write the files that `read_folder` reads.

    Raises:
        OSError: they cannot be written.
    """
    modalities = {tag: config.to_json() for tag, config in embodiments.items()}
    kwargs = {"modality_configs": modalities, **settings.to_json()}
    _write(folder / CONFIG, {"processor_class": PROCESSOR_CLASS, "processor_kwargs": kwargs})
    _write(folder / STATISTICS, {tag: group.to_json() for tag, group in statistics.items()})
    _write(folder / IDS, dict(embodiment_ids))
    _write(folder / OURS, {"compat": compat.to_json()})


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFileError(f"not a JSON file ({error})", file=path) from error
    if not isinstance(data, dict):
        raise CorruptFileError(f"expected an object, got {type(data).__name__}", file=path)
    return data


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")
