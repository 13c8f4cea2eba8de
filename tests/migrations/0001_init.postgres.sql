CREATE TABLE "vault_instances" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "deletion_protection" boolean NULL,
    "labels" jsonb NOT NULL,
    "status" text NOT NULL,
    "conditions" jsonb NOT NULL,
    "nodes" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "note" text NOT NULL,
    "password" text NOT NULL,
    "token" text NOT NULL,
    "keys" text NULL,
    "settings" text NULL,
    "replicas" bigint NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vault_instances_name_project_id_key" ON "vault_instances" ("name", "project_id");
CREATE INDEX "vault_instances_project_id_id_idx" ON "vault_instances" ("project_id", "id");

CREATE TABLE "vault_entries" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "vault_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "vault_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text NOT NULL,
    "conditions" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "held_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "name" text NOT NULL,
    "value" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vault_entries_parent_id_name_key" ON "vault_entries" ("parent_id", "name");
CREATE INDEX "vault_entries_instance_id_id_idx" ON "vault_entries" ("instance_id", "id");
CREATE INDEX "vault_entries_parent_id_id_idx" ON "vault_entries" ("parent_id", "id");

CREATE TABLE "vault_shares" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "vault_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "vault_entries" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text NOT NULL,
    "conditions" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "held_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "name" text NOT NULL,
    "pin" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vault_shares_parent_id_name_key" ON "vault_shares" ("parent_id", "name");
CREATE INDEX "vault_shares_instance_id_id_idx" ON "vault_shares" ("instance_id", "id");
CREATE INDEX "vault_shares_parent_id_id_idx" ON "vault_shares" ("parent_id", "id");
