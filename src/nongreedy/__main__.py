"""The command ``nongreedy``, also as ``python -m nongreedy``: what can go wrong before its own code runs."""

import sys

from nongreedy._extras import needed
from nongreedy.errors import MissingExtraError


def main() -> None:
    """Run the command line."""
    try:
        needed("The command line", "typer", "rich")
        from nongreedy.cli import main as run
    except MissingExtraError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
