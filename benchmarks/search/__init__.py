"""The suite: ways of searching for schedules at equal cost on many small tasks; see ``__main__``."""
