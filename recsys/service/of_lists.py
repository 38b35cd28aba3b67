"""What routes that answer with lists take: their length, conditions, and who they are for."""

from recsys.service.details import DETAILS
from recsys.service.parameters import Parameter

DEFAULT_K = 10

CONDITIONS = (
    Parameter("exclude", "ids", "Items that must not be in the list; unknown ones are ignored."),
    Parameter("candidates", "ids", "The only items that may be in the list."),
    Parameter("where", "condition", "A condition on attributes of items, such as price < 20."),
)
OF_A_LIST = (
    Parameter("k", "k", "Length of the list.", default=DEFAULT_K),
    *CONDITIONS,
    Parameter("diversity", "number", "From 0, by score alone, to 1.", default=0.0),
    Parameter("max_per", "columns", "Columns and numbers, such as brand:2: most items of one."),
    Parameter("new_items", "number", "Share of the list, from 0 to 1, of new items, at most."),
    Parameter("boost", "boosts", "What raises or lowers scores by a condition.", in_query=False),
    Parameter("pin", "pins", "What has a position, if it may be in the list.", in_query=False),
    DETAILS,
)
OF_A_USER = (
    *OF_A_LIST,
    Parameter("include_seen", "flag", "Keep items that the user has seen.", default=False),
    Parameter(
        "repeat",
        "number",
        "Seen items return that at least this share of their users came back to, once the usual "
        "gap is over.",
    ),
    Parameter("history", "ids", "Items of a user who may be unknown, the last one last."),
    Parameter("dislikes", "ids", "What the user does not want: in no list, and not like these."),
    Parameter(
        "on_unknown",
        "text",
        "What an unknown user without a history gets: the popular list, or 404.",
        ("popular", "raise"),
        "popular",
    ),
)
USER_ATTRIBUTES = Parameter(
    "user_attributes",
    "object",
    "What is known of a user without a user_id, by columns that the model knows.",
    in_query=False,
)
OF_ANYBODY = (
    Parameter("user_id", "id", "A user; without one, history is needed."),
    *OF_A_USER[:-1],
    Parameter(
        "on_unknown",
        "text",
        "The same, and of a history whose items are all unknown. Of others of its items, raise is "
        "a 404; with ignore, only where all are unknown.",
        ("popular", "raise", "ignore"),
        "popular",
    ),
    Parameter("weights", "numbers", "Strength of each item of a history without a user_id."),
    USER_ATTRIBUTES,
)
