CREATE TABLE "vault_instances" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
    "deletion_protection" boolean NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "nodes" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "note" text NOT NULL,
    "password" text NOT NULL,
    "token" text NOT NULL,
    "keys" text NULL,
    "settings" text NULL,
    "replicas" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vault_instances_name_project_id_key" ON "vault_instances" ("name", "project_id");
CREATE INDEX "vault_instances_project_id_id_idx" ON "vault_instances" ("project_id", "id");

CREATE TABLE "vault_entries" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "vault_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "vault_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "held_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "name" text NOT NULL,
    "value" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vault_entries_parent_id_name_key" ON "vault_entries" ("parent_id", "name");
CREATE INDEX "vault_entries_instance_id_id_idx" ON "vault_entries" ("instance_id", "id");
CREATE INDEX "vault_entries_parent_id_id_idx" ON "vault_entries" ("parent_id", "id");

CREATE TABLE "vault_shares" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "vault_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "vault_entries" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" text NOT NULL,
    "status" text NOT NULL,
    "conditions" text NOT NULL,
    "generation" integer NOT NULL,
    "observed_generation" integer NOT NULL,
    "held_generation" integer NOT NULL,
    "revision" integer NOT NULL,
    "created_at" integer NOT NULL,
    "updated_at" integer NOT NULL,
    "deleting_at" integer NULL,
    "name" text NOT NULL,
    "pin" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "vault_shares_parent_id_name_key" ON "vault_shares" ("parent_id", "name");
CREATE INDEX "vault_shares_instance_id_id_idx" ON "vault_shares" ("instance_id", "id");
CREATE INDEX "vault_shares_parent_id_id_idx" ON "vault_shares" ("parent_id", "id");
