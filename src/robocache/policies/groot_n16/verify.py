"""Everything that an oracle folder holds, compared: network and processing, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robocache.core.errors import ConfigError, DataError
from robocache.policies.groot_n16.oracle import model_stages
from robocache.policies.groot_n16.processing.oracle import TOKEN_STAGES, processing_stages
from robocache.policies.groot_n16.processing.text import GrootTokenizer
from robocache.policies.groot_n16.stages import Stage

VOCABULARIES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True)
class Verification:
    """What came of comparing.

    Attributes:
        stages: all that were compared.
        not_run: names of the stages that need a tokenizer, where there was none.
    """

    stages: tuple[Stage, ...]
    not_run: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[Stage, ...]:
        """Stages above their bound."""
        return tuple(stage for stage in self.stages if not stage.passed)

    @property
    def largest(self) -> Stage:
        """The passing stage with the largest error among those that may differ at all."""
        compared = [stage for stage in self.stages if stage.passed and 0 < stage.bound <= 1e-6]
        return max(compared, key=lambda stage: stage.error, default=self.stages[0])


def verify(oracle: Path, tokenizer: Path | None = None) -> Verification:
    """Compare every stage of network and processing with what the public code gave.

    Args:
        oracle: folder with the stored tensors; its README says what they are.
        tokenizer: folder with Qwen2's tokenizer; None: in the oracle folder, if it has one.

    Raises:
        DataError: the folder holds no oracle, or one that is damaged.
        ConfigError: `tokenizer` holds none.
        MissingDependencyError: transformers, tokenizers or opencv is not installed.
    """
    if not oracle.is_dir():
        raise DataError("is not a folder; an oracle is one", file=oracle)
    folder = tokenizer or find_tokenizer(oracle)
    words = None if folder is None else GrootTokenizer.from_folder(folder)
    stages = (*model_stages(oracle), *processing_stages(oracle, words))
    return Verification(stages, () if words is not None else TOKEN_STAGES)


def find_tokenizer(oracle: Path) -> Path | None:
    """The folder of an oracle that holds a tokenizer, if one does."""
    for folder in (oracle, oracle / "tokenizer", oracle / "processor"):
        if any((folder / name).is_file() for name in VOCABULARIES):
            return folder
    return None


def require_oracle(given: Path | None) -> Path:
    """Raise ConfigError where nobody said where the oracle is."""
    if given is None:
        raise ConfigError("give --oracle FOLDER, or set GROOT_ORACLE: a folder of stored tensors")
    return given
