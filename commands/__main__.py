"""`python -m ostensor.commands`: the same as `ostensor`."""

from .app import main

if __name__ == "__main__":
    main()
