from broadcaster.order import Order, SortField
from broadcaster.snapshot.postgres_conditions import ColumnInfo
from broadcaster.snapshot.postgres_order import bands

COLUMNS = {
    name: ColumnInfo(name, kind, utf8=utf8)
    for name, kind, utf8 in [
        ("id", "int4", True),
        ("at", "timestamptz", True),
        ("title", "text", True),
        ("latin", "text", False),
        ("mood", "enum", True),
        ("code", "bpchar", True),
        ("doc", "jsonb", True),
    ]
}


def of(*fields, key=("id",)):
    order = Order(tuple(SortField(field.removeprefix("-"), field.startswith("-")) for field in fields), 1)
    return bands(order, key, COLUMNS)


def test_no_order_is_one_read():
    given = bands(None, ("id",), COLUMNS)
    assert (given.parts, given.pushed) == ([("TRUE", "")], 0)


def test_the_key_has_no_nulls():
    assert of().parts == [("TRUE", ' ORDER BY "id" ASC')]
    assert of("-id").parts == [("TRUE", ' ORDER BY "id" DESC, "id" ASC')]


def test_nulls_are_read_where_they_belong():
    nulls, others = of("at").parts
    assert nulls == ('"at" IS NULL', ' ORDER BY "id" ASC')
    assert others == ('"at" IS NOT NULL', ' ORDER BY "at" ASC, "id" ASC')
    assert [where for where, _ in of("-at").parts] == ['"at" IS NOT NULL', '"at" IS NULL']


def test_text_is_ordered_by_code_point():
    _, (_, order_by) = of("-title", "mood").parts[::-1]
    assert order_by == (
        ' ORDER BY "title" COLLATE "C" DESC, "mood"::text COLLATE "C" ASC NULLS FIRST, "id" ASC'
    )


def test_what_postgres_orders_otherwise_is_left_to_us():
    for name in ("latin", "code", "doc", "missing", "doc.a"):
        assert of(name).pushed == 0
        assert of("at", name).pushed == 1
    assert of("at", "code").parts[0] == ('"at" IS NULL', "")
