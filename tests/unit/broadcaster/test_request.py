import json

import pytest

from broadcaster.aggregate import Aggregate, Aggregation, Function
from broadcaster.errors import RequestError
from broadcaster.order import Order, SortField
from broadcaster.request import Wanted, many, single


def test_a_plain_get():
    assert single("pg", "todos", {"where": '{"done":false}'}) == Wanted(
        "q1", "pg", "todos", {"done": False}, False, "$"
    )
    assert single("pg", "todos", {"skipInitial": "true", "id": "mine"}) == Wanted(
        "mine", "pg", "todos", {}, True, "$"
    )


def test_curl_eats_the_braces():
    assert single("pg", "todos", {"where": '"done":false'}).where == {"done": False}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"where": "{"}, "$.where"),
        ({"skipInitial": "yes"}, "$.skipInitial"),
        ({"wher": "{}"}, "$.wher"),
        ({"id": ""}, "$.id"),
        ({"id": "x" * 201}, "$.id"),
    ],
)
def test_a_bad_get_names_the_offence(query, path):
    with pytest.raises(RequestError) as caught:
        single("pg", "todos", query)
    assert caught.value.path == path
    assert caught.value.code == "bad_request"


def test_many():
    body = {
        "subscriptions": [{"id": "a", "db": "pg", "col": "t", "options": {"skipInitial": True}}],
        "cursor": "c",
    }
    wanted, cursor, coalesce = many(json.dumps(body).encode())
    assert wanted == [Wanted("a", "pg", "t", {}, True, "$.subscriptions[0]")]
    assert cursor == "c"
    assert not coalesce
    assert many(json.dumps(body | {"coalesce": True}))[2]
    with pytest.raises(RequestError, match="true or false"):
        many(json.dumps(body | {"coalesce": 1}))


def test_a_bare_list_is_what_the_query_string_has():
    assert len(many('[{"id":"a","db":"pg","col":"t","where":{}}]', "$.subscriptions")[0]) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"\xff", "$"),
        (b"[" * 5000, "$"),
        (b"[]", "$"),
        (b"{}", "$.subscriptions"),
        (b'{"subscriptions":[]}', "$.subscriptions"),
        (b'{"subscriptions":[1]}', "$.subscriptions[0]"),
        (b'{"subscriptions":[{"id":"a","db":"x","col":1}]}', "$.subscriptions[0].col"),
        (b'{"subscriptions":[{"id":"a","db":"x","col":"c","wher":{}}]}', "$.subscriptions[0].wher"),
        (
            b'{"subscriptions":[{"id":"a","db":"x","col":"c","options":{"skipInitial":1}}]}',
            "$.subscriptions[0].options.skipInitial",
        ),
        (
            b'{"subscriptions":[{"id":"a","db":"x","col":"c"},{"id":"a","db":"x","col":"c"}]}',
            "$.subscriptions[1].id",
        ),
        (b'{"subscriptions":[{"id":"a","db":"x","col":"c"}],"cursor":1}', "$.cursor"),
        (b'{"subscriptions":[{"id":"a","db":"x","col":"c"}],"curso":"1"}', "$.curso"),
    ],
)
def test_a_bad_body_names_the_offence(body, path):
    with pytest.raises(RequestError) as caught:
        many(body)
    assert caught.value.path == path


def test_sort_and_limit():
    order = Order((SortField("at", True), SortField("a.b")), 20)
    assert single("pg", "todos", {"sort": "-at,a.b", "limit": "20"}).order == order
    body = '[{"id":"a","db":"pg","col":"t","options":{"sort":["-at","a.b"],"limit":20}}]'
    assert many(body)[0][0].order == order
    assert single("pg", "todos", {"limit": "1"}).order == Order((), 1)
    assert single("pg", "todos", {"sort": "at"}).order == Order((SortField("at"),))
    assert single("pg", "todos", {}).order is None


@pytest.mark.parametrize(
    ("options", "code", "path"),
    [
        ({"sort": "at"}, "bad_sort", "sort"),
        ({"sort": []}, "bad_sort", "sort"),
        ({"sort": ["a", "b", "c", "d", "e"]}, "bad_sort", "sort"),
        ({"sort": ["a", 1]}, "bad_sort", "sort[1]"),
        ({"sort": ["-"]}, "bad_sort", "sort[0]"),
        ({"sort": ["a..b"]}, "bad_sort", "sort[0]"),
        ({"sort": ["$where"]}, "bad_sort", "sort[0]"),
        ({"sort": ["a" + 32 * ".a"]}, "bad_sort", "sort[0]"),
        ({"sort": ["a", "-a"]}, "bad_sort", "sort[1]"),
        ({"limit": 0}, "bad_limit", "limit"),
        ({"limit": True}, "bad_limit", "limit"),
        ({"limit": None}, "bad_limit", "limit"),
        ({"limit": 1.5}, "bad_limit", "limit"),
        ({"limit": 1, "skipInitial": True}, "bad_request", "skipInitial"),
    ],
)
def test_a_bad_order_names_the_offence(options, code, path):
    with pytest.raises(RequestError) as caught:
        many(json.dumps([{"id": "a", "db": "pg", "col": "t", "options": options}]))
    assert (caught.value.code, caught.value.path) == (code, f"$[0].options.{path}")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"sort": ""}, "$.sort[0]"),
        ({"sort": "a,,b"}, "$.sort[1]"),
        ({"limit": "0"}, "$.limit"),
        ({"limit": "-1"}, "$.limit"),
        ({"limit": "ten"}, "$.limit"),
        ({"sort": "a", "skipInitial": "true"}, "$.skipInitial"),
    ],
)
def test_a_bad_order_in_a_get(query, path):
    with pytest.raises(RequestError) as caught:
        single("pg", "todos", query)
    assert caught.value.path == path


def test_what_is_aggregated():
    asked = {"n": {"count": True}, "some": {"count": "a"}, "most": {"max": "a.b"}}
    expected = Aggregation(
        (
            Aggregate("n", Function.COUNT),
            Aggregate("some", Function.COUNT, "a"),
            Aggregate("most", Function.MAX, "a.b"),
        ),
        ("s", "t.u"),
    )
    body = {"aggregate": asked, "groupBy": ["s", "t.u"], "skipInitial": False}
    given = [{"id": "a", "db": "pg", "col": "t", "options": body}]
    assert many(json.dumps(given).encode())[0][0].aggregation == expected
    query = {"aggregate": json.dumps(asked), "groupBy": "s,t.u", "skipInitial": "false"}
    assert single("pg", "t", query).aggregation == expected


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"groupBy": ["a"]}, "groupBy"),
        ({"aggregate": {}}, "aggregate"),
        ({"aggregate": {str(number): {"count": True} for number in range(11)}}, "aggregate"),
        ({"aggregate": [{"count": True}]}, "aggregate"),
        ({"aggregate": {"n": {"median": "a"}}}, "aggregate.n"),
        ({"aggregate": {"n": {}}}, "aggregate.n"),
        ({"aggregate": {"n": {"sum": "a", "min": "a"}}}, "aggregate.n"),
        ({"aggregate": {"n": {"sum": True}}}, "aggregate.n.sum"),
        ({"aggregate": {"n": {"count": False}}}, "aggregate.n.count"),
        ({"aggregate": {"n": {"sum": "a..b"}}}, "aggregate.n.sum"),
        ({"aggregate": {"": {"count": True}}}, "aggregate."),
        ({"aggregate": {"n": {"count": True}}, "groupBy": ["n"]}, "aggregate.n"),
        ({"aggregate": {"n": {"count": True}}, "groupBy": []}, "groupBy"),
        ({"aggregate": {"n": {"count": True}}, "groupBy": ["a", "b", "c"]}, "groupBy"),
        ({"aggregate": {"n": {"count": True}}, "groupBy": ["a", "a"]}, "groupBy[1]"),
        ({"aggregate": {"n": {"count": True}}, "groupBy": ["$a"]}, "groupBy[0]"),
        ({"aggregate": {"n": {"count": True}}, "sort": ["a"]}, "sort"),
        ({"aggregate": {"n": {"count": True}}, "limit": 1}, "limit"),
        ({"aggregate": {"n": {"count": True}}, "select": ["a"]}, "select"),
        ({"aggregate": {"n": {"count": True}}, "skipInitial": True}, "skipInitial"),
    ],
)
def test_what_cannot_be_aggregated_names_the_offence(options, path):
    with pytest.raises(RequestError) as caught:
        many(json.dumps([{"id": "a", "db": "pg", "col": "t", "options": options}]).encode())
    assert caught.value.code == "bad_aggregate"
    assert caught.value.path == f"$[0].options.{path}"
