"""What the service answers, beside what the recommender of the same version does."""

import json
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.base.plain import plain
from recsys.base.service_settings import ServiceSettings
from recsys.service import Service
from recsys.service.of_lists import OF_ANYBODY
from recsys.service.routes import ROUTES, Route
from recsys.serving import Explanation, Recommendations, Recommender
from recsys.serving import open as open_store
from recsys.serving.request import Conditions
from recsys.store import publish
from tests.service.asking import Answered, ask, escaped, get, post
from tests.service.conftest import ITEMS, USERS
from tests.store.releases import small_release


def same(answer: Answered, expected: Recommendations) -> None:
    assert answer.status == 200, answer.body
    found = answer.json()
    assert [(one["item_id"], one["score"]) for one in found["items"]] == list(expected.items)
    assert [one.get("title") for one in found["items"]] == list(expected.titles)
    assert tuple(one["boost"] for one in found["items"] if "boost" in one) == expected.boosts
    are_pinned = [one.get("pinned", False) for one in found["items"]]
    assert are_pinned == list(expected.are_pinned or (False,) * len(expected))
    assert (found["source"], found["version"]) == (expected.source, expected.version)
    assert answer.headers["x-recsys-source"] == expected.source
    assert answer.headers["x-recsys-version"] == expected.version


def example(route: Route) -> tuple[str, object]:
    path = route.path
    for name, value in route.example.get("path", {}).items():
        path = path.replace(f"{{{name}}}", escaped(value))
    query = urlencode(route.example.get("query", {}), doseq=True)
    return f"{path}?{query}" if query else path, route.example.get("body")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_example_of_each_route_is_answered(live: Service, route: Route) -> None:
    path, body = example(route)
    answer = ask(live, route.method, path, body)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].encode() == route.media
    assert answer.headers["x-request-id"]
    assert answer.headers["x-recsys-version"] == live.current.opened.version
    assert answer.headers["x-content-type-options"] == "nosniff"
    if route.media == b"application/json":
        json.loads(answer.body)
    if route.method == "GET":
        head = ask(live, "HEAD", path)
        assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("user_id", [*USERS, "nobody"], ids=lambda id_: id_[:20])
def test_a_user_of_any_id_gets_the_list_of_python(
    service: Service, recommender: Recommender, user_id: str
) -> None:
    path = f"/v1/users/{escaped(user_id)}/recommendations"
    same(get(service, path, k=7), recommender.recommend(user_id, 7))
    body = {"user_id": user_id, "k": 7}
    same(post(service, "/v1/recommendations", body), recommender.recommend(user_id, 7))


@pytest.mark.parametrize("item_id", ITEMS[:12], ids=lambda id_: id_[:20])
def test_an_item_of_any_id_is_found(
    service: Service, recommender: Recommender, item_id: str
) -> None:
    path = f"/v1/items/{escaped(item_id)}"
    found = get(service, path).json()
    assert found["item_id"] == item_id
    known = recommender.describe(item_id)
    assert found["attributes"] == known | {"released": str(known["released"])}
    expected = recommender.similar_items(item_id, 5, exclude=["i9"], where="price < 20")
    same(get(service, f"{path}/similar", k=5, exclude=["i9"], where="price < 20"), expected)
    same(get(service, "/v1/items", title=item_id[:200]), recommender.find(item_id[:200]))


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "k": st.integers(1, 60),
        "exclude": st.lists(st.sampled_from([*ITEMS, "unknown"]), max_size=5),
        "candidates": st.lists(st.sampled_from([*ITEMS, "unknown"]), max_size=20),
        "include_seen": st.booleans(),
        "where": st.sampled_from(["price < 20", "category in ('a', 'b')", "title is null"]),
        "diversity": st.floats(0, 1),
        "repeat": st.sampled_from([0.2, 0.6]),
        "max_per": st.sampled_from(["category:1", ["category:3", "price:1"]]),
        "boost": st.just([{"where": "price < 20", "times": 2.5, "until": "2999-01-01"}]),
        "pin": st.lists(
            st.sampled_from(
                [
                    {"position": 2, "item_id": "i7"},
                    {"position": 1, "where": "category = 'a'", "since": "2020-02-02T02:02:02Z"},
                ]
            )
        ),
    },
)


@settings(max_examples=40)
@given(conditions=CONDITIONS, user_id=st.sampled_from([*USERS, "nobody"]))
def test_every_condition_means_what_it_means_in_python(
    service: Service, recommender: Recommender, conditions, user_id: str
) -> None:
    expected = recommender.recommend(user_id, **conditions)
    same(post(service, "/v1/recommendations", {"user_id": user_id, **conditions}), expected)
    query = {
        name: str(one).lower() if isinstance(one, bool) else one
        for name, one in conditions.items()
        if one != []
    }
    is_of_query = not {"boost", "pin"} & set(conditions)
    if is_of_query and conditions.get("candidates") != []:  # a query has no empty list
        path = f"/v1/users/{escaped(user_id)}/recommendations"
        same(get(service, path, **query), expected)


def test_every_condition_that_python_knows_can_be_asked() -> None:
    assert set(Conditions.__annotations__) <= {one.name for one in OF_ANYBODY}


def test_a_history_is_folded_in(service: Service, recommender: Recommender) -> None:
    history, weights = ["i7", "j3", "j4"], [1.0, 2.5, 0.5]
    body = {"history": history, "weights": weights, "k": 9, "where": "price < 25"}
    expected = recommender.recommend_for_history(history, 9, weights=weights, where="price < 25")
    same(post(service, "/v1/recommendations", body), expected)
    for user_id in ("nobody", "u42"):
        body = {"user_id": user_id, "history": history}
        same(
            post(service, "/v1/recommendations", body),
            recommender.recommend(user_id, history=history),
        )


def test_what_the_unknown_get_is_the_choice_of_who_asks(service: Service) -> None:
    path = "/v1/users/nobody/recommendations"
    assert get(service, path).json()["source"] == "popular"
    assert get(service, path, on_unknown="raise").json()["code"] == "unknown_user"
    body = {"history": ["never seen"]}
    assert post(service, "/v1/recommendations", body).json()["source"] == "popular"
    strict = post(service, "/v1/recommendations", body | {"on_unknown": "raise"})
    assert (strict.status, strict.json()["code"]) == (404, "unknown_item")


def test_a_batch_has_a_list_or_a_problem_for_each(service: Service) -> None:
    requests = [
        {"user_id": "u42", "k": 3},
        {"user_id": "nobody", "on_unknown": "raise"},
        {"history": ["i7"], "k": 2},
        {"user_id": "u1", "where": "colour = 'red'"},
        {"user_id": "u1", "kk": 2},
        ["no object"],
    ]
    answers = post(service, "/v1/recommendations:batch", {"requests": requests}).json()["answers"]
    for request, answer in zip(requests, answers, strict=True):
        alone = post(service, "/v1/recommendations", request).json()
        alone.pop("request_id", None)
        assert answer == ({"problem": alone} if "code" in alone else alone)
    assert [one.get("problem", {}).get("code") for one in answers] == [
        *(None, "unknown_user", None, "invalid", "invalid", "invalid")
    ]


@pytest.mark.parametrize("kind", ["popular", "latest"])
def test_lists_for_everybody(service: Service, recommender: Recommender, kind: str) -> None:
    conditions = {"k": 6, "where": "price < 25", "max_per": "category:3"}
    same(get(service, f"/v1/lists/{kind}", **conditions), recommender.top_items(kind, **conditions))
    by_price = recommender.top_items("latest", 4, column="price")
    same(get(service, "/v1/lists/latest", k=4, column="price"), by_price)


def test_an_explanation_is_that_of_python(service: Service, recommender: Recommender) -> None:
    found = get(service, "/v1/users/u42/explanations/j5").json()
    expected = recommender.explain("u42", "j5")
    assert found["score"] == expected.score
    assert [(one["item_id"], one["score"]) for one in found["parts"]] == list(expected.parts)
    assert (found["source"], found["version"]) == ("personal", recommender.version)


@pytest.mark.parametrize(("table", "known"), [("users", USERS), ("items", ITEMS)])
def test_embeddings_are_those_of_the_version(
    service: Service, recommender: Recommender, table: str, known: list[str]
) -> None:
    vectors = getattr(recommender, f"{table.removesuffix('s')}_vectors")
    one = get(service, f"/v1/embeddings/{table}", id=[known[5]]).json()
    assert one["embedding"] == vectors[known[5]].values.tolist()
    assert one["space_id"] == vectors.space_id
    wanted = known[::-1]
    several = post(service, f"/v1/embeddings/{table}", {"ids": wanted}).body
    many = get(service, f"/v1/embeddings/{table}", id=wanted).body
    for body in (several, many):
        read = pa.ipc.open_stream(body).read_all()
        assert read[vectors.kind + "_id"].to_pylist() == wanted
        np.testing.assert_array_equal(
            np.stack(read["embedding"].to_numpy()), vectors.matrix[::-1][: len(wanted)]
        )
        assert read.schema.metadata[b"version"].decode() == recommender.version


def test_details_are_what_python_knows_of_each_item(
    service: Service, recommender: Recommender
) -> None:
    def details(found: Recommendations | Explanation) -> list[dict]:
        return [
            {"item_id": item.item_id, "score": item.score}
            | ({} if title is None else {"title": title})
            | {"attributes": plain(known)}
            | ({} if reason is None else {"because_of": because(reason)})
            | ({"new_item": True} if is_new else {})
            for item, title, known, reason, is_new in zip(
                found.listed,
                found.titles,
                found.attributes,
                found.reasons,
                found.are_new,
                strict=True,
            )
        ]

    def because(reason) -> dict:
        title = recommender.describe(reason.item_id)["title"]
        return reason.to_dict() | ({} if title is None else {"title": title})

    path, body = "/v1/recommendations", {"user_id": "u42", "k": 8, "details": True}
    found = recommender.recommend("u42", 8)
    answer = post(service, path, body).json()
    assert answer["items"] == details(found)
    assert any("because_of" in one for one in answer["items"])
    assert answer["title_column"] == "title"
    assert get(service, "/v1/users/u42/recommendations", k=8, details="true").json() == answer
    batch = {"requests": [body, {"user_id": "u42", "k": 8}]}
    with_details, plain_one = post(service, f"{path}:batch", batch).json()["answers"]
    assert with_details == answer
    assert plain_one["items"] == [
        {name: one[name] for name in ("item_id", "title", "new_item", "score") if name in one}
        for one in answer["items"]
    ]
    for target, expected in (
        ("/v1/items/i7/similar", recommender.similar_items("i7")),
        ("/v1/items", recommender.find()),
        ("/v1/lists/popular", recommender.top_items()),
    ):
        assert get(service, target, details="true").json()["items"] == details(expected)
    why = get(service, "/v1/users/u42/explanations/j5", details="true").json()
    assert why["parts"] == details(recommender.explain("u42", "j5"))


def test_an_explanation_is_no_longer_than_a_list(store: Path, service: Service) -> None:
    path, history = "/v1/explanations", ["i7", "i9", "j1", "j2"]
    whole = post(service, path, {"item_id": "j5", "history": history}).json()
    short = Service(store, ServiceSettings(max_k=2)).open()
    found = post(short, path, {"item_id": "j5", "history": history}).json()
    by_weight = sorted(whole["parts"], key=lambda one: -abs(one["score"]))[:2]
    assert found["parts"] == [one for one in whole["parts"] if one in by_weight]
    parts = sum(one["score"] for one in found["parts"])
    assert found["score"] == whole["score"] == pytest.approx(parts + found["rest"])


def test_an_explanation_can_be_asked_of_a_user_and_of_a_history(
    service: Service, recommender: Recommender
) -> None:
    path = "/v1/explanations"
    of_user = post(service, path, {"user_id": "u42", "item_id": "j5"})
    assert of_user.json() == get(service, "/v1/users/u42/explanations/j5").json()
    body = {"history": ["i7", "i9"], "weights": [1, 2.5], "item_id": "j5"}
    expected = recommender.explain_for_history(["i7", "i9"], "j5", weights=[1, 2.5])
    assert post(service, path, body).json() == expected.to_dict()
    for body, named in (
        ({"item_id": "j5"}, "got neither"),
        ({"item_id": "j5", "user_id": "u42", "history": ["i7"]}, "got both"),
        ({"item_id": "j5", "user_id": "u42", "weights": [1]}, "with a history"),
        ({"user_id": "u42"}, "item_id: expected it"),
        ({"history": ["never"], "item_id": "j5"}, "not among"),
    ):
        assert named in post(service, path, body).json()["detail"]


def test_unknown_ids_of_embeddings_are_an_error_or_counted(service: Service) -> None:
    body = {"ids": ["i7", "never", "i9"]}
    assert post(service, "/v1/embeddings/items", body).json()["code"] == "unknown_item"
    left_out = post(service, "/v1/embeddings/items", body | {"on_unknown": "ignore"})
    assert left_out.headers["x-recsys-unknown"] == "1"
    assert pa.ipc.open_stream(left_out.body).read_all()["item_id"].to_pylist() == ["i7", "i9"]


def test_ids_that_are_integers_are_found_in_either_form(tmp_path) -> None:
    ids = {"user_ids": list(range(100, 112)), "item_ids": list(range(-5, 25))}
    publish(tmp_path, small_release(**ids))
    service, expected = Service(tmp_path).open(), open_store(tmp_path).recommend(104, 5)
    same(get(service, "/v1/users/104/recommendations", k=5), expected)
    for user_id in (104, "104"):
        body = {"user_id": user_id, "k": 5, "exclude": [99, "98"]}
        same(post(service, "/v1/recommendations", body), expected)
    assert get(service, "/v1/items/-5").json()["item_id"] == -5


def test_a_version_without_attributes_answers_without_titles(tmp_path) -> None:
    publish(tmp_path, small_release(titles=False))
    service = Service(tmp_path).open()
    found = get(service, "/v1/users/u1/recommendations", k=2).json()["items"]
    assert [set(one) for one in found] == [{"item_id", "score"}] * 2
    assert get(service, "/v1/items/i1").json()["attributes"] == {}
    assert get(service, "/v1/lists/popular", where="price < 2").json()["code"] == "invalid"
