"""MySQL and MariaDB: the binlog in, change events out."""
