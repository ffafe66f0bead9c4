"""`python -m webmacs`: the same as the command `webmacs`."""

from webmacs.cli import main

if __name__ == "__main__":
    main()
