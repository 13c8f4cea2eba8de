CREATE TABLE "ports_instances" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "name" text NOT NULL,
    "description" text NOT NULL,
    "version" text NOT NULL,
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
    "first_port" integer NOT NULL,
    "last_port" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "ports_instances_name_project_id_key" ON "ports_instances" ("name", "project_id");
CREATE INDEX "ports_instances_project_id_id_idx" ON "ports_instances" ("project_id", "id");
