"""``python -m nongreedy``: the same as the command ``nongreedy``."""

from nongreedy.cli import main

if __name__ == "__main__":
    main()
