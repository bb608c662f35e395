"""What the driver's errors mean, and what is told of them."""

from __future__ import annotations

import ssl

import pymysql
import pytest

from cdc.errors import ConfigError, PositionLost, SetupError, SourceUnavailable
from cdc.mysql.connect import arguments, explain, reason
from support.mysql_target import target_of

TARGET = target_of("mysql://app:hunter2@db/shop?ssl-mode=required", "todos")
GRANTS = (
    "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `app`; GRANT SELECT ON `shop`.`todos` TO `app`"
)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            pymysql.OperationalError(1045, "Access denied for user 'app'"),
            SourceUnavailable,
            "user and password",
        ),
        (pymysql.OperationalError(1227, "Access denied; you need"), SetupError, GRANTS),
        (pymysql.OperationalError(1142, "SELECT command denied"), SetupError, GRANTS),
        (pymysql.OperationalError(1044, "Access denied"), SetupError, GRANTS),
        (pymysql.OperationalError(3159, "Insecure."), SourceUnavailable, "Add ssl-mode=required"),
        (
            pymysql.OperationalError(2026, "SSL is required"),
            SourceUnavailable,
            "offers no TLS, and ssl-mode=required",
        ),
        (pymysql.OperationalError(2003, "Can't connect\n to"), SourceUnavailable, "Can't connect to"),
        (pymysql.InterfaceError(0, ""), SourceUnavailable, "InterfaceError"),
        (pymysql.Error("Already closed"), SourceUnavailable, "Already closed"),
        (ConnectionResetError(104, "Connection reset by peer"), SourceUnavailable, "reset by peer"),
    ],
)
def test_what_errors_mean(error, kind, words):
    found = explain(TARGET, error)
    assert type(found) is kind
    assert words in str(found)
    assert str(found).startswith("sql-mysql (MySQL at db:3306/shop as user app): ")
    assert "hunter2" not in str(found)


def test_a_certificate_that_is_not_accepted():
    error = pymysql.OperationalError(2003, "Can't connect")
    error.original_exception = ssl.SSLCertVerificationError(1, "x")
    error.original_exception.verify_message = "self-signed certificate"
    assert "not accepted: self-signed certificate. With ssl-mode=verify_ca" in str(explain(TARGET, error))


def test_our_own_errors_stay_as_they_are():
    lost = PositionLost("gone")
    assert explain(TARGET, lost) is lost


def test_a_reason_without_words_names_its_kind():
    assert reason(OSError()) == "OSError"


def test_what_the_driver_is_told():
    given = arguments(TARGET)
    assert (given["host"], given["port"], given["user"], given["password"]) == ("db", 3306, "app", b"hunter2")
    context = given["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_modes_of_tls():
    assert arguments(target_of("mysql://app@db?ssl-mode=disabled"))["ssl_disabled"]
    assert not {"ssl", "ssl_disabled"} & arguments(target_of("mysql://app@db")).keys()
    assert arguments(target_of("mysql://app@db?socket=/s"))["ssl_disabled"]
    by_name = arguments(target_of("mysql://app@db?ssl-mode=verify_identity"))["ssl"]
    assert (by_name.verify_mode, by_name.check_hostname) == (ssl.CERT_REQUIRED, True)
    by_authority = arguments(target_of("mysql://app@db?ssl-mode=verify_ca"))["ssl"]
    assert (by_authority.verify_mode, by_authority.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ConfigError, match="ssl-ca, ssl-cert and ssl-key must be files in PEM"):
        arguments(target_of(f"mysql://app@db?ssl-ca={tmp_path / 'none'}"))
    (tmp_path / "garbage").write_text("x")
    with pytest.raises(ConfigError, match="must be files in PEM"):
        arguments(target_of(f"mysql://app@db?ssl-cert={tmp_path / 'garbage'}"))
