"""Rules that hold for every list: from a config, in Python, the command line and the service."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from recsys.base.rule_settings import RuleSettings
from recsys.config import changed_tables, read_config, settings_from
from recsys.errors import ConfigError, DataError
from recsys.service import Service, ServiceSettings, check
from recsys.serving import Boost, Pin, Recommender, write_batch
from recsys.serving import open as open_store
from recsys.serving.sold_out import SoldOut
from recsys.vectors import Ids
from tests.command_line import run
from tests.service.asking import get
from tests.serving.test_request import World

CONFIG = """
[rules]
max_per = ["color:2"]
sold_out = "sold_out.txt"
repeat = 0.2

[[rules.boost]]
where = "price < 20"
times = 1.5
until = 2999-12-24

[[rules.pin]]
position = 2
where = "color = 'red'"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("rules"), "exact")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "recsys.toml").write_text(CONFIG)
    (tmp_path / "sold_out.txt").write_text("i7\nunknown\n\n")
    return tmp_path / "recsys.toml"


def store_of(world: World) -> Path:
    return world.recommender._folder.parents[1]


def asked_for(world: World, user: str, k: int) -> list[str]:
    """The list of a caller who says what the config says."""
    found = world.recommender.recommend(
        user,
        k,
        boost=[Boost(where="price < 20", times=1.5)],
        pin=[Pin(position=2, where="color = 'red'")],
        max_per="color:2",
        exclude=["i7"],
        repeat=0.2,
    )
    return [one.item_id for one in found]


def test_a_config_holds_for_every_list(world: World, config: Path, tmp_path: Path) -> None:
    rules = read_config(config).rules
    assert (rules.boost[0].times, rules.pin[0].position) == (1.5, 2)
    assert settings_from(changed_tables(settings_from({"rules": vars(rules)}))).rules == rules
    ruled = open_store(store_of(world), rules=rules)
    service = Service(store_of(world), rules=rules).open()
    for user in ("u2", "u1", "nobody"):  # u1 has no vector
        expected = asked_for(world, user, 6)
        assert [one.item_id for one in ruled.recommend(user, 6)] == expected
        answer = get(service, f"/v1/users/{user}/recommendations", k=6).json()["items"]
        assert [one["item_id"] for one in answer] == expected
        words = ["recommend", user, "-k", "6", "--config", str(config), "--json"]
        done = run(*words, "--store", str(store_of(world)))
        assert [one["item_id"] for one in json.loads(done.stdout)["items"]] == expected
        again: Recommender = pickle.loads(pickle.dumps(ruled))  # noqa: S301
        assert [one.item_id for one in again.recommend(user, 6)] == expected
    assert "i7" not in [one.item_id for one in ruled.similar_items("i8", 399)]
    assert ruled.find("i7")[0].item_id == "i7"
    folder = write_batch(ruled, tmp_path / "lists", 6)
    assert json.loads((folder / "_batch.json").read_text())["rules"]["max_per"] == ["color:2"]
    with pytest.raises(DataError, match="rules"):
        write_batch(open_store(store_of(world)), folder, 6)


def test_an_id_of_a_file_of_what_is_sold_out_ends_with_its_line(tmp_path: Path) -> None:
    file, ids = tmp_path / "sold_out.txt", ["a\u2028b", "c", "d\x85", "e f"]
    file.write_bytes("\r\n".join([ids[0], ids[3], ""]).encode())
    assert SoldOut(file, Ids(ids)).rows.tolist() == Ids(ids).rows([ids[0], ids[3]]).tolist()


def test_what_is_sold_out_holds_at_once(world: World, tmp_path: Path) -> None:
    file = tmp_path / "sold_out.txt"
    file.write_text("")
    rules = RuleSettings(sold_out=str(file))
    ruled, service = open_store(store_of(world), rules=rules), Service(store_of(world), rules=rules)
    service.open()
    best = [one.item_id for one in ruled.recommend("u3", 3)]
    for gone in ([], [best[0]], best[:2], [best[1]], []):
        file.write_text("\n".join(gone))
        expected = world.recommender.recommend("u3", 3, exclude=gone)
        assert ruled.recommend("u3", 3).items == expected.items
        (of_many,) = ruled.recommend_many(["u3"], 3)
        assert of_many.items == expected.items
        answer = get(service, "/v1/users/u3/recommendations", k=3).json()["items"]
        assert [one["item_id"] for one in answer] == [one.item_id for one in expected]
    file.write_text(best[0])
    ruled.recommend("u3", 3)
    file.unlink()
    with pytest.warns(RuntimeWarning, match="what it said before holds"):
        assert best[0] not in [one.item_id for one in ruled.recommend("u3", 3)]
    with pytest.raises(ConfigError, match="sold_out: expected a text file of ids"):
        open_store(store_of(world), rules=rules)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"boost": [{"where": "a = 1", "time": 2}]}, r"rules\.boost\.time: unknown key"),
        ({"boost": {"where": "a = 1"}}, r"rules\.boost: expected a list of rules"),
        ({"pin": [{"position": "1", "item_id": "a"}]}, r"rules\.pin\.position: expected a whole"),
        ({"max_per": ["brand"]}, r"rules\.max_per: expected a column and a number"),
        ({"sold_out": 5}, r"rules\.sold_out"),
    ],
)
def test_a_rule_of_a_config_that_cannot_be_is_named(table: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_from({"rules": table})


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            {"boost": [{"where": "prise < 3", "times": 2.0}]},
            "rules.boost, number 1: where: .*prise",
        ),
        (
            {"pin": [{"position": 1, "where": "'red' in color", "since": "2999-01-01"}]},
            "rules.pin, number 1: where: color holds .* or column like '%value%'",
        ),
        ({"max_per": ["brands:2"]}, "rules.max_per: expected a column .* 'brands'"),
    ],
)
def test_a_rule_that_a_version_cannot_keep_is_named_when_it_is_opened(
    world: World, rules: dict, said: str
) -> None:
    """A caller could do nothing about it, so it is no error of a request."""
    settings = settings_from({"rules": rules}).rules
    with pytest.raises(ConfigError, match=said):
        open_store(store_of(world), rules=settings)
    checked = check(store_of(world), ServiceSettings(port=0), rules=settings)
    assert isinstance(checked.error, ConfigError)
    assert not [
        one for one in check(store_of(world), ServiceSettings(port=0)).findings if one.error
    ]


def test_boosts_leave_what_nobody_boosts_as_it_is(world: World) -> None:
    plain = world.recommender.recommend("u2", 9)
    found = world.recommender.recommend("u2", 9, boost=[Boost(where="price = 1000", times=9)])
    assert found.items == plain.items
    assert np.allclose(found.boosts, 0, atol=1e-6)


def test_a_rule_that_does_nothing_is_a_warning(world: World) -> None:
    """It may come with the next version, so it is no error; a slip of the pen should be seen."""
    pins = [Pin(position=1, item_id="i999"), Pin(position=1, item_id="i7")]
    boosts = [Boost(where="price < 3", times=2), Boost(where="price < 3")]
    rules = RuleSettings(pin=tuple(pins), boost=tuple(boosts))
    with pytest.warns(RuntimeWarning) as told:
        ruled = open_store(store_of(world), rules=rules)
    of_boost, of_pin = (str(one.message) for one in told)
    assert of_boost == "rules.boost, number 2: it has neither times nor plus, so it changes nothing"
    assert of_pin.startswith("rules.pin, number 1: item 'i999' is not among the ")
    assert ruled.recommend("nobody", 3)[0].item_id == "i7"
    checked = check(store_of(world), ServiceSettings(port=0), rules=rules)
    assert any("i999" in one.detail for one in checked.findings if one.level == "warning")
