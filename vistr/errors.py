"""The one exception that means "the user can mend this"."""

from __future__ import annotations


class UserError(Exception):
    """A mistake the user can mend: one sentence that names the file or key, the entry, and what to do."""
