"""The application that commands belong to."""

import typer

app = typer.Typer(
    name="recsys",
    help="Interaction logs to embeddings, embeddings to recommendations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
