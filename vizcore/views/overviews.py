"""`Overview`: all heads of a text, reduced to thumbnails and words.

What `model_view` shows of a text whose maps are too many to be made one after the other
(`vizcore.head_overview` makes it); it takes one in place of maps. No numbers to go on with: those
are in the trace.
"""

from dataclasses import dataclass, replace

from vizcore.views.head_facts import HeadFacts
from vizcore.views.pictures import Picture


@dataclass(frozen=True, eq=False)
class Overview:
    """All heads of one kind of attention over one text.

    Args:
        heads: what is said about each.
        pictures: the thumbnail of each, all of one size; their first keys are apart.
        query_tokens: the tokens that look.
        key_tokens: those that are looked at.
        quantity: what the numbers are.
    """

    heads: tuple[HeadFacts, ...]
    pictures: tuple[Picture, ...]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    quantity: str = "attention"

    def __repr__(self) -> str:
        return f"Overview({len(self.heads)} heads, {len(self.query_tokens)} tokens)"

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, keys) of the maps."""
        return len(self.query_tokens), len(self.key_tokens)

    def of_kind(self, kind: str | None) -> "Overview":
        """The same, or nothing if it is of another kind of attention."""
        if kind is None or any(one.kind == kind for one in self.heads):
            return self
        return replace(self, heads=(), pictures=())
