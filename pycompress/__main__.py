"""``python -m pycompress``: the command line, where the script is not on the path."""

from pycompress.cli import main

if __name__ == "__main__":
    main()
