"""`python -m ostensor.tools`: the same as `ostensor`."""

from .cli import main

if __name__ == "__main__":
    main()
