"""``python -m socialgraph``."""

from socialgraph.cli import main

if __name__ == "__main__":
    main()
