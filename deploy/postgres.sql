-- Run once, when the database of docker-compose.yml is made. The registry has
-- tables of its own, one of them called outbox, so it gets a database of its own.
CREATE DATABASE registry;
