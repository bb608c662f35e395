# Sourced once by the image's entrypoint, when the data folder is new.
docker_process_sql --database=app <<SQL
CREATE USER livetail@'%' IDENTIFIED BY '$LIVETAIL_PASSWORD';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO livetail@'%';
CREATE TABLE todos (id bigint AUTO_INCREMENT PRIMARY KEY, title text NOT NULL, done boolean NOT NULL DEFAULT false);
GRANT SELECT ON app.todos TO livetail@'%';
INSERT INTO todos (title) VALUES ('Water the plants');
SQL
