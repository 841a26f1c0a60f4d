"""A Transformer to be read: encoder, decoder, or both, after "Attention Is All You Need".

Vaswani et al. 2017, part by part; equation numbers are the paper's. It calls `vizcore.tap.attend`
like the networks of `transformers`: whatever can be seen in those can be seen in it. For a network
that `vizcore.load` and `Model.of` take, wrap it: `vizcore.pretrained`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vizcore.tap import attend

Positions = Literal["sinusoidal", "learned", "rope", "alibi", "none"]
"""How a network is told where a token stands. Without any, an encoder reads a bag of words."""
Ids = Int[Tensor, "batch token"]
"""Tokens, by their numbers in the vocabulary."""
Present = Bool[Tensor, "batch token"]
"""False for padding, so that all texts of a batch are equally long."""
Vectors = Float[Tensor, "batch token d_model"]
"""The residual stream: one vector for each token of each text."""
Source = Float[Tensor, "batch source d_model"]
"""The same of the text that a decoder looks across at."""


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes and choices of a Transformer.

    Args:
        kind: "encoder" (looks both ways), "decoder" (looks back), or "encoder-decoder".
        vocab_size: how many different tokens there are.
        d_model: the width of the residual stream.
        n_heads: attention heads in each layer; they share d_model equally.
        n_layers: in each stack.
        d_ff: inner width of the feed-forward layers; 0 leaves them out (attention only).
        dropout: of what each sublayer adds, and of the embeddings, while training.
        inner_dropout: of attention's weights and inside the feed-forward layers, while training.
        positions: see `Positions`.
        norm: "post" normalises after adding, as in the paper; "pre" before each sublayer.
        max_tokens: the length of the table if positions are learned; others have no limit.
        tied: whether tokens are read and predicted by the same vectors.
    """

    kind: Literal["encoder", "decoder", "encoder-decoder"]
    vocab_size: int
    d_model: int = 256
    n_heads: int = 4
    n_layers: int = 3
    d_ff: int = 1024
    dropout: float | int = 0.1
    inner_dropout: float | int = 0.0
    positions: Positions = "sinusoidal"
    norm: Literal["post", "pre"] = "post"
    max_tokens: int = 512
    tied: bool = True

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model is {self.d_model}, which {self.n_heads} heads cannot share equally."
            )
        if self.positions == "rope" and self.d_head % 2:
            raise ValueError(f"RoPE rotates pairs, and a head has {self.d_head} dimensions.")

    @property
    def d_head(self) -> int:
        """The width of one head: d_k in the paper, by the root of which scores are divided."""
        return self.d_model // self.n_heads


class Head(nn.Module):
    """One attention head alone: where explaining begins. The models use `MultiHead`."""

    def __init__(self, d_model: int, d_head: int) -> None:
        super().__init__()
        self.query = nn.Linear(d_model, d_head)
        self.key = nn.Linear(d_model, d_head)
        self.value = nn.Linear(d_model, d_head)

    def forward(
        self,
        x: Float[Tensor, "batch query d_model"],
        memory: Float[Tensor, "batch key d_model"],
        mask: Bool[Tensor, "#batch #query key"] | None = None,
    ) -> Float[Tensor, "batch query d_head"]:
        """Attention(Q, K, V) = softmax(QKᵀ / √d_k) V, equation 1. The mask: True may be seen."""
        Q, K, V = self.query(x), self.key(memory), self.value(memory)  # noqa: N806
        scores = Q @ K.transpose(1, 2) / math.sqrt(Q.shape[-1])  # batch query key
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = scores.softmax(dim=-1)  # each row sums to 1
        return weights @ V  # batch query d_head


@dataclass
class Cache:
    """Keys and values of what was read before, so that writing reads each token only once."""

    n_read: int = 0
    kept: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def extend(self, module: nn.Module, *new: Tensor) -> tuple[Tensor, Tensor]:
        """What the module had read, with these keys and values behind it."""
        earlier = self.kept.get(module, [tensor[:, :, :0] for tensor in new])
        keys, values = (torch.cat(pair, dim=2) for pair in zip(earlier, new, strict=True))
        self.kept[module] = keys, values
        return keys, values

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Go on with these texts of the batch (one may be taken twice)."""
        self.kept = {module: (k[rows], v[rows]) for module, (k, v) in self.kept.items()}


class MultiHead(nn.Module):
    """MultiHead(Q, K, V) = Concat(head₁ … head_h) Wᴼ, section 3.2.2.

    All heads are computed at once: their weights lie one below the other in the same matrices, and
    `head(i)` takes one out again.
    """

    def __init__(self, config: TransformerConfig, *, causal: bool = False, crosses: bool = False):
        super().__init__()
        self.n_heads, self.dropout = config.n_heads, config.inner_dropout
        self.causal, self.crosses = causal, crosses
        # The source of a cross attention is another text, to which there is no distance.
        self.positions = "none" if crosses else config.positions
        square = (nn.Linear(config.d_model, config.d_model) for _ in range(4))
        self.query, self.key, self.value, self.output = square

    def forward(
        self,
        x: Float[Tensor, "batch query d_model"],
        memory: Float[Tensor, "batch key d_model"],
        mask: Bool[Tensor, "#batch 1 #query _"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """Each token of x looks at the tokens of memory (with a cache: at earlier ones, too)."""
        start = 0 if cache is None or self.crosses else cache.n_read
        Q = self.split(self.query(x))  # noqa: N806                       batch head query d_head
        if self.positions == "rope":
            Q = rotate(Q, start)  # noqa: N806
        K, V = self.keys_and_values(memory, start, cache)  # noqa: N806   batch head key d_head
        bias = None
        if self.positions == "alibi":
            bias = alibi(self.n_heads, Q.shape[2], K.shape[2], start).to(Q)
        options = {"scaling": Q.shape[-1] ** -0.5, "is_causal": self.causal, "position_bias": bias}
        dropout = self.dropout if self.training else 0.0
        heads, _ = attend(self, Q, K, V, mask, dropout=dropout, **options)
        return self.output(heads.flatten(2))  # batch query head d_head -> Concat, Wᴼ

    def keys_and_values(
        self, memory: Float[Tensor, "batch key d_model"], start: int, cache: Cache | None
    ) -> tuple[Tensor, Tensor]:
        """The keys and values of memory, after those that were kept."""
        if cache is not None and self.crosses and self in cache.kept:
            return cache.kept[self]  # the source does not change
        K, V = self.split(self.key(memory)), self.split(self.value(memory))  # noqa: N806
        if self.positions == "rope":
            K = rotate(K, start)  # noqa: N806
        return (K, V) if cache is None else cache.extend(self, K, V)

    def split(self, x: Vectors) -> Float[Tensor, "batch {self.n_heads} token d_head"]:
        """Each head's part of what all heads were given."""
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)

    def head(self, number: int) -> Head:
        """One of the heads alone, with a copy of its weights."""
        d_model, d_head = self.query.in_features, self.query.in_features // self.n_heads
        rows = slice(number * d_head, (number + 1) * d_head)
        head = Head(d_model, d_head).to(self.query.weight)
        for name in ("query", "key", "value"):
            mine, its = getattr(self, name), getattr(head, name)
            its.weight.data, its.bias.data = mine.weight[rows].clone(), mine.bias[rows].clone()
        return head


def sinusoids(
    start: int, n_tokens: int, d_model: int, device: torch.device | None = None
) -> Float[Tensor, "{n_tokens} {d_model}"]:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d_model)), PE(pos, 2i+1) = cos(the same), section 3.5."""
    angles = _angles(start, n_tokens, d_model, device)  # token pair
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :d_model]


def rotate(
    x: Float[Tensor, "batch head token d_head"], start: int = 0
) -> Float[Tensor, "batch head token d_head"]:
    """RoPE (Su et al. 2021): turns pairs of dimensions; products then know distances only."""
    angles = _angles(start, x.shape[2], x.shape[3], x.device)  # token pair
    cos, sin = angles.cos().to(x), angles.sin().to(x)
    a, b = x[..., 0::2], x[..., 1::2]  # batch head token pair
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


def alibi(
    n_heads: int, n_queries: int, n_keys: int, start: int = 0
) -> Float[Tensor, "1 {n_heads} {n_queries} {n_keys}"]:
    """ALiBi (Press et al. 2022): a score falls with distance, in each head at another slope."""
    slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
    queries = torch.arange(start, start + n_queries)
    distance = (queries[:, None] - torch.arange(n_keys)[None, :]).abs()  # query key
    return -slopes[None, :, None, None] * distance


def _angles(
    start: int, n_tokens: int, width: int, device: torch.device | None
) -> Float[Tensor, "{n_tokens} pair"]:
    positions = torch.arange(start, start + n_tokens, device=device)
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, device=device) / width)
    return positions[:, None] * frequencies


class Embedding(nn.Module):
    """Tokens -> vectors: √d_model times the token's own, plus its position's, section 3.4."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.tokens.weight, std=config.d_model**-0.5)
        if config.positions == "learned":
            self.positions = nn.Embedding(config.max_tokens, config.d_model)
            nn.init.normal_(self.positions.weight, std=0.02)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Ids, start: int = 0) -> Vectors:
        """Start: the position of the first token."""
        n_tokens, d_model = tokens.shape[1], self.config.d_model
        x = self.tokens(tokens) * math.sqrt(d_model)  # batch token d_model
        if self.config.positions == "sinusoidal":
            x = x + sinusoids(start, n_tokens, d_model, tokens.device).to(x)
        elif self.config.positions == "learned":
            if start + n_tokens > self.config.max_tokens:
                raise ValueError(f"There are vectors for {self.config.max_tokens} positions only.")
            x = x + self.positions.weight[start : start + n_tokens]
        return self.dropout(x)


class FeedForward(nn.Sequential):
    """FFN(x) = max(0, xW₁ + b₁)W₂ + b₂, equation 2: the same for each token by itself."""

    def __init__(self, config: TransformerConfig) -> None:
        d_model, d_ff = config.d_model, config.d_ff
        relu = nn.Sequential(nn.ReLU(), nn.Dropout(config.inner_dropout))
        super().__init__(nn.Linear(d_model, d_ff), relu, nn.Linear(d_ff, d_model))


class Residual(nn.Module):
    """What surrounds each sublayer: x is kept, what the sublayer found is added to it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm_first = config.norm == "pre"
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Vectors, sublayer: Callable[[Tensor], Tensor]) -> Vectors:
        """LayerNorm(x + Sublayer(x)), section 3.1; or x + Sublayer(LayerNorm(x)) for "pre"."""
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class Layer(nn.Module):
    """One layer of a stack: attention, in a decoder with a source cross attention, feed-forward."""

    def __init__(self, config: TransformerConfig, *, causal: bool, crosses: bool) -> None:
        super().__init__()
        self.attention = MultiHead(config, causal=causal)
        self.attention_residual = Residual(config)
        if crosses:
            self.cross, self.cross_residual = MultiHead(config, crosses=True), Residual(config)
        if config.d_ff:
            self.feed_forward, self.feed_residual = FeedForward(config), Residual(config)
        self.crosses, self.feeds = crosses, config.d_ff > 0

    def forward(
        self,
        x: Vectors,
        memory: Source | None,
        mask: Bool[Tensor, "#batch 1 #token _"] | None,
        memory_mask: Bool[Tensor, "batch 1 1 source"] | None,
        cache: Cache | None,
    ) -> Vectors:
        """Masks are True where something may be seen."""
        x = self.attention_residual(x, lambda x: self.attention(x, x, mask, cache))
        if self.crosses:
            x = self.cross_residual(x, lambda x: self.cross(x, memory, memory_mask, cache))
        if self.feeds:
            x = self.feed_residual(x, self.feed_forward)
        return x


class Stack(nn.Module):
    """The layers of an encoder or a decoder, one after the other."""

    def __init__(self, config: TransformerConfig, *, causal: bool, crosses: bool = False) -> None:
        super().__init__()
        self.causal = causal
        layers = (Layer(config, causal=causal, crosses=crosses) for _ in range(config.n_layers))
        self.layers = nn.ModuleList(layers)
        # With "pre" nothing has normalised what the last layer added.
        self.norm = nn.LayerNorm(config.d_model) if config.norm == "pre" else nn.Identity()

    def forward(
        self,
        x: Vectors,
        memory: Source | None = None,
        *,
        present: Present | None = None,
        memory_present: Bool[Tensor, "batch source"] | None = None,
        cache: Cache | None = None,
    ) -> Vectors:
        """Present: False for padding; None if there is none. (With a cache there must be none.)"""
        mask = None if present is None else present[:, None, None, :]  # batch 1 1 token
        memory_mask = None if memory_present is None else memory_present[:, None, None, :]
        n_tokens, n_read = x.shape[1], 0 if cache is None else cache.n_read
        if self.causal and (mask is not None or n_read and n_tokens > 1):
            look_back = torch.ones(n_tokens, n_read + n_tokens, device=x.device).tril(n_read).bool()
            mask = look_back[None, None] if mask is None else mask & look_back
        for layer in self.layers:
            x = layer(x, memory, mask, memory_mask, cache)
        return self.norm(x)


class Transformer(nn.Module):
    """Embedding, encoder, decoder, and back to tokens; what the kind does not have is left out."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        has_encoder, has_decoder = config.kind != "decoder", config.kind != "encoder"
        self.encoder = Stack(config, causal=False) if has_encoder else None
        self.decoder = Stack(config, causal=True, crosses=has_encoder) if has_decoder else None
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        for name, weights in self.named_parameters():
            if weights.ndim == 2 and not name.startswith("embedding"):
                nn.init.xavier_uniform_(weights)
        if config.tied:
            self.unembedding.weight = self.embedding.tokens.weight

    def forward(
        self,
        tokens: Ids,
        target: Int[Tensor, "batch target"] | None = None,
        *,
        present: Present | None = None,
        target_present: Bool[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch _ vocab_size"]:
        """The logits: of the next token at each place, or in an encoder of the token there.

        Args:
            tokens: what is read; of an encoder-decoder, the source.
            target: of an encoder-decoder, what the decoder reads.
            present, target_present: False for padding; None if there is none.
        """
        if self.encoder is None:
            return self.logits(self.decode(tokens, present=present))
        x = self.encode(tokens, present=present)
        if self.decoder is not None:
            if target is None:
                raise ValueError("An encoder-decoder reads two texts: give it a target.")
            x = self.decode(target, x, present=target_present, memory_present=present)
        return self.logits(x)

    def encode(self, tokens: Ids, *, present: Present | None = None) -> Vectors:
        """What the encoder makes of a text."""
        if self.encoder is None:
            raise ValueError("A decoder alone has no encoder: use decode.")
        return self.encoder(self.embedding(tokens), present=present)

    def decode(
        self,
        tokens: Ids,
        memory: Source | None = None,
        *,
        present: Present | None = None,
        memory_present: Bool[Tensor, "batch source"] | None = None,
        cache: Cache | None = None,
    ) -> Vectors:
        """What the decoder makes of a text, given what the encoder made of its source."""
        if self.decoder is None:
            raise ValueError("An encoder alone has no decoder: use encode.")
        x = self.embedding(tokens, 0 if cache is None else cache.n_read)
        x = self.decoder(x, memory, present=present, memory_present=memory_present, cache=cache)
        if cache is not None:
            cache.n_read += tokens.shape[1]
        return x

    def logits(self, hidden: Vectors) -> Float[Tensor, "batch token vocab_size"]:
        """How strongly each token of the vocabulary is expected."""
        return self.unembedding(hidden)
