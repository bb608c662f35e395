"""A batch over any number of topics and partitions comes back in its order, whichever collections are wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc.event import Record
from cdc.log.kafka.fetch import Fetched
from cdc.log.kafka.frame import Extent
from cdc.log.kafka.order import decode_order, places_of
from cdc.log.kafka.parcels import parts, sort_out
from cdc.log.kafka.tap import Tap, weave
from support.record_batches import batch, parsed

COLLECTIONS = ("a", "b", "c")
DELETE = b'{"source":{},"op":"d"}'

records = st.lists(
    st.tuples(
        st.sampled_from(COLLECTIONS),
        st.integers(0, 20).map(lambda number: b"%d" % number),
        st.sampled_from([b'{"source":{},"op":"c"}', DELETE]),
    ),
    min_size=1,
    max_size=40,
)


@given(
    records,
    st.fixed_dictionaries({name: st.integers(1, 5) for name in COLLECTIONS}),
    st.sets(st.sampled_from(COLLECTIONS)),
    st.sets(st.sampled_from(COLLECTIONS)),
    st.integers(0, 3),
)
def test_sorted_out_and_woven_again(
    written: list[Record], partitions: dict[str, int], compact: set[str], wanted: set[str], gap: int
) -> None:
    parcels = sort_out(written, partitions, compact.__contains__)
    extents: list[Extent] = []
    taps: list[Tap] = []
    for (name, number), items in parcels.items.items():
        added = parcels.tombstones.get((name, number), 0)
        extents.append(Extent(name, number, gap, gap + len(items) - 1, len(items) - added, added))
        tap = Tap(name, number)
        tap.feed(Fetched(parsed(batch(gap, items)), gap + len(items)))
        taps.append(tap)
    order = decode_order(parcels.order, len(extents))
    rows = [
        (extent.collection, places_of(order, index) if order else range(extent.records), tap.take(extent))
        for index, (extent, tap) in enumerate(zip(extents, taps, strict=True))
        if extent.collection in wanted
    ]
    assert weave(7, rows) == [
        (7 + place, *record) for place, record in enumerate(written) if record[0] in wanted
    ]
    assert [record for piece, _ in parts(written) for record in piece] == written
