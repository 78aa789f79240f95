"""Instructions as tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from robocache.core.errors import ConfigError, CorruptFileError, DataError
from robocache.policies.groot_n16.processing.text import (
    ADDED_TOKENS,
    GrootTokenizer,
    formalize_language,
    prompt,
)

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")


def test_instructions_are_lowered_and_stripped() -> None:
    assert formalize_language("Put the Bowl on the plate, now!") == "put the bowl on the plate now"
    assert formalize_language("Pick_Up the 2nd cup's lid") == "pick_up the 2nd cups lid"


def test_the_text_comes_before_the_images() -> None:
    assert prompt("open", [2, 1]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nopen<image 1><img><IMG_CONTEXT><IMG_CONTEXT></img>"
        "<image 2><img><IMG_CONTEXT></img><|im_end|>\n"
    )


def test_bytes_only_needs_no_files() -> None:
    tokenizer = GrootTokenizer.bytes_only()
    assert tokenizer.vocabulary_size == 256 + len(ADDED_TOKENS) == 293
    assert tokenizer.pad_token_id == 256
    ids, mask = tokenizer.encode(["go", "fetch it"], [[3], [3]])
    assert ids.shape == mask.shape
    assert (mask[0] == 0).sum() == len("fetch it") - len("go")
    assert (ids[mask == 0] == 256).all()
    assert (ids == tokenizer.image_token_id).sum() == 6
    # left: the ends are alike
    tail = len("<image 1>") + 3 + 4
    assert ids[0, -tail:].tolist() == ids[1, -tail:].tolist()
    assert mask[:, -1].tolist() == [1, 1]


def test_a_tokenizer_is_saved(tmp_path: Path) -> None:
    tokenizer = GrootTokenizer.bytes_only()
    tokenizer.save(tmp_path)
    again = GrootTokenizer.from_folder(tmp_path)
    texts = ["über\n42  don't", "x"]
    for left, right in zip(
        tokenizer.encode(texts, [[1]] * 2), again.encode(texts, [[1]] * 2), strict=True
    ):
        assert left.tolist() == right.tolist()


def test_the_public_ids(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "qwen2_tokenizer"
    tokenizer = GrootTokenizer.from_folder(source)
    assert tokenizer.image_token_id == 151669
    assert tokenizer.pad_token_id == 151643
    assert tokenizer.vocabulary_size == 151680
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(source / name, tmp_path)
    bare = GrootTokenizer.from_folder(tmp_path)  # the added tokens follow by themselves
    texts = ["put the bowl on 123 plates\n\n now", "it's naïve  日本語"]
    expected = tokenizer.encode(texts, [[81], [81]])[0].tolist()
    assert bare.encode(texts, [[81], [81]])[0].tolist() == expected
    (tmp_path / "added_tokens.json").write_text('{"<|endoftext|>": 5}')
    with pytest.raises(ConfigError, match="do not belong together"):
        GrootTokenizer.from_folder(tmp_path)


def test_special_tokens_in_an_instruction_are_refused() -> None:
    with pytest.raises(DataError, match="<IMG_CONTEXT>"):
        GrootTokenizer.bytes_only().encode(["see <IMG_CONTEXT>"], [[1]])


def test_a_folder_without_tokenizer_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json.*Eagle-Block2A-2B-v2"):
        GrootTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "added_tokens.json"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(alphabet)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / name).write_text("{")
    with pytest.raises(CorruptFileError, match="tokenizer") as raised:
        GrootTokenizer.from_folder(tmp_path)
    assert raised.value.file == str(tmp_path / name)


def test_another_tokenizer_is_refused() -> None:
    other = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "<IMG_CONTEXT>": 1, "b": 2}, []))
    with pytest.raises(ConfigError, match="not one after the other"):
        GrootTokenizer(other)
