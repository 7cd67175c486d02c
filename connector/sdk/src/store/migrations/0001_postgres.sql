CREATE TABLE dcr_store (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    restored_at BIGINT NOT NULL
);
CREATE TABLE dcr_clients (
    client_id TEXT COLLATE "C" PRIMARY KEY,
    operation_id TEXT NOT NULL UNIQUE,
    installation TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    made TEXT NOT NULL,
    probe BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    held_since BIGINT NOT NULL,
    held_by TEXT NOT NULL,
    doubtful_since BIGINT NOT NULL
);
CREATE INDEX dcr_clients_by_installation ON dcr_clients (installation, client_id);
CREATE TABLE dcr_intents (
    operation_id TEXT PRIMARY KEY,
    installation TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    probe BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    begun_by TEXT NOT NULL
);
