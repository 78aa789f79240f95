"""Instructions as tokens.

Letters: B samples, S tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, CorruptFileError, DataError
from robocache.core.optional import require

PAD, IMAGE = "<|endoftext|>", "<IMG_CONTEXT>"

ADDED_TOKENS = (
    PAD,
    *("<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>"),
    *("<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>"),
    *("</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>"),
    *("</think>", IMAGE, "<img>", "</img>", "<box>", "</box>", "<quad>", "</quad>", "<ref>"),
    *("</ref>", "<interval>", "</interval>"),
)
"""In the order of their ids, 151643..151679 after Qwen2's vocabulary."""

# How Qwen2's tokenizer cuts text before merging bytes.
QWEN2_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

WHERE = (
    "GR00T N1.6 uses Qwen2's tokenizer: give (tokenizer=) a folder with tokenizer.json, or with "
    "vocab.json, merges.txt and added_tokens.json. Those of the backbone "
    "nvidia/Eagle-Block2A-2B-v2, which the public code carries, will do, and so will those of any "
    "Qwen3 model"
)


def formalize_language(text: str) -> str:
    """Lower case, without punctuation, as the public code writes instructions."""
    return re.sub(r"[^\w\s]", "", text.lower())


def prompt(text: str, tokens_per_image: Sequence[int]) -> str:
    """What the network reads: the instruction, then its images, and no answer begun.

    Args:
        text: the instruction.
        tokens_per_image: 81 for a picture of 252x252.
    """
    images = "".join(
        f"<image {number}><img>{IMAGE * tokens}</img>"
        for number, tokens in enumerate(tokens_per_image, start=1)
    )
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{text}{images}<|im_end|>\n"
    )


class GrootTokenizer:
    """Byte-pair encoding with the added tokens of GR00T N1.6, padded on the left.

    Args:
        tokenizer: a `tokenizers.Tokenizer`; added tokens that are missing at the end are added.

    Raises:
        ConfigError: the added tokens do not follow each other as the network expects.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        _add_tokens(tokenizer, [t for t in ADDED_TOKENS if tokenizer.token_to_id(t) is None])
        ids = [tokenizer.token_to_id(token) for token in ADDED_TOKENS]
        if ids != list(range(ids[0], ids[0] + len(ids))):
            raise ConfigError(
                f"the added tokens have the ids {ids}, not one after the other. {WHERE}"
            )
        self.pad_token_id = int(ids[0])
        self.image_token_id = int(ids[ADDED_TOKENS.index(IMAGE)])
        self.vocabulary_size = int(ids[-1]) + 1

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """From tokenizer.json, or vocab.json with merges.txt and perhaps added_tokens.json.

        Raises:
            ConfigError: there are no such files, or they are of another tokenizer.
            CorruptFileError: a file is damaged.
        """
        tokenizers = require("tokenizers", "groot")
        folder = Path(folder)
        whole = folder / "tokenizer.json"
        if whole.is_file():
            return cls(_parsed(tokenizers.Tokenizer.from_file, whole))
        vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
        if not (vocabulary.is_file() and merges.is_file()):
            raise ConfigError(f"no tokenizer in {folder}. {WHERE}")
        model = _parsed(lambda v: tokenizers.models.BPE.from_file(v, str(merges)), vocabulary)
        tokenizer = _bytes_tokenizer(tokenizers, model)
        added = folder / "added_tokens.json"
        if added.is_file():
            ids = _parsed(lambda path: json.loads(Path(path).read_text("utf-8")), added)
            _add_tokens(tokenizer, sorted(ids, key=ids.__getitem__))
            for token, number in ids.items():
                if tokenizer.token_to_id(token) != number:
                    raise ConfigError(
                        f"{added}: {token} has the id {number}, but after {vocabulary} it would be "
                        f"{tokenizer.token_to_id(token)}; the files do not belong together"
                    )
        return cls(tokenizer)

    @classmethod
    def bytes_only(cls) -> Self:
        """A small one for tiny models: each byte a token (0..255), then the added tokens."""
        tokenizers = require("tokenizers", "groot")
        alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {symbol: number for number, symbol in enumerate(alphabet)}
        return cls(_bytes_tokenizer(tokenizers, tokenizers.models.BPE(vocabulary, [])))

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, from which `from_folder` makes the same tokenizer."""
        self._tokenizer.save(str(folder / "tokenizer.json"), pretty=False)

    def digest(self) -> str:
        """sha256 of all that decides ids."""
        return hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()

    def encode(
        self, texts: Sequence[str], tokens_per_image: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids (B, S) and attention mask (B, S), 1 on real tokens; int64, padded on the left.

        Args:
            texts: instructions.
            tokens_per_image: of each instruction's images.

        Raises:
            DataError: an instruction holds a special token.
        """
        rows = [self._ids(text, tokens) for text, tokens in zip(texts, tokens_per_image)]
        longest = max(map(len, rows), default=0)
        ids_BS = np.full((len(rows), longest), self.pad_token_id, np.int64)
        mask_BS = np.zeros((len(rows), longest), np.int64)
        for row, ids, mask in zip(rows, ids_BS, mask_BS):
            ids[longest - len(row) :] = row
            mask[longest - len(row) :] = 1
        return ids_BS, mask_BS

    def _ids(self, text: str, tokens_per_image: Sequence[int]) -> list[int]:
        for token in ADDED_TOKENS:
            if token in text:
                raise DataError(f"an instruction must not hold the special token {token}: {text!r}")
        encoded = self._tokenizer.encode(prompt(text, tokens_per_image), add_special_tokens=False)
        ids: list[int] = encoded.ids
        return ids


def _bytes_tokenizer(tokenizers: Any, model: Any) -> Any:
    tokenizer = tokenizers.Tokenizer(model)
    pieces = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(QWEN2_PIECES), behavior="isolated", invert=False
    )
    to_bytes = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([pieces, to_bytes])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def _add_tokens(tokenizer: Any, tokens: Sequence[str]) -> None:
    added = require("tokenizers", "groot").AddedToken
    tokenizer.add_tokens([added(token, normalized=False, special=True) for token in tokens])


def _parsed(read: Any, path: Path) -> Any:
    """`read(path)`; the library raises bare exceptions for damaged files."""
    try:
        return read(str(path))
    except Exception as error:
        raise CorruptFileError(
            f"cannot be read as part of a tokenizer: {error}", file=path
        ) from error
