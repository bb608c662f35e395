from contextlib import ExitStack

import pytest

from broadcaster.admission import Admission
from broadcaster.errors import RequestError
from cdc.config import Limits

ANN = {"sub": "ann", "exp": 1, "iat": 0}


def refusal(admission, claims=None, subscriptions=1):
    with pytest.raises(RequestError) as caught, admission.admitted(claims, subscriptions):
        raise AssertionError("let in")
    return caught.value.code


def test_connections_are_counted_while_they_last():
    admission = Admission(Limits(connections=2))
    with ExitStack() as open_:
        open_.enter_context(admission.admitted(None, 1))
        open_.enter_context(admission.admitted(ANN, 1))
        assert refusal(admission) == "too_many_connections"
        with pytest.raises(RequestError):
            admission.check()
    with admission.admitted(None, 1):
        admission.check()


def test_a_token_and_those_that_renew_it_share_a_bound():
    admission = Admission(Limits(subscriptions_per_token=10))
    with (
        admission.admitted(ANN, 6),
        admission.admitted({"sub": "bob", "exp": 1}, 10),
        admission.admitted(None, 99),
    ):
        assert refusal(admission, ANN | {"exp": 2, "iat": 1, "jti": "x"}, 5) == "too_many_subscriptions"
        with admission.admitted(ANN | {"exp": 2}, 4):
            assert refusal(admission, ANN) == "too_many_subscriptions"
    with admission.admitted(ANN, 10):
        pass
    assert not admission._subscriptions


def test_who_is_turned_away_later_leaves_room():
    admission = Admission(Limits(connections=1, subscriptions_per_token=1))
    with pytest.raises(KeyError), admission.admitted(ANN, 1):
        raise KeyError
    with admission.admitted(ANN, 1):
        pass


def test_who_stays_leaves_later():
    admission = Admission(Limits(connections=1, subscriptions_per_token=3))
    with admission.admitted(ANN, 3) as admitted:
        admitted.stay()
    assert refusal(admission) == "too_many_connections"
    admitted.leave()
    with admission.admitted(ANN, 3):
        pass
    assert not admission._subscriptions
