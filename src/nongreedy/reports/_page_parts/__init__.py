"""Pages that need no network: a document, its pieces and its figures, whatever they are about."""

from __future__ import annotations
