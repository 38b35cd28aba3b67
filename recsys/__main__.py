"""`python -m recsys` and the command `recsys`: hear signals, then import the commands."""

from recsys.base.stopping import ignore_signals, stoppable


def main() -> None:
    """Run the command line."""
    try:
        with stoppable(watched=True):
            from recsys.cli import main as run

            run()
    finally:
        ignore_signals()  # all is done; what is left is to exit


if __name__ == "__main__":
    main()
