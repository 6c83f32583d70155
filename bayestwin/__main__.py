"""`python -m bayestwin`: the same as the command `bayestwin`."""

from bayestwin.cli import main

if __name__ == "__main__":  # not where a worker process imports it anew
    main()
