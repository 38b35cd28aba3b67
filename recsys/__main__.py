"""`python -m recsys` and the command `recsys`: hear signals, then import the commands."""

from recsys.base.stopping import stoppable


def main() -> None:
    """Run the command line."""
    with stoppable(watched=True):
        from recsys.cli import main as run

        run()


if __name__ == "__main__":
    main()
