"""What survives a kill: answers and trials in Optuna's storage, states in files."""

from __future__ import annotations

from .study import Study as Study
