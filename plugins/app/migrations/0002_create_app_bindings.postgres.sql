CREATE TABLE "app_bindings" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "app_instances" ("id") ON DELETE RESTRICT,
    "description" text NOT NULL,
    "labels" jsonb NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    "conditions" jsonb NOT NULL,
    "generation" bigint NOT NULL,
    "observed_generation" bigint NOT NULL,
    "held_generation" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleting_at" timestamp with time zone NULL,
    "name" text COLLATE "C" NOT NULL,
    "to" text NOT NULL,
    "parameters" jsonb NOT NULL,
    "prefix" text NOT NULL,
    "env_names" jsonb NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "app_bindings_parent_id_name_key" ON "app_bindings" ("parent_id", "name");
CREATE INDEX "app_bindings_instance_id_id_idx" ON "app_bindings" ("instance_id", "id");
CREATE INDEX "app_bindings_parent_id_id_idx" ON "app_bindings" ("parent_id", "id");
CREATE INDEX "app_bindings_parent_id_status_id_idx" ON "app_bindings" ("parent_id", "status", "id");
