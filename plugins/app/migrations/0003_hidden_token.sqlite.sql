CREATE TABLE "app_instances_new" (
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
    "repo" text NOT NULL,
    "git_ref" text NOT NULL,
    "subdir" text NOT NULL,
    "runtime" text NULL,
    "deploy_key" text NULL,
    "command" text NULL,
    "replicas" integer NOT NULL,
    "cpu" double NOT NULL,
    "ram_mb" integer NOT NULL,
    "health_path" text NULL,
    "domains" text NOT NULL,
    "build_token" text NULL,
    "url" text NULL,
    "release" integer NULL,
    "deploys" integer NULL,
    "restarts" integer NULL,
    "rollbacks" integer NULL,
    "rollback_to" integer NULL,
    "stopped" boolean NULL,
    PRIMARY KEY ("id")
);
INSERT INTO "app_instances_new" ("id", "project_id", "name", "description", "version", "deletion_protection", "labels", "status", "conditions", "nodes", "generation", "observed_generation", "revision", "created_at", "updated_at", "deleting_at", "repo", "git_ref", "subdir", "runtime", "deploy_key", "command", "replicas", "cpu", "ram_mb", "health_path", "domains", "build_token", "url", "release", "deploys", "restarts", "rollbacks", "rollback_to", "stopped") SELECT "id", "project_id", "name", "description", "version", "deletion_protection", "labels", "status", "conditions", "nodes", "generation", "observed_generation", "revision", "created_at", "updated_at", "deleting_at", "repo", "git_ref", "subdir", "runtime", "deploy_key", "command", "replicas", "cpu", "ram_mb", "health_path", "domains", "build_token", "url", "release", "deploys", "restarts", "rollbacks", "rollback_to", "stopped" FROM "app_instances";
DROP TABLE "app_instances";
ALTER TABLE "app_instances_new" RENAME TO "app_instances";
CREATE UNIQUE INDEX "app_instances_name_project_id_key" ON "app_instances" ("name", "project_id");
CREATE INDEX "app_instances_project_id_id_idx" ON "app_instances" ("project_id", "id");
CREATE INDEX "app_instances_project_id_name_idx" ON "app_instances" ("project_id", "name");
CREATE INDEX "app_instances_status_id_idx" ON "app_instances" ("status", "id");
CREATE INDEX "app_instances_project_id_status_id_idx" ON "app_instances" ("project_id", "status", "id");
