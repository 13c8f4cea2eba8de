CREATE TABLE "app_bindings" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
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
    "to" text NOT NULL,
    "parameters" text NOT NULL,
    "prefix" text NOT NULL,
    "env_names" text NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_bindings_parent_id_name_key" ON "app_bindings" ("parent_id", "name");
CREATE INDEX "app_bindings_instance_id_id_idx" ON "app_bindings" ("instance_id", "id");
CREATE INDEX "app_bindings_parent_id_id_idx" ON "app_bindings" ("parent_id", "id");
CREATE INDEX "app_bindings_parent_id_status_id_idx" ON "app_bindings" ("parent_id", "status", "id");
