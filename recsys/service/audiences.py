"""Who should hear of an item: a list of users, to keys of a scope of its own."""

from recsys.service.handlers import Asked, Reply, encoded
from recsys.service.of_lists import DEFAULT_K, OF_A_LIST
from recsys.service.parameters import Parameter
from recsys.store.item_json import json_text

OF_AN_AUDIENCE = (
    OF_A_LIST[0],
    Parameter("exclude", "ids", "Users who must not be in it; unknown ones are ignored."),
    Parameter("candidates", "ids", "The only users who may be in it."),
    Parameter("where", "text", "A condition on users, such as n_items >= 5 and country = 'DE'."),
)


def audience(asked: Asked) -> Reply:
    """Answer with the users who should hear of an item.

    Who has met it since the version was made, and whose data was deleted, is in no audience.
    """
    opened, given = asked.opened, dict(asked.given)
    vectors = opened.recommender.item_vectors
    item_id = vectors.ids[vectors.row(asked.path["item_id"])]
    k = n = given.pop("k", DEFAULT_K)
    while True:
        found = opened.recommender.audience(item_id, n, **given)
        users = [one for one in found if opened.fresh.has_not_met(one.item_id, item_id)]
        if len(users) >= k or len(found) < n:
            break
        n *= 2
    listed = [{"user_id": one.item_id, "score": one.to_dict()["score"]} for one in users[:k]]
    known = {"item_id": item_id, "users": listed, "source": "audience", "version": opened.version}
    return Reply(encoded(json_text(known)))
