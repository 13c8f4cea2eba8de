CREATE TABLE "motd_instances" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
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
    "message" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "motd_instances_name_project_id_key" ON "motd_instances" ("name", "project_id");
CREATE INDEX "motd_instances_project_id_id_idx" ON "motd_instances" ("project_id", "id");
