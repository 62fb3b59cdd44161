"""What looks like a mistake in results that can be scored all the same."""

from __future__ import annotations

from collections import defaultdict


class Suspicions:
    """Warnings about results that can be scored but look like a mistake: a line per kind, with its first example."""

    def __init__(self) -> None:
        self._examples: dict[str, str] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, kind: str, example: str) -> None:
        """Count one more of a kind, and keep the first example of it."""
        self._examples.setdefault(kind, example)
        self._counts[kind] += 1

    def lines(self) -> list[str]:
        """A line per kind."""
        more = {kind: f" (and {count - 1} more)" if count > 1 else "" for kind, count in self._counts.items()}
        return [f"{kind}: {example}{more[kind]}" for kind, example in self._examples.items()]
