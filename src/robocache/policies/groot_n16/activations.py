"""What a training step of GR00T N1.6 keeps for the backward pass, layer by layer, by formula.

Each formula counts the tensors that automatic differentiation keeps, in bytes per token. Letters:
D width, F width of a feed-forward layer, h heads, Q and K width of queries and of keys, E width of
the vision-language features. Numbers of bytes: c of a result of a matrix product (2 with autocast,
else 4), s of the residual stream, n of what a LayerNorm keeps.

Tests count the tensors that are really kept, on the CPU, and hold the formulas against that.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOAT = 4


@dataclass(frozen=True)
class Arithmetic:
    """Which numbers are computed with.

    Attributes:
        autocast: matrix products in bfloat16.
        cuda: as on a graphics card: LayerNorm in float32 under autocast, dropout keeps a byte. On
            the CPU LayerNorm keeps its input as it is and dropout a number.
    """

    autocast: bool = True
    cuda: bool = True

    @property
    def c(self) -> int:
        """Bytes of what a matrix product gives."""
        return 2 if self.autocast else FLOAT

    @property
    def dropout(self) -> int:
        """Bytes that dropout keeps of each number."""
        return 1 if self.cuda else self.c

    def normed(self, s: int) -> int:
        """Bytes of what LayerNorm keeps and gives of a stream of s bytes."""
        return FLOAT if self.autocast and self.cuda else s


@dataclass(frozen=True)
class Learning:
    """Why a layer keeps anything.

    Attributes:
        trains: its own weights train.
        rank: of its adapters; 0: it has none.
        reached: a gradient is wanted of what goes in.
    """

    trains: bool = False
    rank: int = 0
    reached: bool = False

    def __bool__(self) -> bool:
        return self.trains or self.rank > 0 or self.reached

    def fed(self, arithmetic: Arithmetic, layers: int, given: int) -> int:
        """Bytes, of each number, of what goes into linear layers that read the same tensor.

        Without autocast it is that tensor. With it, each layer keeps its own copy, unless the
        tensor (of `given` bytes a number) is bfloat16 already; peft's adapters copy always.
        """
        if not (self.trains or self.rank):
            return 0
        if not arithmetic.autocast:
            return FLOAT
        if self.rank:
            return 2 * layers
        return 2 if given == 2 else 2 * layers

    def own(self, arithmetic: Arithmetic) -> int:
        """The same for what no other layer keeps, and comes from a matrix product."""
        return self.fed(arithmetic, 1, arithmetic.c)

    def again(self, arithmetic: Arithmetic) -> int:
        """The same for what attention keeps already: only adapters copy it under autocast."""
        return 2 if self.rank and arithmetic.autocast else 0


def language_layer(
    a: Arithmetic, learning: Learning, *, s: int, D: int, F: int, Q: int, K: int, h: int, kv: int
) -> int:
    """Bytes per token of a Qwen3 layer; `kv` key heads.

    RMSNorm computes in float32 and keeps what goes in (4, where it is reached) and what its weight
    is multiplied with (s, where it trains). Keys and values are repeated for all h heads before
    attention, which keeps q, k, v, its result and a float per head. The gated feed-forward layer
    keeps gate, silu(gate), up and their product.
    """
    if not learning:
        return 0
    trains = int(learning.trains)
    given = FLOAT if s == FLOAT or learning.trains else s
    norm = D * (FLOAT * learning.reached + s * trains) + FLOAT * learning.reached
    norms_of_heads = (Q + K) * (FLOAT + a.c * trains) + FLOAT * (h + kv)
    attention = a.c * 4 * Q + FLOAT * h + Q * learning.again(a)
    second = D * (FLOAT + s * trains) + FLOAT
    feed_forward = 3 * a.c * F + F * learning.own(a)
    inputs = D * (learning.fed(a, 3, given) + learning.fed(a, 2, given))
    return (
        norm + norms_of_heads + attention + second + feed_forward + inputs + _ranks(a, learning, 7)
    )


def vision_layer(a: Arithmetic, learning: Learning, *, s: int, D: int, F: int, h: int) -> int:
    """Bytes per patch of a SigLIP2 layer: LayerNorms with mean and deviation, attention, GELU."""
    if not learning:
        return 0
    n = a.normed(s)
    reached = learning.reached or learning.trains
    norms = D * n * (reached + 1) + 2 * FLOAT * (reached + 1)
    inputs = D * (learning.fed(a, 3, n) + learning.fed(a, 1, n))
    attention = a.c * 4 * D + FLOAT * h + D * learning.again(a)
    feed_forward = a.c * F + F * learning.own(a)
    return norms + inputs + attention + feed_forward + _ranks(a, learning, 6)


def dit_block(
    a: Arithmetic, learning: Learning, *, s: int, D: int, h: int, cross: bool, dropouts: int
) -> int:
    """Bytes per state or action token of a DiT block; see `dit_block_once` for the rest.

    The modulated norm keeps its input, and its result where the modulation trains. Self-attention
    keeps k and v as well. `dropouts` of D numbers each: 1 after attention, 4 and 1 in the
    feed-forward layer, 1 more after attention with `final_dropout`.
    """
    if not learning:
        return 0
    n = a.normed(s)
    norm = D * n * (learning.reached + learning.trains) + 2 * FLOAT
    attention = a.c * D * (2 if cross else 4) + FLOAT * h + D * learning.again(a)
    second = D * n + 2 * FLOAT
    feed_forward = 4 * D * (a.c + learning.own(a))
    inputs = D * (learning.fed(a, 1 if cross else 3, n) + learning.fed(a, 1, n))
    dropped = a.dropout * dropouts * D
    linears = 4 if cross else 6
    return (
        norm + attention + second + feed_forward + inputs + dropped + _ranks(a, learning, linears)
    )


def dit_block_once(a: Arithmetic, learning: Learning, *, D: int) -> int:
    """Bytes per sample of a DiT block: the scale, and where it trains what it is made from."""
    return a.c * D * (1 + learning.trains) if learning else 0


def keys_values(a: Arithmetic, learning: Learning, *, D: int, E: int) -> int:
    """Bytes per vision-language token and cross-attending block: keys and values.

    With autocast also what they are made from, once for each of the two; see `features`.
    """
    if not learning:
        return 0
    copies = E * learning.fed(a, 2, FLOAT) if a.autocast else 0
    return copies + 2 * a.c * D + 2 * learning.rank * a.c


def _ranks(a: Arithmetic, learning: Learning, linears: int) -> int:
    """What adapters keep between their two matrices."""
    return linears * learning.rank * a.c
