"""Run `python -m benchmarks.against FOLDER`."""

from benchmarks.against.run import main

if __name__ == "__main__":
    main()
