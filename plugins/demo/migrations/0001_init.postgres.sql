CREATE TABLE "demo_instances" (
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
    "greeting" text NOT NULL,
    "replicas" bigint NOT NULL,
    "theme" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_instances_name_project_id_key" ON "demo_instances" ("name", "project_id");
CREATE INDEX "demo_instances_project_id_id_idx" ON "demo_instances" ("project_id", "id");

CREATE TABLE "demo_pages" (
    "id" uuid NOT NULL,
    "project_id" uuid NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" uuid NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" uuid NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
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
    "path" text NOT NULL,
    "text" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_pages_parent_id_path_key" ON "demo_pages" ("parent_id", "path");
CREATE INDEX "demo_pages_instance_id_id_idx" ON "demo_pages" ("instance_id", "id");
CREATE INDEX "demo_pages_parent_id_id_idx" ON "demo_pages" ("parent_id", "id");
