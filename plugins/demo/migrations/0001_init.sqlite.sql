CREATE TABLE "demo_instances" (
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
    "greeting" text NOT NULL,
    "replicas" integer NOT NULL,
    "theme" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_instances_name_project_id_key" ON "demo_instances" ("name", "project_id");
CREATE INDEX "demo_instances_project_id_id_idx" ON "demo_instances" ("project_id", "id");

CREATE TABLE "demo_pages" (
    "id" text NOT NULL,
    "project_id" text NOT NULL REFERENCES "metapaas_projects" ("id") ON DELETE RESTRICT,
    "instance_id" text NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
    "parent_id" text NOT NULL REFERENCES "demo_instances" ("id") ON DELETE RESTRICT,
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
    "path" text NOT NULL,
    "text" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "demo_pages_parent_id_path_key" ON "demo_pages" ("parent_id", "path");
CREATE INDEX "demo_pages_instance_id_id_idx" ON "demo_pages" ("instance_id", "id");
CREATE INDEX "demo_pages_parent_id_id_idx" ON "demo_pages" ("parent_id", "id");
