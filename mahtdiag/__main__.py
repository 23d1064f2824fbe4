"""`python -m mahtdiag`."""

from mahtdiag.cli.app import main

if __name__ == "__main__":
    main()
