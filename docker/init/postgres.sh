# Sourced once by the image's entrypoint, when the data folder is new.
docker_process_sql --set password="$LIVETAIL_PASSWORD" <<'SQL'
CREATE ROLE livetail LOGIN REPLICATION PASSWORD :'password';
GRANT CREATE ON DATABASE app TO livetail;
CREATE TABLE todos (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, done boolean NOT NULL DEFAULT false);
ALTER TABLE todos OWNER TO livetail;
INSERT INTO todos (title) VALUES ('Water the plants');
SQL
