"""Instructions as numbers: hashed words, word pairs and character trigrams, learned from scratch.

Needs no vocabulary and no download; an inflected or misspelt word shares trigrams with the ones
that training saw. Bojanowski et al., "Enriching Word Vectors with Subword Information", 2017.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=8192)
def hashed_ngrams(text: str, size: int) -> NDArray[np.float32]:
    """Unit-length counts of the n-grams of a text in `size` buckets, (size,) float32.

    Words weigh 1, word pairs 1/2, and the trigrams of a word 1 in sum. An empty text gives zeros.
    """
    counts = np.zeros(size, np.float32)
    words = re.findall(r"\w+", text.casefold())
    for word in words:
        counts[_bucket(word, size)] += 1.0
        padded = f"<{word}>"
        trigrams = [padded[i : i + 3] for i in range(len(padded) - 2)]
        for trigram in trigrams:
            counts[_bucket("#" + trigram, size)] += 1.0 / len(trigrams)
    for first, second in itertools.pairwise(words):
        counts[_bucket(f"{first} {second}", size)] += 0.5
    length = float(np.linalg.norm(counts))
    counts = counts / length if length else counts
    counts.setflags(write=False)
    return counts


def _bucket(token: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little") % size
